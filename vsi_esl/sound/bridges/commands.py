"""Bridges: rooms that hear each other."""

from __future__ import annotations

import uuid
from typing import Literal

from ...calls import lifecycle, tethering
from ...calls.context import Context
from ...calls.nodes import Node
from ...errors import Invalid, NotFound
from ...model.bridge import BIDIRECTIONAL, DIRECTIONS, Bridge, BridgeView
from ...model.room import Room
from ...model.sound_stores import Bridges
from ...protocol.ids import Id, NewId, RoomId
from ...protocol.limits import Choice
from ...protocol.registry import Body, Rest, command
from ...protocol.replies import Status
from ...protocol.schemas import Payload, Text, about
from . import bridging

DIRECTION = Choice("direction", DIRECTIONS)


class BridgeId(Id):
    """A bridge of a room."""

    noun = "bridge"
    view = BridgeView
    tag = "Bridges"
    part = True


class BridgeCreate(Payload):
    room_id = RoomId(metadata=about("The room that the direction is relative to."))
    bridge_id = NewId(BridgeId, metadata=about("Made up when empty."))
    peer_room_id = RoomId(metadata=about("The other room."))
    direction = Text(choice=DIRECTION, metadata=about("bidirectional when empty."))


class BridgeList(Payload):
    room_id = RoomId()


class BridgePayload(Payload):
    room_id = RoomId()
    bridge_id = BridgeId()


class BridgeUpdate(BridgePayload):
    direction = Text(choice=DIRECTION, metadata=about("The new direction.", needed=True))


@command(
    "bridge_create",
    BridgeCreate,
    rest=Rest(
        "POST",
        "/rooms/{room_id}/bridges",
        201,
        body=Body.REQUIRED,
        names={"id": "bridge_id", "room_id": "peer_room_id"},
    ),
)
def bridge_create(
    ctx: Context, room_id: str, bridge_id: str, peer_room_id: str, direction: str
) -> BridgeView:
    """Connect two rooms of the same sample rate. `send` means that the peer hears this room."""
    if not peer_room_id:
        raise Invalid("room_id is required")
    direction = direction or BIDIRECTIONAL
    DIRECTION.check(direction)
    if room_id == peer_room_id:
        raise Invalid("cannot bridge a room to itself")
    rooms = []
    for one in (room_id, peer_room_id):
        room = ctx.rooms.find(one)
        if room is None:
            raise NotFound(f"room not found: {one}")
        rooms.append(room)
    here, there = rooms
    if here.sample_rate != there.sample_rate:
        raise Invalid(
            f"sample rate mismatch: room {here.id} is {here.sample_rate}Hz, "
            f"room {there.id} is {there.sample_rate}Hz"
        )
    node = _node(ctx, here, there)
    node.require("mod_loopback")
    bridge = Bridge(bridge_id or str(uuid.uuid4()), here.id, there.id, BIDIRECTIONAL, here.sample_rate)
    bridge.node = node.name
    bridge.direction = bridge.canonical(direction, here.id)
    bridging.create(ctx, bridge)
    return bridge.view(here.id)


def _node(ctx: Context, here: Room, there: Room) -> Node:
    """The switch of both rooms, or that of the first when a call between two can connect them. NotSupported
    when none can."""
    if here.node and there.node and ctx.node(here) is not ctx.node(there):
        free = [room for room in (here, there) if lifecycle.unused(ctx, room)]
        if not free:
            what = f"rooms {here.id} and {there.id} are on different switches"
            tethering.require_between(ctx, ctx.node(here), ctx.node(there), what)
            return ctx.node(here)
        lifecycle.room_off(free[0])
    node = ctx.node(here if here.node else there)
    for room in (here, there):
        lifecycle.room_on(ctx, room, node.name)
    return node


@command("bridge_list", BridgeList, rest=Rest("GET", "/rooms/{room_id}/bridges"))
def bridge_list(ctx: Context, room_id: str) -> list[BridgeView]:
    """The bridges of a room, seen from it."""
    return [bridge.view(room_id) for bridge in ctx.get(Bridges).of_room(ctx.rooms.get(room_id).id)]


@command("bridge_get", BridgePayload, rest=Rest("GET", "/rooms/{room_id}/bridges/{bridge_id}"))
def bridge_get(ctx: Context, room_id: str, bridge_id: str) -> BridgeView:
    """One bridge, seen from one of its rooms."""
    return ctx.get(Bridges).get(room_id, bridge_id).view(room_id)


@command(
    "bridge_update",
    BridgeUpdate,
    rest=Rest("PATCH", "/rooms/{room_id}/bridges/{bridge_id}", body=Body.REQUIRED),
)
def bridge_update(ctx: Context, room_id: str, bridge_id: str, direction: str) -> BridgeView:
    """Change what passes over a bridge, at once."""
    bridge = ctx.get(Bridges).get(room_id, bridge_id)
    if not direction:
        raise Invalid("direction is required")
    DIRECTION.check(direction)
    bridging.set_direction(ctx, bridge, bridge.canonical(direction, room_id))
    return bridge.view(room_id)


@command(
    "bridge_delete",
    BridgePayload,
    rest=Rest("DELETE", "/rooms/{room_id}/bridges/{bridge_id}"),
)
def bridge_delete(ctx: Context, room_id: str, bridge_id: str) -> Status[Literal["deleted"]]:
    """Separate two rooms; the legs stay where they are."""
    bridging.delete(ctx, ctx.get(Bridges).get(room_id, bridge_id))
    return {"status": "deleted"}
