"""The VSI events, typed. Field names and presence are the protocol's; None means "leave it out"."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypedDict

from ..model.leg import SIP_INBOUND, SIP_OUTBOUND, Leg
from ..model.room import Room


class OfferedCodec(TypedDict):
    """A codec of the offer, in its order."""

    name: Annotated[str, "Its name, such as PCMU."]
    payload_type: Annotated[int, "RTP payload type."]
    clock_rate: Annotated[int, "RTP clock in Hz."]
    priority: Annotated[int, "Its place in the offer, from 1."]


class Cdr(TypedDict):
    """What is known of a call at its end."""

    reason: Annotated[str, "Why it ended: one of the disconnect reasons, or another."]
    duration_total: Annotated[float, "Seconds from its beginning to its end."]
    duration_answered: Annotated[float, "Seconds from the answer to the end; 0 for none."]


class Quality(TypedDict):
    """How the received RTP was."""

    mos_score: Annotated[float, "Mean opinion score from 1 to 5, by a simplified E-model (ITU-T G.107)."]
    rtp_packets_received: Annotated[int, "RTP packets received."]
    rtp_packets_lost: Annotated[int, "RTP packets lost, as far as known."]
    rtp_jitter_ms: Annotated[float, "Jitter in ms."]


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
    leg_type: Annotated[str, {"enum": [SIP_INBOUND, SIP_OUTBOUND]}]

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
    uri: Annotated[str | None, "The URI dialled; outbound only."] = None
    from_: Annotated[str | None, "The caller, as in From."] = None
    to: Annotated[str | None, "The number or URI called; inbound only."] = None
    sip_headers: dict[str, str] | None = None
    offered_codecs: Annotated[list[OfferedCodec] | None, "Codecs of the caller's offer."] = None

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
    """The call was answered."""

    type = "leg.connected"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegDisconnected(LegEvent):
    """The leg's last event, once. `cdr` durations in seconds; `quality` only when RTP was received."""

    type = "leg.disconnected"
    cdr: Annotated[Cdr, "The call in figures."]
    quality: Annotated[Quality | None, "Only when RTP was received."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class LegJoinedRoom(LegRoomEvent):
    """It is in the room, and hears and is heard as its state and its role say."""

    type = "leg.joined_room"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegLeftRoom(LegRoomEvent):
    """It is out of the room."""

    type = "leg.left_room"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegMuted(LegEvent):
    """Nobody hears it; recordings still do."""

    type = "leg.muted"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegUnmuted(LegEvent):
    """It is heard again."""

    type = "leg.unmuted"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegDeaf(LegEvent):
    """It hears nothing of its room."""

    type = "leg.deaf"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegUndeaf(LegEvent):
    """It hears its room again."""

    type = "leg.undeaf"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegHold(TypedLegEvent):
    """One side put the call on hold."""

    type = "leg.hold"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegUnhold(TypedLegEvent):
    """One side resumed the call."""

    type = "leg.unhold"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegCommandFailed(LegEvent):
    """An accepted command failed later."""

    type = "leg.command_failed"
    command: Annotated[Literal["ring", "early_media", "hold", "unhold", "add_to_room"], "What failed."]
    error: str


@dataclass(slots=True, frozen=True, kw_only=True)
class LegTransferRequested(LegEvent):
    """The peer sent a REFER, which this server declines with 603."""

    type = "leg.transfer_requested"
    kind: Annotated[Literal["blind", "attended"], "Attended when the target has a Replaces."]
    target: Annotated[str, "The URI of Refer-To."]
    declined: Annotated[bool, "Whether it has been declined already."]
    replaces_call_id: Annotated[str | None, "Call-ID of the call to replace; attended only."] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class DtmfReceived(LegEvent):
    """One digit; `seq` counts from 1 per leg."""

    type = "dtmf.received"
    digit: Annotated[str, "One of 0-9 * # A-D."]
    seq: int


@dataclass(slots=True, frozen=True, kw_only=True)
class SpeakingStarted(LegRoomEvent):
    """It began to talk; only with speech detection on."""

    type = "speaking.started"


@dataclass(slots=True, frozen=True, kw_only=True)
class SpeakingStopped(LegRoomEvent):
    """It has been silent for a while, was muted, moved, or ended."""

    type = "speaking.stopped"


@dataclass(slots=True, frozen=True, kw_only=True)
class LegRoleChanged(LegRoomEvent):
    """It has another role in the routing of its room."""

    type = "leg.role_changed"
    old_role: Annotated[str, "Empty for none."]
    new_role: Annotated[str, "Empty for none."]


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomEvent(Event):
    room_id: str

    @classmethod
    def of(cls, room: Room, **more: Any) -> RoomEvent:
        return cls(room_id=room.id, app_id=room.app_id or None, **more)


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomCreated(RoomEvent):
    """There is a new room."""

    type = "room.created"


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomDeleted(RoomEvent):
    """The room is gone; the ends of its legs follow."""

    type = "room.deleted"


@dataclass(slots=True, frozen=True, kw_only=True)
class RoomRoutingChanged(RoomEvent):
    """Who hears whom in the room changed."""

    type = "room.routing_changed"
    matrix: Annotated[dict[str, list[str]], "The whole matrix, {} when there is none."]
    reason: Annotated[Literal["set", "update", "leg_role_changed", "leg_joined"], "What changed it."]
