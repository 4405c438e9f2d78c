"""Media over WebSockets as a feature: what it gives a service, and what it is told of."""

from __future__ import annotations

from functools import partial

from ..calls.context import Context
from ..calls.nodes import Node
from ..sound.bridges.events import RoomBridged, RoomUnbridged
from . import commands, legs, rooms
from .legs import Peers
from .rooms import Participants

__all__ = ["commands", "register"]


def register(ctx: Context) -> None:
    """Make WebSockets with media a part of the service."""
    ctx.provide(Peers())
    ctx.provide(Participants())
    moments = ctx.moments
    moments.adopt.subscribe(legs.adopt)
    moments.released.subscribe(legs.released)
    moments.released.subscribe(lambda ctx, node: ctx.get(Participants).forget(node))
    moments.bound.subscribe(_bound)
    moments.stop.subscribe(legs.stop)
    moments.text_for.subscribe(legs.send)
    moments.entered.subscribe(legs.entered)
    moments.left_conference.subscribe(legs.left)
    moments.joined.subscribe(rooms.joined)
    moments.room_emptied.subscribe(rooms.emptied)
    ctx.bus.add_sink(partial(rooms.bridged, ctx), RoomBridged, RoomUnbridged)


def _bound(ctx: Context, node: Node) -> int:
    """The connections are this process's."""
    peers = sum(ctx.node(peer.leg) is node for peer in ctx.get(Peers))
    return peers + ctx.get(Participants).on(node)
