"""Bridges as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from ...calls.context import Context
from ...calls.nodes import Node
from ...model.room import Room
from ...model.sound_stores import Bridges
from ...ops.series import gauge
from ...protocol.confinement import app_ids_of_room, owned
from ...switch.facts import need
from ...switch.snapshot import Snapshot
from . import bridging, commands
from .commands import BridgeId

__all__ = ["commands", "register"]

need("mod_loopback", "bridges")


def register(ctx: Context) -> None:
    """Make bridges a part of the service."""
    ctx.provide(Bridges())
    ctx.metrics.show(lambda: _series(ctx))
    moments = ctx.moments
    moments.restore.subscribe(bridging.restore)
    moments.adopt.subscribe(_adopt)
    moments.released.subscribe(bridging.released)
    moments.between.subscribe(_between)
    moments.room_deleted.subscribe(_delete_with_room)
    moments.room_wanted.subscribe(_wanted)
    moments.channel_ended.subscribe(bridging.ended)


@owned(BridgeId)
def _owners(ctx: Context, bridge_id: str) -> list[str]:
    """Of both its rooms: it is a part of each."""
    bridge = ctx.get(Bridges).find(bridge_id)
    if bridge is None:
        return []
    return app_ids_of_room(ctx, bridge.room_a) + app_ids_of_room(ctx, bridge.room_b)


def _adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    bridging.readopt(ctx, node, snapshot)
    return [bridge.channel for bridge in ctx.get(Bridges) if ctx.node(bridge) is node]


def _between(ctx: Context) -> Iterator[tuple[str, str]]:
    """Rooms of two switches have a call between these, or get one again."""
    for bridge in ctx.get(Bridges):
        room_a, room_b = ctx.rooms.find(bridge.room_a), ctx.rooms.find(bridge.room_b)
        if room_a is not None and room_b is not None:
            yield room_a.node, room_b.node


def _delete_with_room(ctx: Context, room: Room) -> None:
    for bridge in ctx.get(Bridges).of_room(room.id):
        bridging.delete(ctx, bridge, room)


def _wanted(ctx: Context, room: Room) -> bool:
    return bool(ctx.get(Bridges).of_room(room.id))


def _series(ctx: Context) -> Iterator[Metric]:
    yield gauge("vsi_esl_bridges", "Bridges between rooms.", len(ctx.get(Bridges)))
