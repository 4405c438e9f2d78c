"""Roles. The routing matrix that uses them comes with the sound commands."""

from __future__ import annotations

from typing import Any

from .. import lifecycle
from ..context import Context
from ..errors import NotFound
from ..events import types
from ..registry import Rest, command
from ..schemas import Id, Label, Payload


class SetLegRole(Payload):
    leg_id = Id()
    role = Label()


@command("set_leg_role", SetLegRole, result="LegView", rest=Rest("PATCH", "/legs/{leg_id}/role"))
def set_leg_role(ctx: Context, leg_id: str, role: str) -> dict[str, Any]:
    """Change the leg's role; absent or empty clears it. The role stays with the leg."""
    leg = ctx.legs.find(leg_id)
    if leg is None or leg.ending:
        raise NotFound(f"leg {leg_id} not found")
    if role != leg.role:
        old_role, leg.role = leg.role, role
        ctx.switch.remember(leg, "role")
        room = ctx.rooms.find(leg.room_id) if leg.room_id else None
        ctx.emit(types.LegRoleChanged.of(leg, room_id=leg.room_id or None, old_role=old_role, new_role=role))
        if room is not None:
            lifecycle.routing_changed(ctx, room, "leg_role_changed")
    return leg.view()
