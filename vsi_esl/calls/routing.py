"""Making the switch obey a room's routing matrix: only the relations that changed are sent."""

from __future__ import annotations

from gevent.event import AsyncResult

from ..model.room import Room
from ..model.routing import forbidden
from .context import Context

APPLY_TIMEOUT_S = 10.0


def apply_soon(ctx: Context, room: Room) -> AsyncResult[None]:
    """Bring the switch's relations in line, behind what the room's worker is doing."""
    return ctx.workers.submit(f"room {room.id}", _apply, ctx, room)


def apply(ctx: Context, room: Room) -> None:
    """The same, and wait until it is done. Raises SwitchUnavailable when that cannot be."""
    ctx.workers.run(f"room {room.id}", APPLY_TIMEOUT_S, _apply, ctx, room)


def _apply(ctx: Context, room: Room) -> None:
    present = {
        leg.seat.member_id: leg for leg in room.legs.values() if leg.seat.conference == room.conference
    }
    wanted = forbidden(room.matrix, present.values(), room.strangers)
    there = present.keys() | room.strangers
    # a relation to a leg that is away cannot be cleared now; it is when that leg returns
    stale = {pair for pair in room.relations - wanted if pair[0] in present and pair[1] in there}
    missing = wanted - room.relations
    ctx.switch(room).relate(room.conference, missing, "nohear")
    ctx.switch(room).relate(room.conference, stale, "clear")
    room.relations = (room.relations | missing) - stale
