"""Commands that come before the calls are known: a service that has begun looks at its switches first.

What its database remembers of the process before is enough to know that a leg is there, and on which switch,
but not to answer for it. Until its calls are looked at, which takes a moment, a command that names one, or
the room of one, or that lists them, waits; and where the switch is away it answers 503, as a leg that is up
is neither not found nor left out of a list.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..access.tokens import Access
from ..errors import Unavailable
from .confinement import app_ids_of_room
from .named import Name, names_in

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node
    from ..storage.state import LegRecord
    from .registry import Command

LEFT_OUT_S = 30.0
"""A switch that could not be reached for so long is left out of the lists, when there are others: one that is
dead must not keep those that are well from being listed."""


def await_calls(ctx: Context, command: Command, arguments: dict[str, Any], access: Access) -> None:
    """Wait until what the command needs is known, no longer than for an answer of the switch. Raises
    Unavailable."""
    waited = 0.0
    for node in ctx.nodes:
        if node.adopted or (ctx.cluster is not None and not node.unknown):
            continue  # or another service's
        what = _missing(ctx, node, command, arguments, access)
        if not what:
            continue
        began = time.monotonic()
        if not node.wait_adopted(max(0.0, node.settings.command_timeout - waited)):
            raise Unavailable(f"{what} on switch {node.name}, whose calls are not known yet")
        waited += time.monotonic() - began


def _missing(ctx: Context, node: Node, command: Command, arguments: dict[str, Any], access: Access) -> str:
    """What of the command's concern is on the switch, and not known; empty for nothing."""
    if command.schema is not None:
        names = names_in(command, arguments)
        return next((f"{name} is" for name in names if _is_there(ctx, node, name, access)), "")
    if not _is_left_out(ctx, node):
        for leg in remembered(ctx, node):
            if command.name == "list_rooms":
                listed = bool(leg.room_id) and _may_see_room(ctx, leg.room_id, access)
            else:
                listed = access.allows_app(leg.app_id)
            if listed:
                return "there are legs"
    return ""


def remembered(ctx: Context, node: Node) -> list[LegRecord]:
    """The legs on a switch that were up when that was last known, and on the lists."""
    known, default = ctx.nodes.find, ctx.nodes.default
    there = ctx.state.legs_at(lambda name: (known(name) or default) is node)
    return [leg for leg in there if _was_up(ctx, leg)]


def _was_up(ctx: Context, leg: LegRecord) -> bool:
    return not leg.ending and leg.end is None and leg.id not in ctx.legs.departing


def _is_there(ctx: Context, node: Node, name: Name, access: Access) -> bool:
    """Whether a leg is on the switch, or a room is in which there is one: what it shows would be wrong."""
    if name.kind == "leg":
        leg = ctx.state.leg(name.id)
        there = leg is not None and ctx.node(leg) is node and _was_up(ctx, leg)
        return there and leg is not None and access.allows_app(leg.app_id)
    room = ctx.rooms.find(name.id)
    if room is None or ctx.node(room) is not node or not _may_see_room(ctx, room.id, access):
        return False
    return any(leg.room_id == room.id for leg in remembered(ctx, node))


def _may_see_room(ctx: Context, room_id: str, access: Access) -> bool:
    return any(map(access.allows_app, app_ids_of_room(ctx, room_id)))


def _is_left_out(ctx: Context, node: Node) -> bool:
    tried_for = time.monotonic() - node.started_at
    return tried_for > LEFT_OUT_S and (ctx.cluster is not None or any(one.adopted for one in ctx.nodes))
