"""What services share: switches that are had together, each group of them and each other switch for itself.

Legs of one switch can be in rooms of another only where one service has both, so switches with tethers
between them have one owner at a time, and change hands together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ..config.settings import ListedSwitch

Unit: TypeAlias = "tuple[str, ...]"
"""Names of switches, in order."""


def units_of(listed: Iterable[ListedSwitch]) -> list[Unit]:
    """All of them, in the order in which their first switches are listed."""
    found: dict[str, list[str]] = {}
    for one in listed:
        found.setdefault(one.unit, []).append(one.name)
    return [tuple(sorted(names)) for names in found.values()]
