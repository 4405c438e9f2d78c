"""Real-time text: reported to clients, and passed on to the other legs of the room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ...errors import VsiError
from ...events import sound as events
from ...model.leg import Leg
from . import SwitchEvent, on_event
from .dtmf import remember_count

if TYPE_CHECKING:
    from ...context import Context

log = structlog.get_logger(__name__)


@on_event("TEXT")
def text(ctx: Context, event: SwitchEvent) -> None:
    """A line of the peer's: the switch keeps what is typed until the line ends."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    body = event.get("_body")
    if leg is None or leg.ending or not leg.accept_rtt or not isinstance(body, str) or not body:
        return
    leg.rtt_negotiated = True
    leg.rtt_seq += 1
    remember_count(ctx, leg, "rtt_seq")
    ctx.emit(events.RttReceived.of(leg, text=body, seq=leg.rtt_seq))
    room = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if room is None:
        return
    for other in room.legs.values():
        if other is not leg and other.rtt_negotiated and other.accept_rtt:
            ctx.workers.submit(other.id, _pass_on, ctx, other, body)


def _pass_on(ctx: Context, leg: Leg, body: str) -> None:
    try:
        ctx.sound.send_text(leg, body)
    except VsiError as error:
        log.warning("text not passed on", leg_id=leg.id, error=error.message)
