"""Several services that share their switches, as the parts of one see it. A service alone has none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class ClusterView(Protocol):
    """Which service has which switch; `Context.cluster`."""

    @property
    def name(self) -> str:
        """This service's name."""

    @property
    def ready(self) -> bool:
        """Whether the deployment can do something with calls."""

    def owned(self, switch: str) -> bool:
        """Whether this service has a switch."""

    def owner_of(self, switch: str) -> str:
        """The name of the service that had it a moment ago; empty for none."""

    def fence(self, switch: str) -> int:
        """The number of this service's turn at it; 0 when it is another's."""

    def outbid(self, switch: str, fence: int) -> None:
        """The switch, or what is beside it, knows a later turn of another service there: let go of it, unless
        this service's is later still."""

    def on_change(self, told: Callable[[], None]) -> None:
        """Have `told` called when switches have changed hands."""

    def health(self) -> dict[str, Any]:
        """What /readyz says of it."""
