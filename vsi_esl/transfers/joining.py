"""An attended transfer between two calls of one peer with us: those it was talking to talk to each other."""

from __future__ import annotations

import structlog

from ..calls import placement
from ..calls.context import Context
from ..errors import SwitchUnavailable, VsiError
from ..later import Within
from ..model.leg import Leg

log = structlog.get_logger(__name__)

MOVE_TIMEOUT_S = placement.LEG_COMMAND_TIMEOUT_S


def join(ctx: Context, referrer: Leg, replaced: Leg) -> bool:
    """Bring everybody in the room of the replaced call into that of the referrer's. False when there is
    nobody to bring, or nowhere to bring them, or the switch did not do it: then both calls go on."""
    room = ctx.rooms.find(referrer.room_id) if referrer.room_id else None
    left = ctx.rooms.find(replaced.room_id) if replaced.room_id else None
    if room is None or left is None:
        return False
    if room is left:
        return len(room.legs) > 2  # they are together already
    others = [leg for leg in left.legs.values() if leg is not replaced]
    there = [leg for leg in room.legs.values() if leg is not referrer]
    if not others or not there:
        return False
    moves = [ctx.workers.submit(leg.id, placement.move, ctx, leg, room) for leg in others]
    moved = 0
    for leg, move in zip(others, moves, strict=True):
        try:
            with Within(MOVE_TIMEOUT_S, SwitchUnavailable("not moved in time")):
                move.get()
            moved += 1
        except VsiError as error:
            log.warning("leg not brought along", leg_id=leg.id, room_id=room.id, error=error.message)
    return moved > 0
