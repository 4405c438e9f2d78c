"""An outbound call from the command until its channel is ours to move.

The switch's dialler has the channel until it parks it, or puts it into its room. It says how that went in the
result of its job, which is no more than that: a channel taken away from it is `-ERR ORIGINATOR_CANCEL`, and
up all the same.
"""

from __future__ import annotations

import structlog

from ..errors import SwitchUnavailable
from ..model.leg import Leg
from ..switch.lines.targets import Target
from . import endings
from .context import Context

log = structlog.get_logger(__name__)

NO_LIMIT_S = 86_400.0
"""How long a call may ring when the client set no limit: the switch wants a number."""


def dial(ctx: Context, leg: Leg, variables: dict[str, str], target: Target) -> None:
    """Have the switch dial, and wait until it is done with that. `leg.dialling` was set before."""
    limit = leg.ring_deadline - leg.created_at if leg.ring_deadline else NO_LIMIT_S
    try:
        room = ctx.rooms.find(leg.target_room) if leg.target_room else None
        if room is not None and room.node and ctx.node(room) is not ctx.node(leg):
            room = None  # of another switch: it goes there when it is answered
        result = ctx.switch(leg).originate(leg, variables, target, limit, room)
    except SwitchUnavailable as error:
        # whether there is a call is seen when the switch is back, or by the next look at it
        log.warning("dialling not confirmed", leg_id=leg.id, error=error.message)
        return
    finally:
        parked(ctx, leg)
    if not result.startswith("+OK") and ctx.legs.find(leg.id) is leg:
        # a call that had a channel reports its end itself
        log.debug("dialling failed", leg_id=leg.id, result=result[:80])
        endings.unless_there(ctx, leg, "invite_failed")


def parked(ctx: Context, leg: Leg) -> None:
    """The dialler has let the channel go."""
    if leg.dialling:
        leg.dialling = False
        ctx.node(leg).waits.fulfil("dialled", leg.id)
