"""Roles, and the matrix of who hears whom in a room."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from marshmallow import ValidationError, fields

from ..calls import lifecycle, placement, routing
from ..calls.context import Context
from ..errors import Invalid, NotFound
from ..events.rooms import LegRoleChanged
from ..model.leg import LegView
from ..model.room import Room
from ..model.routing import Matrix
from ..protocol.ids import LegId, RoomId
from ..protocol.registry import Body, Rest, command
from ..protocol.schemas import MAX_ID_LENGTH, Label, Payload, Rows, Shape, about, strings
from .rooms import RoomPayload

MAX_ROLES = 256
MAX_MATRIX = 65_536
"""Characters of all roles in a matrix, each as often as it is named: all of it is told at each change."""


ROLE = {"type": "string", "maxLength": MAX_ID_LENGTH}


class Roles(fields.Field[list[str]]):
    """A JSON array of roles; doubles collapse."""

    characters = MAX_ROLES * MAX_ID_LENGTH

    def shape(self) -> Shape:
        return {"type": "array", "items": ROLE, "maxItems": MAX_ROLES}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[str]:
        roles = strings(value)
        if len(roles) > MAX_ROLES or any(len(role) > MAX_ID_LENGTH for role in roles):
            raise ValidationError(
                f"more than {MAX_ROLES} roles, or one of more than {MAX_ID_LENGTH} characters"
            )
        return list(dict.fromkeys(roles))


class MatrixField(fields.Field[Matrix]):
    """A JSON object role -> array of roles; a null row is an empty one."""

    characters = MAX_MATRIX

    def shape(self) -> Shape:
        return {"type": "object", "additionalProperties": Roles().shape(), "maxProperties": MAX_ROLES}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Matrix:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        if len(value) > MAX_ROLES or any(len(role) > MAX_ID_LENGTH for role in value):
            raise ValidationError(
                f"more than {MAX_ROLES} rows, or a role of more than {MAX_ID_LENGTH} characters"
            )
        matrix = {role: Roles().deserialize([] if row is None else row, role) for role, row in value.items()}
        if _length(matrix) > MAX_MATRIX:
            raise ValidationError(f"longer than {MAX_MATRIX} characters in all")
        return matrix


def _length(matrix: Matrix) -> int:
    return sum(len(role) + sum(map(len, row)) for role, row in matrix.items())


class RoutingView(TypedDict):
    """The matrix of a room."""

    matrix: Annotated[Matrix, "Listening role: the roles it hears."]


class SetLegRole(Payload):
    leg_id = LegId()
    role = Label(metadata=about("Its role in the routing of its room; none when empty.", needed=True))


class RoutingSet(Payload):
    room_id = RoomId()
    matrix = MatrixField(load_default=dict, metadata=about("Role -> the roles it hears.", needed=True))


class RowUpdate(Payload):
    listener_role = Label()
    sources = Roles(load_default=None, allow_none=True)


class RoutingUpdate(Payload):
    room_id = RoomId()
    updates = Rows(RowUpdate, metadata=about("Rows to change, in order.", needed=True))


@command(
    "set_leg_role",
    SetLegRole,
    rest=Rest("PATCH", "/legs/{leg_id}/role", body=Body.REQUIRED),
)
def set_leg_role(ctx: Context, leg_id: str, role: str) -> LegView:
    """Change the leg's role; absent or empty clears it. The role stays with the leg."""
    leg = ctx.legs.find(leg_id)
    if leg is None or leg.ending:
        raise NotFound(f"leg {leg_id} not found")
    if role != leg.role:
        old_role, leg.role = leg.role, role
        ctx.switch(leg).remember(leg, "role")
        room = ctx.rooms.find(leg.room_id) if leg.room_id else None
        if room is not None and room.matrix:
            routing.apply(ctx, room)
        changed = {"room_id": leg.room_id or None, "old_role": old_role, "new_role": role}
        ctx.tell(leg, LegRoleChanged.of(leg, **changed))
        if room is not None:
            lifecycle.routing_changed(ctx, room, "leg_role_changed")
    return leg.view()


def _room(ctx: Context, room_id: str) -> Room:
    room = ctx.rooms.find(room_id)
    if room is None:
        raise NotFound(f"room {room_id} not found")
    return room


@command("room_routing_get", RoomPayload, rest=Rest("GET", "/rooms/{id}/routing"))
def room_routing_get(ctx: Context, id: str) -> RoutingView:
    """The routing matrix: listener role -> the source roles it hears."""
    return {"matrix": _room(ctx, id).matrix}


@command(
    "room_routing_set",
    RoutingSet,
    rest=Rest("PUT", "/rooms/{room_id}/routing", body=Body.REQUIRED),
)
def room_routing_set(ctx: Context, room_id: str, matrix: Matrix) -> RoutingView:
    """Replace the whole matrix; an empty one lets everybody hear everybody."""
    room = _room(ctx, room_id)
    _change(ctx, room, matrix)
    lifecycle.routing_changed(ctx, room, "set")
    return {"matrix": room.matrix}


@command(
    "room_routing_update",
    RoutingUpdate,
    rest=Rest("PATCH", "/rooms/{room_id}/routing", body=Body.REQUIRED),
)
def room_routing_update(ctx: Context, room_id: str, updates: list[dict[str, Any]]) -> RoutingView:
    """Replace rows, in order, all or none; sources null or absent removes a row. One event for all."""
    room = _room(ctx, room_id)
    matrix = dict(room.matrix)
    for update in updates:
        matrix.pop(update["listener_role"], None)
        if update["sources"] is not None:
            matrix[update["listener_role"]] = update["sources"]
    if len(matrix) > MAX_ROLES:
        raise Invalid(f"more than {MAX_ROLES} rows")
    if _length(matrix) > MAX_MATRIX:
        raise Invalid(f"the matrix would be longer than {MAX_MATRIX} characters in all")
    if updates:
        _change(ctx, room, matrix)
        lifecycle.routing_changed(ctx, room, "update")
    return {"matrix": room.matrix}


def _change(ctx: Context, room: Room, matrix: Matrix) -> None:
    """The new matrix, on the switch and durable; the old one stays when the switch cannot be told."""
    before, room.matrix = room.matrix, matrix
    try:
        if matrix:
            placement.silence_joining(ctx, room, wait=True)
        ctx.state.save_room(room, needed=True)
        if room.legs:
            routing.apply(ctx, room)
    except Exception:
        room.matrix = before
        ctx.state.save_room(room)
        raise
