"""Whether this service may act on a switch that others may have: asked before each command and each event.

A service alone has none (None), and nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

Ask: TypeAlias = Callable[[str], str]
"""Sends an api command and returns its answer; SwitchUnavailable."""


class Guard(Protocol):
    """What knows it of one switch."""

    def fresh(self) -> bool:
        """Whether that it has the switch has been confirmed a moment ago. Never waits."""

    def confirm(self, ask: Ask, *, anew: bool = False) -> None:
        """Look at the switch; if it is fresh, only when `anew` asks for that. SwitchUnavailable when it
        cannot be asked, or is another service's now."""

    def connected(self, ask: Ask) -> None:
        """The switch has been connected to: show there whose it is, and wait until whoever had it before has
        seen that. SwitchUnavailable as for `confirm`."""
