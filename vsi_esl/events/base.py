"""What VSI events are made of. Field names and presence are the protocol's; None means "leave it out"."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar

from ..model.leg import Leg
from ..model.legtypes import LEG_TYPES
from ..model.room import Room


@dataclass(slots=True, frozen=True, kw_only=True)
class Event:
    """Base of all events. `app_id` is what a connection's filter is matched against."""

    type: ClassVar[str]
    not_logged: ClassVar[frozenset[str]] = frozenset()
    """Members that are called ids and do not belong into a log all the same."""
    app_id: str | None = None

    def payload(self) -> dict[str, Any]:
        """The event's own members, without the envelope."""
        names = _members(type(self))  # type: ignore[arg-type]
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@cache
def _members(kind: type[Event]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@dataclass(slots=True, frozen=True, kw_only=True)
class LegEvent(Event):
    leg_id: str

    @classmethod
    def of(cls, leg: Leg, **more: Any) -> LegEvent:
        """The event of this leg, with the members that the leg itself gives."""
        return cls(leg_id=leg.id, app_id=leg.app_id or None, **more)


@dataclass(slots=True, frozen=True, kw_only=True)
class TypedLegEvent(LegEvent):
    leg_type: Annotated[str, {"enum": list(LEG_TYPES)}]

    @classmethod
    def of(cls, leg: Leg, **more: Any) -> TypedLegEvent:
        return cls(leg_id=leg.id, app_id=leg.app_id or None, leg_type=leg.type, **more)


@dataclass(slots=True, frozen=True, kw_only=True)
class LegRoomEvent(LegEvent):
    room_id: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomEvent(Event):
    room_id: str

    @classmethod
    def of(cls, room: Room, **more: Any) -> RoomEvent:
        return cls(room_id=room.id, app_id=room.app_id or None, **more)


@dataclass(slots=True, frozen=True, kw_only=True)
class OwnedEvent(Event):
    """About something that belongs to a leg or to a room."""

    leg_id: Annotated[str | None, "The leg, if it is one's."] = None
    room_id: Annotated[str | None, "The room, if it is one's."] = None
