"""Hold, re-INVITE results and REFERs, from channel events and watched SIP headers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import structlog

from ..calls import lifecycle, placement
from ..errors import VsiError
from ..events.legs import LegTransferRequested
from ..model import codecs
from ..model.leg import CONNECTED, Leg
from ..work import clock
from . import SwitchEvent, on_event, text_of

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

log = structlog.get_logger(__name__)

CODEC_SETTLED_S = 0.2
"""After its ACK a re-INVITE has been carried out; it takes a frame or two."""
OWN_HOLD = ("switch_ivr_hold", "switch_ivr_unhold")


@on_event("CHANNEL_HOLD")
def channel_hold(ctx: Context, node: Node, event: SwitchEvent) -> None:
    _hold(ctx, node, event, True)


@on_event("CHANNEL_UNHOLD")
def channel_unhold(ctx: Context, node: Node, event: SwitchEvent) -> None:
    _hold(ctx, node, event, False)


def _hold(ctx: Context, node: Node, event: SwitchEvent, on: bool) -> None:
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None or leg.ending:
        return
    if event.get("Event-Calling-Function") in OWN_HOLD:
        # fires when our re-INVITE goes out; what counts is the answer, if the switch shows it
        if not node.facts.watches_headers:
            ctx.node(leg).waits.fulfil("reinvite", leg.id, value=(200, "OK"))
        return
    if not on and _holding(event):
        return  # the switch takes a held channel off hold when it ends; the peer said nothing
    _peer_holds(ctx, leg, on)


def _holding(event: SwitchEvent) -> bool:
    """Whether the peer holds, by the direction of its media."""
    return text_of(event, "variable_remote_audio_media_flow") in ("sendonly", "inactive")


def _peer_holds(ctx: Context, leg: Leg, holding: bool) -> None:
    """The switch tells of it when its own idea of the call's hold changes, which moving a leg resets and
    which does not tell one side's hold from the other's; so the peer's ACK counts as well."""
    if leg.state == CONNECTED and leg.held_by_peer is not holding:
        lifecycle.held(ctx, leg, by_peer=holding)
        placement.arm_hold_limit(ctx, leg)


@on_event("sofia::notify_watched_header")
def watched_header(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """A SIP message that the switch received within a leg's dialog."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None or leg.ending:
        return
    message, header = text_of(event, "SIP-Message"), text_of(event, "Header-Name")
    if message.startswith("REFER ") and header == "Refer-To":
        _refer(ctx, leg, text_of(event, "Header-Value"), bool(event.get("variable_signal_bond")))
    elif message.startswith("SIP/2.0 ") and header == "CSeq":
        _response(ctx, leg, message, text_of(event, "Header-Value"))
    elif message.startswith("INVITE ") and header == "CSeq":
        leg.peer_offered = True
    elif message.startswith("ACK ") and header == "CSeq" and leg.peer_offered:
        leg.peer_offered = False
        _peer_holds(ctx, leg, _holding(event))
        look_at = clock.now() + CODEC_SETTLED_S
        ctx.timers.at(leg.id, "codec", look_at, ctx.workers.submit, leg.id, _look_at_codec, ctx, leg)


def _look_at_codec(ctx: Context, leg: Leg) -> None:
    """Whether the peer has agreed with the switch on another codec. The ACK may be reported before the
    channel has it."""
    if ctx.legs.find(leg.id) is not leg or leg.ending:
        return
    try:
        name = ctx.switch(leg).codec(leg)
    except VsiError as error:
        log.warning("codec not known", leg_id=leg.id, error=error.message)
        return
    if name and name != leg.channel.codec:
        before = leg.channel.rate
        leg.channel.codec, leg.channel.rate = name, codecs.sample_rate(name, "")
        if leg.channel.rate != before:
            ctx.moments.rate_changed(ctx, leg)


def _response(ctx: Context, leg: Leg, message: str, cseq: str) -> None:
    if not cseq.endswith(" INVITE"):
        return
    status, _, phrase = message[8:].partition(" ")
    code = int(status) if len(status) == 3 and status.isascii() and status.isdigit() else 0
    if code >= 200 and code not in (401, 407):  # a challenge is answered by the switch
        ctx.node(leg).waits.fulfil("reinvite", leg.id, value=(code, phrase))


def _refer(ctx: Context, leg: Leg, refer_to: str, held: bool) -> None:
    """Decline: an undecided REFER leaves the peer waiting. Without the bond the switch refused it itself."""
    target, _, parameters = refer_to.strip().strip("<>").partition("?")
    call_id = None
    for parameter in parameters.split("&"):
        name, _, value = parameter.partition("=")
        if name.lower() == "replaces":
            call_id = unquote(value).partition(";")[0]
    kind = "attended" if call_id else "blind"
    if held:
        ctx.workers.submit(leg.id, _decline, ctx, leg)
    ctx.emit(LegTransferRequested.of(leg, kind=kind, target=target, declined=True, replaces_call_id=call_id))


def _decline(ctx: Context, leg: Leg) -> None:
    try:
        ctx.switch(leg).decline_refer(leg)
    except VsiError as error:
        log.warning("REFER not declined", leg_id=leg.id, error=error.message)
