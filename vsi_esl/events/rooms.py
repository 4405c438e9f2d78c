"""The VSI events of rooms, and of legs in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from .base import LegRoomEvent, RoomEvent


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomCreated(RoomEvent):
    """There is a new room."""

    type = "room.created"


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomDeleted(RoomEvent):
    """The room is gone; the ends of its legs follow."""

    type = "room.deleted"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegJoinedRoom(LegRoomEvent):
    """It is in the room, and hears and is heard as its state and its role say."""

    type = "leg.joined_room"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegLeftRoom(LegRoomEvent):
    """It is out of the room."""

    type = "leg.left_room"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegRoleChanged(LegRoomEvent):
    """It has another role in the routing of its room."""

    type = "leg.role_changed"
    old_role: Annotated[str, "Empty for none."]
    new_role: Annotated[str, "Empty for none."]


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomRoutingChanged(RoomEvent):
    """Who hears whom in the room changed."""

    type = "room.routing_changed"
    matrix: Annotated[dict[str, list[str]], "The whole matrix, {} when there is none."]
    reason: Annotated[Literal["set", "update", "leg_role_changed", "leg_joined"], "What changed it."]
