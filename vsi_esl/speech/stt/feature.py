"""Speech to text as a feature: what it gives a service, and what it is told of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from ...calls.context import Context
from ...calls.moments import Awaited
from ...calls.nodes import Node
from ...model.leg import Leg
from ...ops.series import gauge
from ...switch.snapshot import Snapshot
from . import commands, events, transcribing
from .transcribing import Transcriptions

__all__ = ["commands", "events", "register"]


def register(ctx: Context) -> None:
    """Make speech to text a part of the service."""
    ctx.provide(Transcriptions())
    ctx.metrics.show(lambda: _series(ctx))
    moments = ctx.moments
    moments.restore.subscribe(transcribing.restore)
    moments.adopt.subscribe(_adopt)
    moments.host_back.subscribe(transcribing.host_back)
    moments.released.subscribe(transcribing.released)
    moments.joined.subscribe(transcribing.joined)
    moments.left.subscribe(transcribing.left)
    moments.ended.subscribe(_ended)
    moments.room_deleting.subscribe(transcribing.room_deleting)


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    transcribing.readopt(ctx, node)
    return ()


def _ended(ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
    transcribing.leg_ended(ctx, leg)
    return ()


def _series(ctx: Context) -> Iterator[Metric]:
    yield gauge(
        "vsi_esl_transcriptions", "Legs and rooms that are transcribed.", len(ctx.get(Transcriptions))
    )
