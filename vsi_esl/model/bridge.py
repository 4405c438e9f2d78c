"""One bridge: two rooms of the same rate that hear each other, or one the other, or neither."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from .channel import DEFAULT_NODE

BIDIRECTIONAL = "bidirectional"
A_TO_B = "a_to_b"
B_TO_A = "b_to_a"
NONE = "none"

SEND = "send"
RECEIVE = "receive"
DIRECTIONS = (BIDIRECTIONAL, SEND, RECEIVE, NONE)
"""As commands say it, relative to the room they name."""


def channel_name() -> str:
    """The internal channel's id: of our own making, whatever id the client gave the bridge."""
    return f"br-{secrets.token_hex(8)}"


class BridgeView(TypedDict):
    """A bridge as clients see it, from one of its rooms."""

    id: str
    room_id: Annotated[str, "The other room."]
    direction: Annotated[str, {"enum": list(DIRECTIONS)}]
    sample_rate: int


@dataclass(slots=True)
class Bridge:
    """`direction` is canonical: bidirectional, a_to_b, b_to_a or none."""

    id: str
    room_a: str
    room_b: str
    direction: str
    sample_rate: int
    channel: str = field(default_factory=channel_name)
    """The end in room A; its other half sits in room B."""
    member_id: str = ""
    """Its member id in room A's conference; empty while it is not there."""
    announced: bool = False
    """room.bridged is out."""
    node: str = DEFAULT_NODE
    """The switch that has both rooms."""

    def touches(self, room_id: str) -> bool:
        return room_id in (self.room_a, self.room_b)

    @property
    def speaks_in_a(self) -> bool:
        """Room A hears B."""
        return self.direction in (BIDIRECTIONAL, B_TO_A)

    @property
    def hears_a(self) -> bool:
        """Room B hears A."""
        return self.direction in (BIDIRECTIONAL, A_TO_B)

    def view(self, room_id: str) -> BridgeView:
        """As seen from one of its rooms."""
        direction = self.direction
        if direction in (A_TO_B, B_TO_A):
            direction = SEND if (direction == A_TO_B) is (room_id == self.room_a) else RECEIVE
        peer = self.room_b if room_id == self.room_a else self.room_a
        return {"id": self.id, "room_id": peer, "direction": direction, "sample_rate": self.sample_rate}

    def canonical(self, direction: str, room_id: str) -> str:
        """A direction relative to a room, as the bridge keeps it."""
        if direction in (SEND, RECEIVE):
            return A_TO_B if (direction == SEND) is (room_id == self.room_a) else B_TO_A
        return direction

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Bridge:
        return cls(**data)
