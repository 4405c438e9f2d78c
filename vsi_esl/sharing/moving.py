"""A room that nothing is in, from one service to another."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ..calls import choosing, lifecycle
from ..calls.context import Context
from ..errors import Conflict, SwitchUnavailable
from ..model.leg import Webhook
from ..model.room import Room


def give(ctx: Context, room_id: str) -> dict[str, Any] | None:
    """Let go of a room; None when something is in it, or there is none. Raises StorageFailed."""
    room = ctx.rooms.find(room_id)
    if room is None or room.deleting or not lifecycle.unused(ctx, room):
        return None
    ctx.state.forget_room(room.id, needed=True)
    ctx.rooms.remove(room)
    return {
        "id": room.id,
        "sample_rate": room.sample_rate,
        "conference": room.conference,
        "app_id": room.app_id,
        "webhook": None if room.webhook is None else asdict(room.webhook),
        "matrix": room.matrix,
    }


def take(ctx: Context, given: dict[str, Any]) -> bool:
    """Have a room that another service has let go of; False when there is one of its name."""
    hook = given["webhook"]
    room = Room(**{**given, "webhook": None if hook is None else Webhook(**hook)})
    with suppress(SwitchUnavailable):  # it is there all the same
        room.node = choosing.for_room(ctx)
    try:
        ctx.rooms.add(room)
    except Conflict:
        return False
    ctx.state.save_room(room)
    return True
