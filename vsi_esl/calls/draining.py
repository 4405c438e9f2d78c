"""Switches that their operator has drained: no new calls are made on them, until that is undone."""

from __future__ import annotations

import structlog

from .context import Context
from .nodes import Node

log = structlog.get_logger(__name__)

KIND = "drained"


def drain(ctx: Context, node: Node, drained: bool) -> None:
    """Have a switch drained or not, also after a restart. Raises StorageFailed; nothing is changed then."""
    if drained:
        ctx.state.save_item(KIND, node.name, {"id": node.name}, needed=True)
    else:
        ctx.state.forget_item(KIND, node.name)
    if drained is not node.drained:
        log.info("switch drained" if drained else "switch takes calls again", switch=node.name)
    node.drained = drained


def restore(ctx: Context) -> None:
    """At start: those that were drained."""
    for body in ctx.state.items(KIND):
        if (node := ctx.nodes.find(body["id"])) is not None:
            node.drained = True
