"""Hold and re-INVITE results, from channel events and watched SIP headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ..calls import lifecycle, placement
from ..calls.moments import Signal
from ..errors import VsiError
from ..model import codecs
from ..model.leg import CONNECTED, Leg
from ..work import clock
from . import SwitchEvent, on_event, text_of
from .legs import learn_dialog

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

log = structlog.get_logger(__name__)

CODEC_SETTLED_S = 0.2
"""A re-INVITE has been carried out by then, and after its ACK; it takes a frame or two."""
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
    if not leg.local_tag:
        learn_dialog(leg, event)  # neither the answer to an inbound call nor its ACK shows it yet
    message, header = text_of(event, "SIP-Message"), text_of(event, "Header-Name")
    value = text_of(event, "Header-Value")
    ctx.moments.signalled(ctx, leg, Signal(message, header, value, bool(event.get("variable_signal_bond"))))
    if not leg.local_tag:
        learn_dialog(leg, event)
    if message.startswith("SIP/2.0 ") and header == "CSeq":
        number = value.partition(" ")[0]
        if number.isascii() and number.isdigit():
            leg.own_cseq = max(leg.own_cseq, int(number[:10]))
        _response(ctx, leg, message, value)
    elif message.startswith("INVITE ") and header == "CSeq":
        if not leg.inbound and leg.local_tag:
            ctx.switch(leg).remember(leg, "local_tag")  # From and To change sides now
        leg.peer_offered = True
    elif message.startswith("ACK ") and header == "CSeq" and leg.peer_offered:
        leg.peer_offered = False
        _peer_holds(ctx, leg, _holding(event))
        _codec_may_change(ctx, leg)


@on_event("sofia::reinvite")
def reinvite(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """A peer's re-INVITE, told also by a switch that shows no headers; its ACK may follow."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is not None and not leg.ending:
        _codec_may_change(ctx, leg)


def _codec_may_change(ctx: Context, leg: Leg) -> None:
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


@on_event("sofia::gateway_add")
@on_event("sofia::gateway_delete")
@on_event("sofia::gateway_state")
def gateways_changed(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """The switch has other trunks, or one of them stands otherwise."""
    node.trunks.forget()
