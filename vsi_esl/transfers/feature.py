"""Transfers as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from ..calls.context import Context
from ..calls.nodes import Node
from ..ops.series import gauge
from ..switch.snapshot import Snapshot
from . import autodial, commands, decisions, lost, outgoing, referred, translators
from .outgoing import Transfers
from .requests import Requests

__all__ = ["commands", "decisions", "register", "translators"]


def register(ctx: Context) -> None:
    """Make transfers a part of the service."""
    ctx.provide(Transfers())
    ctx.provide(Requests())
    ctx.metrics.show(lambda: _series(ctx))
    moments = ctx.moments
    moments.restore.subscribe(outgoing.restore)
    moments.restore.subscribe(referred.restore)
    moments.adopt.subscribe(_adopt)
    moments.released.subscribe(_released)
    moments.between.subscribe(_between)
    moments.signalled.subscribe(outgoing.signalled)
    moments.signalled.subscribe(referred.signalled)
    moments.signalled.subscribe(lost.signalled)
    moments.media_up.subscribe(autodial.media_up)
    moments.ended.subscribe(outgoing.ended)
    moments.ended.subscribe(referred.ended)


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    outgoing.readopt(ctx, node, snapshot)
    referred.readopt(ctx, node)
    return ()


def _released(ctx: Context, node: Node) -> None:
    outgoing.released(ctx, node)
    referred.released(ctx, node)


def _between(ctx: Context) -> Iterator[tuple[str, str]]:
    """The calls of an attended transfer, whose end is that of both."""
    for transfer in ctx.get(Transfers).running.values():
        replaced = ctx.legs.find(transfer.replaces) if transfer.replaces else None
        if replaced is not None:
            yield transfer.node, replaced.node


def _series(ctx: Context) -> Iterator[Metric]:
    running = len(ctx.get(Transfers).running)
    yield gauge("vsi_esl_transfers", "Transfers that were asked for and are not over.", running)
    asked = len(ctx.get(Requests).of_leg)
    yield gauge("vsi_esl_transfer_requests", "REFERs of peers that are not declined, nor over.", asked)
