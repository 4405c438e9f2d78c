"""Tethers that ended by themselves: the other switch is gone, or somebody there has ended the call.

The leg stays in its room for clients while another tether is made, a few times and not for long; then it
has left the room, as one does whose room's conference has ended.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ..model.channel import Tether
from ..model.leg import Leg
from ..model.room import Room
from ..work import clock
from . import lifecycle, seats
from .context import Context
from .lifecycle import TETHER
from .tethers import Mending

log = structlog.get_logger(__name__)

TRIES = 8
AGAIN_S = 1.0
"""From one try to the next."""
MENDED_BY_S = 10.0
"""How long a leg stays in a room in which it is not heard."""
AGAIN = "tether again"
"""The timer of the next try."""

Settle = Callable[[Context, Leg], object]
"""Has the leg's worker put the leg where it belongs: see `placement.settle_soon`."""


def ended(ctx: Context, leg: Leg, tether: Tether, settle: Settle) -> None:
    """The call of a leg's tether has ended, as one of the switches reports."""
    if leg.tether is not tether:
        return
    if tether.leaving or leg.ending or ctx.legs.find(leg.id) is not leg:
        lifecycle.left(ctx, leg, tether.conference)
        return
    seats.let_go(ctx, leg)
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if room is not None:
        log.info("tether lost", leg_id=leg.id, room_id=room.id, switch=tether.node)
        lifecycle.forget_relations(room, tether)
        begin(ctx, leg, room, settle)


def begin(ctx: Context, leg: Leg, room: Room, settle: Settle) -> None:
    """A leg is in this room, of another switch, and has no member there: it gets one."""
    lifecycle.stopped_speaking(ctx, leg)
    leg.target_room = room.id
    until = clock.now() + MENDED_BY_S
    ctx.tethers.mending[leg.id] = Mending(room.id, until)
    ctx.timers.at(leg.id, TETHER, until, give_up, ctx, leg, settle)
    ctx.moments.unseated(ctx, room, leg)
    if leg.channel.parked:
        settle(ctx, leg)  # else its own switch is about to report that it waits


def failed(ctx: Context, leg: Leg, error: str, settle: Settle) -> bool:
    """A leg was not put into its room. False when it was not a tether that was being made anew."""
    mending = ctx.tethers.mending.get(leg.id)
    if mending is None:
        return False
    mending.tries += 1
    due = clock.now() + AGAIN_S
    if mending.tries < TRIES and due < mending.until:
        ctx.timers.at(leg.id, AGAIN, due, settle, ctx, leg)
    else:
        log.warning("tether not made anew", leg_id=leg.id, room_id=mending.room_id, error=error)
        give_up(ctx, leg, settle)
    return True


def give_up(ctx: Context, leg: Leg, settle: Settle) -> None:
    """It has left the room now, if no try is under way."""
    if any(coming.leg is leg for coming in ctx.tethers.coming.values()):
        ctx.timers.at(leg.id, TETHER, clock.now() + AGAIN_S, give_up, ctx, leg, settle)
        return
    mending = ctx.tethers.mending.pop(leg.id, None)
    if mending is None or ctx.legs.find(leg.id) is not leg:
        return
    ctx.timers.cancel(leg.id, AGAIN)
    room = ctx.rooms.find(mending.room_id)
    if room is not None and leg.room_id == room.id:
        lifecycle.left(ctx, leg, room.conference)
    settle(ctx, leg)


def switch_gone(ctx: Context, node: str, settle: Settle) -> None:
    """A switch does not come back: legs of others that are in its rooms leave them."""
    for leg in ctx.legs.everyone():
        if leg.tether is not None and leg.tether.node == node:
            lifecycle.left(ctx, leg, leg.tether.conference)
            settle(ctx, leg)
