"""Between which switches there is something, so that one service has to have both: legs of one in rooms of
another, or on their way there."""

from __future__ import annotations

from collections.abc import Iterator

from .context import Context

Pair = tuple[str, str]


def pairs(ctx: Context) -> set[Pair]:
    """The names of two switches each; what features have between them is among these."""
    found = {*_legs(ctx), *_calls(ctx)}
    for more in ctx.moments.between(ctx):
        found.update(more)
    return {pair for pair in found if all(pair) and pair[0] != pair[1]}


def _legs(ctx: Context) -> Iterator[Pair]:
    """Those that are in a room, and those that are to be."""
    for leg in ctx.legs.everyone():
        for room_id in filter(None, (leg.room_id, leg.target_room)):
            room = ctx.rooms.find(room_id)
            if room is not None and room.node != leg.node:
                yield leg.node, room.node


def _calls(ctx: Context) -> Iterator[Pair]:
    tethers = ctx.tethers
    for leg in tethers.legs.values():
        if leg.tether is not None:
            yield leg.node, leg.tether.node
    for coming in tethers.coming.values():
        yield coming.leg.node, coming.tether.node
    for half in tethers.halves.values():
        yield half.of, half.node
    yield from tethers.between_rooms.values()
