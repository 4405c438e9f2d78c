"""A slow look at the switch for calls without a leg, and legs without a call.

Every call is to have its leg by the events of its channel; what is found here has slipped through. A call
becomes a leg again, or is ended when its leg has been reported as ended. A leg whose channel is not there is
reported gone. It costs a list of the channels, and a dump of each that is not known.
"""

from __future__ import annotations

import gevent
import structlog

from .. import lasting
from ..calls import endings
from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import SwitchUnavailable
from ..later import pause
from ..model.leg import Leg
from ..switch import snapshot
from ..work import clock
from . import adoption

log = structlog.get_logger(__name__)

SECOND_LOOK_S = 1.0
"""A call or leg counts as astray when it still does after so long: the list of channels is behind, and
the events of a channel that is just being made or ended are on their way."""
PRESUMED_FOR_S = 86_400.0
"""How long a channel is not let back whose leg was reported as ended."""
MAX_PRESUMED = 10_000


def start(ctx: Context) -> list[gevent.Greenlet]:
    """Look again and again at each switch, in the background, if its settings want that."""
    wanted = [(node, node.settings.sweep_interval) for node in ctx.nodes]
    return [lasting.keep(_run, ctx, node, interval) for node, interval in wanted if interval]


def _run(ctx: Context, node: Node, interval: float) -> None:
    others: set[str] = set()
    while not ctx.draining:
        gevent.sleep(interval)
        if node.ready:
            try:
                others = look(ctx, node, others)
            except SwitchUnavailable as error:
                log.debug("no look at the switch", error=error.message)
            except Exception:
                log.exception("the look at the switch failed")


def look(ctx: Context, node: Node, others: set[str] | None = None) -> set[str]:
    """One look. `others` are channels known to be none of ours; returns those that are none now."""
    shown = set(snapshot.shown_channels(node))
    others = (others or set()) & shown
    legless, strangers = _legless(ctx, node, shown - others)
    others |= strangers
    missing = [
        leg
        for leg in ctx.legs.everyone()
        if leg.id not in shown and not leg.dialling and ctx.node(leg) is node
    ]
    if legless or missing:
        pause(SECOND_LOOK_S)
        adoption.take_in(ctx, node, legless)
        for leg in missing:
            _report_gone(ctx, leg)
    _forget_old(ctx)
    return others


def _legless(ctx: Context, node: Node, channels: set[str]) -> tuple[list[str], set[str]]:
    """Those of the channels that are to be legs of this service, and are not; and those that are no legs."""
    unknown = [channel for channel in channels if ctx.legs.find(channel) is None]
    found = snapshot.dumps(node, unknown)
    strangers = {channel for channel, dump in found.items() if not snapshot.is_leg(dump)}
    # another service on the same switch has a bond of its own; callers nobody took are the dialplan's
    bond = node.bond
    ours = [channel for channel, dump in found.items() if dump.get("variable_signal_bond") == bond]
    legs = [channel for channel in ours if channel not in strangers]
    return [channel for channel in legs if snapshot.explains_itself(found[channel])], strangers


def _report_gone(ctx: Context, leg: Leg) -> None:
    if ctx.legs.find(leg.id) is not leg or ctx.switch(leg).exists(leg):
        return
    if endings.unless_there(ctx, leg, adoption.UNOBSERVED):
        log.warning("a leg had no call any more", leg_id=leg.id)
        ctx.metrics.strays.labels("gone").inc()


def _forget_old(ctx: Context) -> None:
    """What was reported as ended long ago cannot come back; the oldest go when there are too many."""
    presumed = sorted(ctx.legs.presumed_ended.items(), key=lambda one: one[1])
    excess = len(presumed) - MAX_PRESUMED
    for number, (leg_id, when) in enumerate(presumed):
        if number < excess or clock.now() - when > PRESUMED_FOR_S:
            endings.confirmed(ctx, leg_id)
