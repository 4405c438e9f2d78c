"""Live audio as a feature: what it gives a service, and what it is told of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from ..calls.context import Context
from ..ops.series import gauge, total
from ..switch.facts import need
from . import doctor, following, reach, translators
from .figures import COUNTED
from .sessions import Sessions

__all__ = ["doctor", "reach", "register", "translators"]

need("mod_loopback", "live audio")


def register(ctx: Context) -> None:
    """Make live audio a part of the service."""
    sessions = Sessions(ctx)
    ctx.provide(sessions)
    ctx.metrics.show(lambda: _series(sessions))
    following.subscribe(ctx)
    ctx.moments.stop.subscribe(_stop)


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
    yield gauge("vsi_esl_media_workers", "Media workers that run.", sum(map(len, sessions.pools)))
    restarts = "Media workers that died, or hung and were ended."
    yield total("vsi_esl_media_worker_restarts", restarts, sum(one.restarts for one in sessions.pools))
    counted = [one.figures() for one in sessions.pools]
    for figure, (name, text) in COUNTED.items():
        yield total(name, text, sum(one.get(figure, 0) for one in counted))
