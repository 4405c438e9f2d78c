"""Several services that share their switches, as the parts of one see it. A service alone has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class GrowingView(Protocol):
    """Switches that have one owner at a time, of those that are one for now as well."""

    def unite(self, here: str, there: str, what: str, keeper: str = "") -> None:
        """Have the groups of two switches be one from now on, for as long as something is between them. The
        service `keeper` is to have both; without one this service has them. Returns at once when it is so
        already, and else waits for Redis. NotSupported, or Unavailable, beginning with `what`."""

    def switches_with(self, switch: str) -> Sequence[str]:
        """Those that change hands with a switch, and itself."""

    def leaves(self, service: str) -> bool:
        """Whether a service is about to stop, or is not there."""

    def reaches(self, switches: Sequence[str]) -> bool:
        """Whether this service could connect to all of these. May wait for seconds."""


class ClusterView(Protocol):
    """Which service has which switch; `Context.cluster`."""

    @property
    def growing(self) -> GrowingView:
        """Which of them go together, and how they come to do so."""

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
