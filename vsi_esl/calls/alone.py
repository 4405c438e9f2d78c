"""A leg that is answered and in no room.

It waits parked, sending silence: that takes one thread of the switch and 0.3 % of a core, where a conference
of its own takes three and 0.48 %, and 4 ms of CPU to make. It gets that conference when there is something to
hear of it (speaking events) or to play to it, and before it is put on hold: a leg on hold is not moved,
because its peer would notice. freeswitch_conf/README.md has the figures.
"""

from __future__ import annotations

from ..model.leg import CONNECTED, Leg
from .context import Context

PATIENCE_S = 0.1
"""How long after its answer a leg may still be put into a room before it gets a conference of its own."""


def wants_conference(leg: Leg) -> bool:
    """Whether parked it would miss something."""
    return leg.speech_detection or leg.needs_conference or leg.held


def give_conference(ctx: Context, leg: Leg) -> None:
    """Have a leg that waits parked in a conference, its own, from now on. To be run by the leg's worker. Does
    nothing for one that is elsewhere, on its way, or on hold. Raises LegGone, Internal or SwitchUnavailable.
    """
    leg.needs_conference = True
    if leg.state != CONNECTED or leg.held or (leg.target_room and ctx.rooms.find(leg.target_room)):
        return
    if leg.channel.parked and not leg.channel.conference:
        ctx.switch(leg).enter(leg, leg.solo_conference, leg.channel.rate)
