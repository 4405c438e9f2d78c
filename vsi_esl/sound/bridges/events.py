"""The VSI events of bridges between rooms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ...events.base import Event
from ...model.bridge import Bridge

Direction = Annotated[
    Literal["bidirectional", "a_to_b", "b_to_a", "none"], "Which way audio goes: a is room_a_id, b room_b_id."
]


@dataclass(slots=True, frozen=True, kw_only=True)
class BridgeEvent(Event):
    bridge_id: str
    room_a_id: str
    room_b_id: str

    @classmethod
    def of(cls, bridge: Bridge, app_id: str, **more: Any) -> BridgeEvent:
        """`app_id` is room A's, or that of the room whose deletion ends the bridge."""
        return cls(
            bridge_id=bridge.id,
            room_a_id=bridge.room_a,
            room_b_id=bridge.room_b,
            app_id=app_id or None,
            **more,
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomBridged(BridgeEvent):
    """Two rooms are connected."""

    type = "room.bridged"
    direction: Direction


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomBridgeUpdated(BridgeEvent):
    """The bridge has another direction."""

    type = "room.bridge_updated"
    direction: Direction


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomUnbridged(BridgeEvent):
    """The bridge is gone."""

    type = "room.unbridged"
    reason: Annotated[Literal["room_deleted"] | None, "Absent when the bridge itself was deleted."] = None
