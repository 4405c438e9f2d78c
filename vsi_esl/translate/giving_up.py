"""A switch that does not come back: after `switch.lost_after` its calls are given up."""

from __future__ import annotations

import structlog

from ..calls import endings, lifecycle, mending, placement
from ..calls.context import Context
from ..calls.nodes import Node
from ..model.leg import Leg
from ..storage.state import LegRecord
from ..work import clock, turns
from .adoption import hide_missing, legs_on, records_on

log = structlog.get_logger(__name__)

SWITCH_LOST = "switch_lost"
TIMER = "lost"


def await_return(ctx: Context, node: Node) -> None:
    """Its connection was lost, or there was none yet: from now on it has `lost_after` to be ready."""
    limit = node.settings.lost_after
    if limit:
        ctx.timers.at(node.name, TIMER, clock.now() + limit, _give_up, ctx, node)


def returned(ctx: Context, node: Node) -> None:
    """It is back, and its calls are adopted again."""
    ctx.timers.cancel(node.name, TIMER)


def _give_up(ctx: Context, node: Node) -> None:
    """Report its legs as ended, those as well that only the state knows of. What is up when it comes back
    after all is hung up: see `endings.unreported`."""
    if node.ready:
        return
    records = records_on(ctx, node)
    lost = hide_missing(ctx, node, (), records)
    for leg in legs_on(ctx, node):
        if leg.dialling:
            leg.unseen = True
            ctx.legs.retire(leg)
            lost.append(leg)
    if lost:
        log.error("a switch does not come back; its legs are given up", switch=node.name, legs=len(lost))
    mending.switch_gone(ctx, node.name, placement.settle_soon)
    for count, leg in enumerate(lost, 1):
        # re-adoption has those again that it finds
        if leg.unseen and ctx.legs.find(leg.id) is leg:
            _report(ctx, leg, records.get(leg.id))
        turns.give_way(count)


def _report(ctx: Context, leg: Leg, record: LegRecord | None) -> None:
    if record is not None and record.end is not None:
        lifecycle.disconnected(ctx, leg, SWITCH_LOST, clock.now(), known=record.end)
    else:
        endings.unreported(ctx, leg, leg.ending or SWITCH_LOST)
