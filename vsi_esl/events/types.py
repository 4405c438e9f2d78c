"""The VSI events, typed. Field names and presence are the protocol's; None means "leave it out"."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

from ..model.leg import Leg
from ..model.room import Room


@dataclass(slots=True, frozen=True, kw_only=True)
class Event:
    """Base of all events. `app_id` is what a connection's filter is matched against."""

    type: ClassVar[str]
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
    leg_type: str

    @classmethod
    def of(cls, leg: Leg, **more: Any) -> TypedLegEvent:
        return cls(leg_id=leg.id, app_id=leg.app_id or None, leg_type=leg.type, **more)


@dataclass(slots=True, frozen=True, kw_only=True)
class LegRoomEvent(LegEvent):
    room_id: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class LegRinging(TypedLegEvent):
    """An inbound INVITE arrived, or an outbound leg was created (before its INVITE goes out)."""

    type = "leg.ringing"
    uri: str | None = None
    from_: str | None = None
    to: str | None = None
    sip_headers: dict[str, str] | None = None
    offered_codecs: list[dict[str, Any]] | None = None

    def payload(self) -> dict[str, Any]:
        members = TypedLegEvent.payload(self)
        if "from_" in members:
            members["from"] = members.pop("from_")
        return members


@dataclass(slots=True, frozen=True, kw_only=True)
class LegEarlyMedia(TypedLegEvent):
    """Media runs before the answer."""

    type = "leg.early_media"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegConnected(TypedLegEvent):
    type = "leg.connected"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegDisconnected(LegEvent):
    """The leg's last event, once. `cdr` durations in seconds; `quality` only when RTP was received."""

    type = "leg.disconnected"
    cdr: dict[str, Any]
    quality: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class LegJoinedRoom(LegRoomEvent):
    type = "leg.joined_room"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegLeftRoom(LegRoomEvent):
    type = "leg.left_room"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegMuted(LegEvent):
    type = "leg.muted"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegUnmuted(LegEvent):
    type = "leg.unmuted"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegDeaf(LegEvent):
    type = "leg.deaf"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegUndeaf(LegEvent):
    type = "leg.undeaf"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegHold(TypedLegEvent):
    type = "leg.hold"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegUnhold(TypedLegEvent):
    type = "leg.unhold"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegCommandFailed(LegEvent):
    """An accepted command failed later; `command` is ring, early_media, hold, unhold or add_to_room."""

    type = "leg.command_failed"
    command: str
    error: str


@dataclass(slots=True, frozen=True, kw_only=True)
class LegTransferRequested(LegEvent):
    """The peer sent a REFER, which this server declines with 603."""

    type = "leg.transfer_requested"
    kind: str
    target: str
    declined: bool
    replaces_call_id: str | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class DtmfReceived(LegEvent):
    """One digit; `seq` counts from 1 per leg."""

    type = "dtmf.received"
    digit: str
    seq: int


@dataclass(slots=True, frozen=True, kw_only=True)
class SpeakingStarted(LegRoomEvent):
    type = "speaking.started"


@dataclass(slots=True, frozen=True, kw_only=True)
class SpeakingStopped(LegRoomEvent):
    type = "speaking.stopped"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegRoleChanged(LegRoomEvent):
    type = "leg.role_changed"
    old_role: str
    new_role: str


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomEvent(Event):
    room_id: str

    @classmethod
    def of(cls, room: Room, **more: Any) -> RoomEvent:
        return cls(room_id=room.id, app_id=room.app_id or None, **more)


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomCreated(RoomEvent):
    type = "room.created"


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomDeleted(RoomEvent):
    type = "room.deleted"


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomRoutingChanged(RoomEvent):
    """Who hears whom in the room changed; `matrix` is the whole matrix, {} when there is none."""

    type = "room.routing_changed"
    matrix: dict[str, list[str]]
    reason: str
