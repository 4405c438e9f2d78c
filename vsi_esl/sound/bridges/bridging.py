"""Bridges between rooms: a pair of internal channels, one end in each room's conference.

The pair makes both conferences exist, so that a bridge carries sound from the first leg on. It is made anew
when the switch, or somebody at it, ended it. Of rooms on two switches the two ends are those of a call
between them (`calls.tethering`).
"""

from __future__ import annotations

from functools import partial

import structlog

from ...calls import internal, tethering
from ...calls.context import Context
from ...calls.nodes import Node
from ...errors import Conflict, NotFound, VsiError
from ...model.bridge import Bridge
from ...model.room import Room
from ...model.sound_stores import Bridges
from ...switch.snapshot import Snapshot
from ...work import clock
from .events import RoomBridged, RoomBridgeUpdated, RoomUnbridged

log = structlog.get_logger(__name__)

KIND = "bridge"
PREFIX = "br"
TIMEOUT_S = 20.0
RETRY_S = 1.0


def create(ctx: Context, bridge: Bridge) -> None:
    """Connect two rooms; returns when sound can pass. Conflict when the id or the pair is taken."""
    ctx.get(Bridges).add(bridge)
    try:
        ctx.workers.run(_worker(bridge), TIMEOUT_S, _open, ctx, bridge)
        if _exists(ctx, bridge):
            ctx.state.save_item(KIND, bridge.id, bridge, needed=True)
    except Exception:
        _check_present(ctx, bridge)
        ctx.get(Bridges).remove(bridge)
        ctx.sound(bridge).dismiss(bridge.channel)
        raise
    _check_present(ctx, bridge)
    bridge.announced = True
    ctx.emit(RoomBridged.of(bridge, _app_id(ctx, bridge), direction=bridge.direction))


def _check_present(ctx: Context, bridge: Bridge) -> None:
    """NotFound when it was deleted meanwhile."""
    if not _exists(ctx, bridge):
        ctx.sound(bridge).dismiss(bridge.channel)
        raise NotFound("bridge not found")


def _open(ctx: Context, bridge: Bridge) -> None:
    """Raises SwitchUnavailable, and NotSupported where there can be no call between the rooms' switches."""
    room_a, room_b = ctx.rooms.lasting(bridge.room_a), ctx.rooms.lasting(bridge.room_b)

    if tethering.needed_between(ctx, room_a, room_b):
        channel, member_id = tethering.between_rooms(ctx, bridge, room_a, room_b)
        bridge.channel = channel
        if _exists(ctx, bridge):
            bridge.member_id = member_id
        return

    def make(channel: str) -> None:
        bridge.channel = channel
        ctx.sound(bridge).bridge(bridge, room_a.conference, room_b.conference)

    _, bridge.member_id = internal.place(ctx.node(bridge), PREFIX, make, partial(_exists, ctx, bridge))


def _exists(ctx: Context, bridge: Bridge) -> bool:
    """Whether it has not been deleted, by itself or with a room, while we waited for the switch."""
    return ctx.get(Bridges).find(bridge.id) is bridge


def _worker(bridge: Bridge) -> str:
    """The channel may be another one each time."""
    return f"bridge {bridge.id}"


def set_direction(ctx: Context, bridge: Bridge, direction: str) -> None:
    """Change what passes; the old direction stays when the switch cannot be told."""
    before, bridge.direction = bridge.direction, direction
    try:
        ctx.state.save_item(KIND, bridge.id, bridge, needed=True)
        ctx.workers.run(_worker(bridge), TIMEOUT_S, _apply, ctx, bridge)
    except Exception:
        bridge.direction = before
        if _exists(ctx, bridge):
            ctx.state.save_item(KIND, bridge.id, bridge)
        raise
    _check_present(ctx, bridge)
    ctx.emit(RoomBridgeUpdated.of(bridge, _app_id(ctx, bridge), direction=direction))


def _apply(ctx: Context, bridge: Bridge) -> None:
    if not bridge.member_id:
        return  # being made anew, in the direction it has then
    ctx.sound(bridge).bridge_direction(bridge, ctx.rooms.get(bridge.room_a).conference)


def delete(ctx: Context, bridge: Bridge, deleted_room: Room | None = None) -> None:
    """Separate the rooms."""
    if not ctx.get(Bridges).remove(bridge):
        return
    ctx.state.forget_item(KIND, bridge.id)
    ctx.timers.cancel(_worker(bridge))
    ctx.sound(bridge).dismiss(bridge.channel)
    if not bridge.announced:
        return  # being made: whoever asked for it is told
    app_id = deleted_room.app_id if deleted_room else _app_id(ctx, bridge)
    ctx.emit(RoomUnbridged.of(bridge, app_id, reason="room_deleted" if deleted_room else None))


def _app_id(ctx: Context, bridge: Bridge) -> str:
    room = ctx.rooms.find(bridge.room_a)
    return room.app_id if room else ""


def ended(ctx: Context, channel: str) -> None:
    """The switch ended an internal channel; a bridge that still exists gets another one."""
    bridge = ctx.get(Bridges).of_channel(channel)
    if bridge is not None and bridge.member_id:
        bridge.member_id = ""
        log.warning("bridge lost, made anew", bridge_id=bridge.id)
        _renew_soon(ctx, bridge)


def _renew_soon(ctx: Context, bridge: Bridge) -> None:
    ctx.timers.at(_worker(bridge), "renew", clock.now() + RETRY_S, _submit_renewal, ctx, bridge)


def _submit_renewal(ctx: Context, bridge: Bridge) -> None:
    ctx.workers.submit(_worker(bridge), _renew, ctx, bridge)


def _renew(ctx: Context, bridge: Bridge) -> None:
    if bridge.member_id or not _exists(ctx, bridge):
        return
    try:
        _open(ctx, bridge)
        ctx.state.save_item(KIND, bridge.id, bridge)
    except VsiError as error:
        log.warning("bridge not made", bridge_id=bridge.id, error=error.message)
        if ctx.node(bridge).ready and _exists(ctx, bridge):  # when it is not ready, resync comes to it
            _renew_soon(ctx, bridge)


def restore(ctx: Context) -> None:
    """At start: the bridges of the previous process, whose rooms are there already."""
    for body in ctx.state.items(KIND):
        bridge = Bridge.from_dict(body)
        bridge.member_id, bridge.announced = "", True
        try:
            ctx.get(Bridges).add(bridge)
            tethering.know_bridge(ctx, bridge)
        except Conflict as error:
            log.error("bridge not restored", bridge_id=bridge.id, error=error.message)
            ctx.state.forget_item(KIND, bridge.id)


def readopt(ctx: Context, node: Node, snapshot: Snapshot) -> None:
    """After each connect to a switch: find the pairs on it again, or make them anew."""
    for bridge in ctx.get(Bridges):
        if ctx.node(bridge) is not node:
            continue
        membership = snapshot.memberships.get(bridge.channel)
        room = ctx.rooms.find(bridge.room_a)
        bridge.member_id = ""
        if membership is not None and room is not None and membership.conference == room.conference:
            bridge.member_id = membership.member_id
            ctx.workers.submit(_worker(bridge), _apply_again, ctx, bridge)
        else:
            ctx.workers.submit(_worker(bridge), _renew, ctx, bridge)


def _apply_again(ctx: Context, bridge: Bridge) -> None:
    try:
        _apply(ctx, bridge)
    except VsiError as error:
        log.warning("bridge direction not set", bridge_id=bridge.id, error=error.message)


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, and the pairs on it with it."""
    for bridge in ctx.get(Bridges):
        if ctx.node(bridge) is node:
            ctx.get(Bridges).remove(bridge)
            ctx.timers.cancel(_worker(bridge))
