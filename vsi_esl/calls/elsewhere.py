"""The other services of a deployment, as commands and clients see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..access.tokens import Access
from ..delivery.history import Past

if TYPE_CHECKING:
    from ..protocol.registry import Command


class Elsewhere(Protocol):
    """What one service has of the others."""

    def past(self, event_id: str) -> Past:
        """What came after this event, at all services. Unavailable when that cannot be had now."""

    def run(
        self,
        command: Command,
        payload: Any,
        arguments: Mapping[str, Any],
        access: Access,
        here: Callable[[], Any],
    ) -> Any:
        """What a command answers, at the service that it is for; `here` does it at this one. Raises
        VsiError."""
