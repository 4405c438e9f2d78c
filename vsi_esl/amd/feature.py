"""Answering machine detection as a feature: what it gives a service, and what it is told of."""

from __future__ import annotations

from collections.abc import Iterable

from ..calls.context import Context
from ..calls.nodes import Node
from ..live.sessions import Sessions
from ..model.leg import CONNECTED, Leg
from ..switch.snapshot import Snapshot
from . import commands, detecting
from .detecting import Detections

__all__ = ["commands", "register"]


def register(ctx: Context) -> None:
    """Make answering machine detection a part of the service."""
    ctx.provide(Detections(ctx.metrics))
    moments = ctx.moments
    moments.restore.subscribe(detecting.restore)
    moments.adopt.subscribe(_adopt)
    moments.released.subscribe(detecting.released)
    moments.dialling.subscribe(_dialling)
    moments.media_up.subscribe(_media_up)


def _dialling(ctx: Context, leg: Leg) -> None:
    if leg.amd is not None:
        ctx.get(Sessions).prepare(ctx.node(leg))  # the first word is not to be lost


def _media_up(ctx: Context, leg: Leg) -> None:
    if leg.state == CONNECTED:
        detecting.answered(ctx, leg)


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    detecting.readopt(ctx, node)
    return ()
