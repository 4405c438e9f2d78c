"""The other services of a deployment, as commands and clients see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..access.tokens import Access
from ..delivery.history import Past

if TYPE_CHECKING:
    from ..protocol.registry import Command


@dataclass(frozen=True, slots=True)
class Answered:
    """What another service answered to a command."""

    data: Any


class Elsewhere(Protocol):
    """What one service has of the others."""

    def past(self, event_id: str) -> Past:
        """What came after this event, at all services. Unavailable when that cannot be had now."""

    def run(
        self, command: Command, payload: Any, arguments: Mapping[str, Any], access: Access
    ) -> Answered | None:
        """The answer of the service that a command is for; None when it is for this one. Raises VsiError."""
