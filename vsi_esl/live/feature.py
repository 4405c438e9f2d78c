"""Live audio as a feature: what it gives a service, and what it is told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from ..calls.context import Context
from ..calls.moments import Awaited
from ..calls.nodes import Node
from ..model.leg import Leg
from ..model.room import Room
from ..ops.series import gauge, total
from ..switch.facts import need
from ..switch.snapshot import Snapshot
from . import doctor, reach, translators
from .figures import COUNTED
from .sessions import Sessions

__all__ = ["doctor", "reach", "register", "translators"]

need("mod_loopback", "live audio")


def register(ctx: Context) -> None:
    """Make live audio a part of the service."""
    sessions = Sessions(ctx)
    ctx.provide(sessions)
    ctx.metrics.show(lambda: _series(sessions))
    moments = ctx.moments
    moments.rate_changed.subscribe(_rate_changed)
    moments.ended.subscribe(_ended)
    moments.room_emptied.subscribe(_room_emptied)
    moments.room_deleting.subscribe(_room_deleting)
    moments.room_deleted.subscribe(_room_deleted)
    moments.room_wanted.subscribe(_room_wanted)
    moments.channel_ended.subscribe(_channel_ended)
    moments.adopt.subscribe(_adopt)
    moments.stop.subscribe(_stop)


def _rate_changed(ctx: Context, leg: Leg) -> None:
    ctx.get(Sessions).rate_changed(ctx, leg)


def _ended(ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
    return ctx.get(Sessions).leg_ended(leg)


def _room_emptied(ctx: Context, room: Room) -> None:
    ctx.get(Sessions).room_emptied(room)


def _room_deleting(ctx: Context, room: Room) -> None:
    ctx.get(Sessions).room_deleting(room)


def _room_deleted(ctx: Context, room: Room) -> None:
    ctx.get(Sessions).room_deleted(room)


def _room_wanted(ctx: Context, room: Room) -> bool:
    return ctx.get(Sessions).room_wanted(room)


def _channel_ended(ctx: Context, channel: str) -> None:
    ctx.get(Sessions).channel_ended(channel)


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    return ctx.get(Sessions).readopt(ctx, node, snapshot)


def _stop(ctx: Context) -> None:
    ctx.get(Sessions).stop()


def _series(sessions: Sessions) -> Iterator[Metric]:
    live = GaugeMetricFamily(
        "vsi_esl_live_sessions", "Live sessions that have not ended.", labels=["kind", "provider"]
    )
    for labels, count in Counter((one.plan.kind, one.plan.provider) for one in sessions).items():
        live.add_metric(labels, count)
    yield live
    refused = "Live sessions not begun because there were too many."
    yield total("vsi_esl_live_sessions_refused", refused, sessions.figures.refused)
    yield gauge("vsi_esl_media_workers", "Media workers that run.", len(sessions.pool))
    restarts = "Media workers that died, or hung and were ended."
    yield total("vsi_esl_media_worker_restarts", restarts, sessions.pool.restarts)
    counted = sessions.pool.figures()
    for figure, (name, text) in COUNTED.items():
        yield total(name, text, counted.get(figure, 0))
