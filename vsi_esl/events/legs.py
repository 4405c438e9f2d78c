"""The VSI events of legs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from .base import LegEvent, TypedLegEvent


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
class LegRinging(TypedLegEvent):
    """An inbound INVITE arrived, or an outbound leg was created (before its INVITE goes out)."""

    type = "leg.ringing"
    uri: Annotated[str | None, "The URI dialled; outbound only."] = None
    from_: Annotated[str | None, "The caller, as in From."] = None
    to: Annotated[str | None, "The number or URI called; inbound only."] = None
    sip_headers: dict[str, str] | None = None
    offered_codecs: Annotated[list[OfferedCodec] | None, "Codecs of the caller's offer."] = None
    trunk_id: Annotated[str | None, "The trunk (gateway) it goes or comes by, if any."] = None

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
