"""An inbound call before and at its answer: 180, 183, 200."""

from __future__ import annotations

from typing import Literal

from ..calls import placement
from ..calls.context import Context
from ..calls.digits import DTMF_MODULE, OFF, ON
from ..calls.nodes import Node
from ..errors import Conflict, Invalid, LegGone, NotSupported, VsiError
from ..events.legs import LegCommandFailed
from ..model.codecs import CODEC_MODULES, OPUS, codec_name
from ..model.leg import EARLY_MEDIA, RINGING, Leg
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from ..protocol.schemas import Boolean, Text, about
from ..switch.facts import need
from .legs import LegPayload

INBAND_DTMF = "Whether digits are heard in what it says, too; without it as the settings say."

need(DTMF_MODULE, "digits by their tones")


class AnswerLeg(LegPayload):
    speech_detection = Boolean()
    codec = Text()
    inband_dtmf = Boolean(metadata=about(INBAND_DTMF))


def inband(node: Node, wanted: bool | None) -> str:
    """What a leg is to remember of the wish. NotSupported when the switch cannot."""
    if wanted:
        node.require(DTMF_MODULE)
    return "" if wanted is None else ON if wanted else OFF


class EarlyMediaLeg(LegPayload):
    codec = Text()


def choose_codec(ctx: Context, leg: Leg, wanted: str) -> str:
    """The codec to answer with: the one asked for, else the first of the offer that the service allows.

    Empty when none fits, which leaves it to the switch (and it will refuse with 488). A caller who has
    offered nothing is offered the one asked for, else all, with commas between them.
    """
    if not wanted:
        allowed = usable_codecs(ctx, leg)
        if not leg.offered:
            return ",".join(allowed)
        return next((codec.name for codec in leg.offered_codecs if codec.name in allowed), "")
    known = codec_name(wanted)
    if known is None:
        raise Invalid(f'unknown codec "{wanted}"')
    if leg.offered and all(codec.name != known for codec in leg.offered_codecs):
        raise Invalid(f'codec "{wanted}" not in remote offer')
    if known not in ctx.config.sip.codecs:
        raise Invalid(f'codec "{wanted}" not in engine\'s supported codecs')
    require_codec(ctx, leg, known)
    return known


def usable_codecs(ctx: Context, leg: Leg) -> list[str]:
    """The codecs of the settings that the leg's switch has, in order."""
    missing = ctx.node(leg).facts.missing_codecs
    return [codec for codec in ctx.config.sip.codecs if codec not in missing]


def require_codec(ctx: Context, leg: Leg, codec: str) -> None:
    """NotSupported, naming the module, when the leg's switch lacks the codec."""
    if codec in ctx.node(leg).facts.missing_codecs:
        raise NotSupported(f'codec "{codec}" needs {CODEC_MODULES[codec]}, which the switch has not loaded')


@command(
    "answer_leg",
    AnswerLeg,
    rest=Rest("POST", "/legs/{id}/answer", 202, body=Body.OPTIONAL),
)
def answer_leg(
    ctx: Context, id: str, codec: str, speech_detection: bool | None, inband_dtmf: bool | None
) -> Status[Literal["answering"]]:
    """Answer an inbound call. leg.connected follows; a failure ends the leg.

    On an outbound leg that still rings it is accepted and has no effect.
    """
    leg = ctx.legs.get(id)
    leg.require("answer_leg")
    chosen = _whatsapp_codec(ctx, leg, codec) if leg.kind.whatsapp else _sip_codec(ctx, leg, codec)
    if speech_detection is not None:
        leg.speech_detection = speech_detection
        ctx.switch(leg).remember(leg, "speech_detection")
    if inband_dtmf is not None:
        leg.inband_dtmf = inband(ctx.node(leg), inband_dtmf)
        ctx.switch(leg).remember(leg, "inband_dtmf")
    if leg.inbound and not leg.answer_asked:
        leg.answer_asked = True
        ctx.workers.submit(leg.id, placement.answer, ctx, leg, chosen)
    return {"status": "answering"}


def _sip_codec(ctx: Context, leg: Leg, wanted: str) -> str:
    if leg.state not in (RINGING, EARLY_MEDIA):
        raise Conflict(f"leg is {leg.shown_state}, expected ringing or early_media")
    return choose_codec(ctx, leg, wanted)


def _whatsapp_codec(ctx: Context, leg: Leg, wanted: str) -> str:
    if wanted:
        raise Invalid("codec selection is not supported for WhatsApp legs")
    if leg.state != RINGING:
        raise Conflict(f"leg is {leg.shown_state}, expected ringing")
    if leg.answer_asked:
        raise Conflict("already answering")
    require_codec(ctx, leg, OPUS)
    return OPUS


@command("leg_ring", LegPayload, rest=Rest("POST", "/legs/{id}/ring", 202))
def leg_ring(ctx: Context, id: str) -> Status[Literal["ringing"]]:
    """Send 180 Ringing to the caller. The switch sends only the first one of a call."""
    leg = ctx.legs.get(id)
    leg.require("leg_ring")
    if leg.state != RINGING:
        raise Conflict(f"leg is {leg.shown_state}, not ringing")
    ctx.workers.submit(leg.id, _ring, ctx, leg)
    return {"status": "ringing"}


def _ring(ctx: Context, leg: Leg) -> None:
    try:
        if not leg.inbound:
            raise Conflict("cannot send ringing on outbound leg")
        if leg.state != RINGING:
            raise Conflict(f"leg is {leg.shown_state}, not ringing")
        ctx.switch(leg).ring(leg)
    except VsiError as error:
        failed(ctx, leg, "ring", error)


@command(
    "leg_early_media",
    EarlyMediaLeg,
    rest=Rest("POST", "/legs/{id}/early-media", 202, body=Body.OPTIONAL),
)
def leg_early_media(ctx: Context, id: str, codec: str) -> Status[Literal["early_media"]]:
    """Send 183 with SDP and open media before the answer."""
    leg = ctx.legs.get(id)
    leg.require("leg_early_media")
    if leg.state != RINGING:
        raise Conflict(f"leg is {leg.shown_state}, not ringing")
    chosen = choose_codec(ctx, leg, codec) if leg.inbound or codec else ""
    ctx.workers.submit(leg.id, _early_media, ctx, leg, chosen)
    return {"status": "early_media"}


def _early_media(ctx: Context, leg: Leg, codec: str) -> None:
    try:
        if not leg.inbound:
            raise Conflict("cannot enable early media on outbound leg")
        if not leg.offered:
            raise Conflict("the call came without an offer: its media begins with the answer")
        if not codec:
            raise Conflict("no common codec negotiated")
        leg.early_media_asked = True
        ctx.switch(leg).remember(leg, "early_media_asked")
        ctx.switch(leg).early_media(leg, codec)
    except VsiError as error:
        failed(ctx, leg, "early_media", error)


def failed(ctx: Context, leg: Leg, command_name: str, error: VsiError) -> None:
    """Report that an accepted command failed, unless the leg itself has ended, which says it all."""
    gone = isinstance(error, LegGone)  # the switch tells of its end in a moment
    if ctx.legs.find(leg.id) is leg and not (leg.ending or gone):
        ctx.emit(LegCommandFailed.of(leg, command=command_name, error=error.message))
