"""The switches as their operator sees them: which there are, and that one is drained."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, g

from ..access.tokens import Scope
from ..calls import choosing, draining
from ..calls.cluster import ClusterView
from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import NotFound
from ..net.addresses import host_port
from .rest import reply

PATH = "/switches"
DRAIN, UNDRAIN = f"{PATH}/<name>/drain", f"{PATH}/<name>/undrain"


def register(app: Flask, ctx: Context) -> None:
    """GET /switches, and POST /switches/NAME/drain and undrain for admins."""

    @app.get(PATH)
    def switches() -> Response:
        return reply(ctx, [listed(ctx, node) for node in ctx.nodes])

    @app.post(DRAIN)
    def drain(name: str) -> Response:
        return _set(ctx, name, drained=True)

    @app.post(UNDRAIN)
    def undrain(name: str) -> Response:
        return _set(ctx, name, drained=False)


def _set(ctx: Context, name: str, *, drained: bool) -> Response:
    g.access.require(Scope.ADMIN)
    node = ctx.nodes.find(name)
    if node is None:
        raise NotFound(f"no switch {name}; there are: {', '.join(one.name for one in ctx.nodes)}")
    draining.drain(ctx, node, drained)
    return reply(ctx, listed(ctx, node))


def health(node: Node) -> dict[str, Any]:
    """What /readyz says of one switch, and so anybody may know."""
    error = "" if node.ready else node.last_error
    lacking = sorted(node.facts.missing_modules)
    return {
        "ready": node.ready,
        "draining": node.draining,
        "version": node.facts.version,
        "error": error,
        "legs_heard_by": "fork" if node.facts.forks else "loopback",
        **({"missing_modules": lacking} if lacking else {}),
        **_companion(node),
    }


def _companion(node: Node) -> dict[str, Any]:
    """Without it calls go on, so it is no reason not to be ready."""
    line = node.host.companion
    return (
        {}
        if line is None or not line.wanted
        else {"companion": {"connected": line.connected, "error": line.error}}
    )


def listed(ctx: Context, node: Node) -> dict[str, Any]:
    """One switch with its share of the calls. `takes_no_calls` is why, or empty."""
    cluster = ctx.cluster
    return {
        "name": node.name,
        "address": host_port(node.settings.host, node.settings.port),
        **health(node),
        "legs": ctx.legs.on(node.name),
        "tethers": ctx.tethers.on(node.name),
        "rooms": sum(room.node == node.name for room in ctx.rooms),
        "capacity": node.share.capacity,
        "weight": node.share.weight,
        "takes_no_calls": choosing.why_not(ctx, node),
        "changes_hands_with": [] if cluster is None else _others(cluster, node),
    }


def _others(cluster: ClusterView, node: Node) -> list[str]:
    """The switches that have the same owner at a time, as one group or as several that are one for now."""
    return [one for one in cluster.growing.switches_with(node.name) if one != node.name]
