"""Digits: reported to clients, and passed on to the other legs of the room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ..errors import VsiError
from ..events.text import DtmfReceived
from ..model.leg import CONNECTED, Leg
from ..model.legtypes import may
from ..work import clock
from . import SwitchEvent, on_event, text_of

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

log = structlog.get_logger(__name__)

REMEMBER_EVERY_S = 0.1
DIGITS = frozenset("0123456789*#ABCD")


@on_event("DTMF")
def dtmf(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """A digit from the peer, by RTP, INFO or its tone. On an inbound leg it counts only after the answer."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    digit = text_of(event, "DTMF-Digit").upper()
    if leg is None or leg.ending or digit not in DIGITS:
        return
    if leg.inbound and leg.state != CONNECTED:
        return
    if not leg.presses.is_new(digit, text_of(event, "DTMF-Source"), clock.happened()):
        return
    leg.dtmf_seq += 1
    remember_count(ctx, leg, "dtmf_seq")
    ctx.emit(DtmfReceived.of(leg, digit=digit, seq=leg.dtmf_seq))
    ctx.moments.digit(ctx, leg, digit)
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if room is None:
        return
    for other in room.legs.values():
        if other is not leg and other.accept_dtmf and other.has_media and may(other.type, "send_leg_dtmf"):
            ctx.workers.submit(other.id, _pass_on, ctx, other, digit)


def remember_count(ctx: Context, leg: Leg, name: str) -> None:
    """Keep a count on the channel: at once, and then at most every so often while it keeps changing."""
    if not ctx.timers.pending(leg.id, name):
        ctx.switch(leg).remember(leg, name)
        due = clock.now() + REMEMBER_EVERY_S
        ctx.timers.at(leg.id, name, due, _remember_later, ctx, leg, name, getattr(leg, name))


def _remember_later(ctx: Context, leg: Leg, name: str, known: int) -> None:
    if getattr(leg, name) != known:
        remember_count(ctx, leg, name)


def _pass_on(ctx: Context, leg: Leg, digit: str) -> None:
    try:
        ctx.switch(leg).send_dtmf(leg, digit)
    except VsiError as error:
        log.warning("digit not passed on", leg_id=leg.id, error=error.message)
