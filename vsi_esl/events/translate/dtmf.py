"""Digits: reported to clients, and passed on to the other legs of the room."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from ...errors import VsiError
from ...events import types
from ...model.leg import CONNECTED, Leg
from . import SwitchEvent, on_event
from .legs import text_of

if TYPE_CHECKING:
    from ...context import Context

log = structlog.get_logger(__name__)

REMEMBER_EVERY_S = 0.1
DIGITS = frozenset("0123456789*#ABCD")


@on_event("DTMF")
def dtmf(ctx: Context, event: SwitchEvent) -> None:
    """A digit from the peer. On an inbound leg it counts only after the answer."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    digit = text_of(event, "DTMF-Digit").upper()
    if leg is None or leg.ending or digit not in DIGITS:
        return
    if leg.inbound and leg.state != CONNECTED:
        return
    leg.dtmf_seq += 1
    _remember_seq(ctx, leg)
    ctx.emit(types.DtmfReceived.of(leg, digit=digit, seq=leg.dtmf_seq))
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if room is None:
        return
    for other in room.legs.values():
        if other is not leg and other.accept_dtmf and other.has_media:
            ctx.workers.submit(other.id, _pass_on, ctx, other, digit)


def _remember_seq(ctx: Context, leg: Leg) -> None:
    """Keep the count on the channel: at once, and then at most every so often while digits keep coming."""
    if not ctx.timers.pending(leg.id, "dtmf_seq"):
        ctx.switch.remember(leg, "dtmf_seq")
        due = time.time() + REMEMBER_EVERY_S
        ctx.timers.at(leg.id, "dtmf_seq", due, _remember_later, ctx, leg, leg.dtmf_seq)


def _remember_later(ctx: Context, leg: Leg, known: int) -> None:
    if leg.dtmf_seq != known:
        _remember_seq(ctx, leg)


def _pass_on(ctx: Context, leg: Leg, digit: str) -> None:
    try:
        ctx.switch.send_dtmf(leg, digit)
    except VsiError as error:
        log.warning("digit not passed on", leg_id=leg.id, error=error.message)
