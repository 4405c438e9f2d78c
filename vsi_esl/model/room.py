"""One room. It exists whether or not the switch has a conference for it at the moment."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Annotated, NotRequired, TypedDict

from .leg import Leg, LegView, Webhook
from .routing import Matrix

SAMPLE_RATES = (8000, 16000, 48000)


def conference_name() -> str:
    """A conference name of our own. A client's room id never reaches the switch: in a conference name a
    comma starts another dialplan application, `+` the flags, and `${` a variable."""
    return f"vsi-{secrets.token_hex(8)}"


class RoomView(TypedDict):
    """A room as clients see it."""

    id: str
    app_id: NotRequired[str]
    sample_rate: Annotated[int, {"enum": list(SAMPLE_RATES)}]
    participants: list[LegView]


@dataclass(slots=True)
class Room:
    """A VSI room, its conference on the switch, and the legs that are in it."""

    id: str
    sample_rate: int
    conference: str = field(default_factory=conference_name)
    app_id: str = ""
    webhook: Webhook | None = None
    node: str = ""
    """The name of the switch that has its conference; empty until it is to have one."""
    legs: dict[str, Leg] = field(default_factory=dict)
    matrix: Matrix = field(default_factory=dict)
    expected: int = 0
    """Commands that are putting a leg into it."""
    relations: set[tuple[str, str]] = field(default_factory=set)
    """Pairs (listener, source) of member ids that the switch has been told to keep apart."""
    strangers: set[str] = field(default_factory=set)
    """Member ids of who is in it and no leg, and is not heard by legs with a row in the matrix."""
    deleting: bool = False
    """It is being deleted: what is in it has its last words, and nothing new begins there."""

    def view(self) -> RoomView:
        """`app_id` is left out when empty."""
        view: RoomView = {
            "id": self.id,
            "app_id": self.app_id,
            "sample_rate": self.sample_rate,
            "participants": [leg.view() for leg in self.legs.values()],
        }
        if not self.app_id:
            del view["app_id"]
        return view
