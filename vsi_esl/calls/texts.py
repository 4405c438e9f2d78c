"""Real-time text of legs: reported to clients, and passed on to the other legs of the room.

Between the members of one conference the switch passes it on by itself: mod_conference writes each line,
behind the typist's name, to every member that has agreed on text, and cannot be told not to. What it cannot
reach is done here, on the channel of each: a leg whose peer is ours, and one that is in the room by a tether,
which carries audio only.
"""

from __future__ import annotations

import structlog

from ..errors import VsiError
from ..events.text import RttReceived
from ..model.leg import Leg
from ..switch.lines.audio import readable
from .context import Context

log = structlog.get_logger(__name__)


def received(ctx: Context, leg: Leg, text: str) -> None:
    """A text of a leg's peer, which has agreed on text and is listened to."""
    leg.rtt_seq += 1
    ctx.emit(RttReceived.of(leg, text=text, seq=leg.rtt_seq))
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    for other in room.legs.values() if room is not None else ():
        if other is leg or not (other.rtt_negotiated and other.accept_rtt):
            continue
        if other.peer_is_ours:
            ctx.moments.text_for(ctx, other, text)
        elif not _by_the_switch(leg, other):
            ctx.workers.submit(other.id, _pass_on, ctx, other, text)


def _by_the_switch(leg: Leg, other: Leg) -> bool:
    """Whether both are in one conference by their own channels, and what the first types comes from there."""
    if leg.peer_is_ours or leg.node != other.node:
        return False
    return bool(leg.channel.conference) and leg.channel.conference == other.channel.conference


def _pass_on(ctx: Context, leg: Leg, text: str) -> None:
    try:
        ctx.sound(leg).send_text(leg, readable(text))
    except VsiError as error:
        log.warning("text not passed on", leg_id=leg.id, error=error.message)
