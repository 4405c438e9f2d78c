"""On which switch a new leg is to be: its room's, else the one with the fewest legs for its weight."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import SwitchUnavailable
from ..model.room import Room
from . import lifecycle
from .context import Context
from .nodes import Node

Suits = Callable[[Node], bool]
"""Whether a switch has what a call needs, such as a module or a trunk. May ask the switch."""


def for_leg(ctx: Context, room: Room | None = None, suits: Suits | None = None) -> Node:
    """The switch for a new leg, which is to join this room, if any.

    A room that nothing is in goes where its next leg does, when the switch that it was on takes none. Of
    several switches that can it is one that `suits`; where none does, what it lacks is for the caller to say.
    Raises SwitchUnavailable, with the reason of each, when no switch can.
    """
    if ctx.draining:
        raise SwitchUnavailable("the service is shutting down")
    if room is not None and room.node:
        own = ctx.node(room)
        why = why_not(ctx, own, there_already=True)
        if not why:
            return own
        if len(ctx.nodes) == 1 or not lifecycle.unused(ctx, room):
            raise SwitchUnavailable(why if len(ctx.nodes) == 1 else f"room {room.id} is on {own.name}, {why}")
        lifecycle.room_off(room)
    return _least_loaded(ctx, suits)


def for_room(ctx: Context) -> str:
    """The name of the switch for a new room that nothing is in yet: none, as long as there is one service. Of
    several each has the rooms that are on its switches. Raises SwitchUnavailable when this one has none."""
    return "" if ctx.cluster is None else _least_loaded(ctx, None).name


def why_not(ctx: Context, node: Node, *, there_already: bool = False) -> str:
    """Why no new leg can be on this switch; empty when it can. One that drains still takes those for rooms
    that are there already."""
    if not node.ready:
        return f"not connected to the switch: {node.last_error}"
    if node.draining and not there_already:
        return "draining"
    capacity = node.share.capacity
    if capacity and load(ctx, node) >= capacity:
        return f"full ({capacity} legs)"
    return ""


def _least_loaded(ctx: Context, suits: Suits | None) -> Node:
    reasons = {node.name: why_not(ctx, node) for node in ctx.nodes}
    able = [node for node in ctx.nodes if not reasons[node.name]]
    if not able:
        if len(reasons) == 1:
            raise SwitchUnavailable(reasons.popitem()[1])
        told = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        raise SwitchUnavailable(f"no switch takes new calls: {told}")
    if len(able) > 1 and suits is not None:
        able = [node for node in able if suits(node)] or able
    # of equals the first of the settings
    return min(able, key=lambda node: load(ctx, node) / node.share.weight)


def load(ctx: Context, node: Node) -> int:
    """How many legs a switch has, those of other switches that are in its rooms included."""
    return ctx.legs.on(node.name) + ctx.tethers.on(node.name)
