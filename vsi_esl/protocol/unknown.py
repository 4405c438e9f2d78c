"""Commands that come before the calls are known: a service that has begun looks at its switches first.

What its database remembers of the process before is enough to know that a leg is there, and on which switch,
but not to answer for it. Until its calls are looked at, which takes a moment, a command that names one, or a
room with one in it, or that lists them, waits; and where the switch is away it answers 503, as a leg that is
up is neither not found nor left out of a list.
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
    from .registry import Command


def await_calls(ctx: Context, command: Command, arguments: dict[str, Any], access: Access) -> None:
    """Wait until what the command needs is known, no longer than for an answer of the switch. Raises
    Unavailable."""
    waited = 0.0
    for node in ctx.nodes:
        if node.adopted or not (what := _missing(ctx, node, command, arguments, access)):
            continue
        began = time.monotonic()
        if not node.wait_adopted(max(0.0, node.settings.command_timeout - waited)):
            raise Unavailable(f"{what} on switch {node.name}, whose calls are not known yet")
        waited += time.monotonic() - began


def _missing(ctx: Context, node: Node, command: Command, arguments: dict[str, Any], access: Access) -> str:
    """What of the command's concern is on the switch, and not known; empty for nothing."""
    if ctx.cluster is not None and not node.unknown:
        return ""  # another service's
    listing = command.schema is None
    names = [] if listing else names_in(command, arguments)
    if not (listing or names):
        return ""
    for leg in ctx.state.legs().values():
        if leg.id in ctx.legs.departing or leg.ending or leg.end is not None or ctx.node(leg) is not node:
            continue
        seen = {
            Name("leg", leg.id): access.allows_app(leg.app_id),
            Name("room", leg.room_id): any(map(access.allows_app, app_ids_of_room(ctx, leg.room_id))),
        }
        if listing and any(seen.values()):
            return "there are legs"
        for name in names:
            if seen.get(name):
                return f"{name} is"
    return ""
