"""What a token confined to an app_id can name in a command.

What belongs to others does not exist for it: an id that it may not see, or that nothing has, is replaced by
one that nothing has, so that the command fails as it fails for any unknown id, in the same words and at the
same point. What an id names is known from the type of its field.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from marshmallow import Schema

from ..access.tokens import Access
from ..errors import Forbidden, NotFound, VsiError
from . import replies
from .ids import AppId, Id, LegId, RoomId, RoomToJoin

if TYPE_CHECKING:
    from ..calls.context import Context
    from .registry import Command

Owners = Callable[["Context", str], list[str]]

OWNERS: dict[type[Id], Owners] = {}
"""The app_ids of what an id names; none of them when there is no such thing."""


def owned(kind: type[Id]) -> Callable[[Owners], Owners]:
    """Register the decorated function as the one that knows whose what such an id names is."""

    def register(owners: Owners) -> Owners:
        if kind in OWNERS:
            raise ValueError(f"two know whose a {kind.__name__} is")
        OWNERS[kind] = owners
        return owners

    return register


@owned(LegId)
def app_ids_of_leg(ctx: Context, leg_id: str) -> list[str]:
    """A leg's."""
    leg = ctx.legs.find(leg_id)
    return [] if leg is None else [leg.app_id]


@owned(RoomId)
def app_ids_of_room(ctx: Context, room_id: str) -> list[str]:
    """A room's."""
    room = ctx.rooms.find(room_id)
    return [] if room is None else [room.app_id]


def check(schemas: Iterable[Schema | None]) -> None:
    """ValueError for a sort of id of which nobody knows whose it is."""
    for schema in schemas:
        for field in schema.fields.values() if schema is not None else ():
            if isinstance(field, Id) and type(field) not in OWNERS:
                raise ValueError(f"nobody knows whose a {type(field).__name__} is")


def _of_apps(reply: Any) -> bool:
    """Whether it is a list, of which a confined token gets a part."""
    return replies.is_list(reply) and "app_id" in replies.row(reply).__annotations__


def allowed(ctx: Context, access: Access, kind: type[Id], value: str) -> bool:
    """Whether a confined token may see what an id names."""
    return any(map(access.allows_app, OWNERS[kind](ctx, value)))


def check_named(ctx: Context, access: Access, schema: Schema, given: Mapping[str, Any]) -> None:
    """What a confined token names that need not exist: Forbidden for an app_id that is not the token's,
    NotFound for a room of others that would be joined."""
    for member, value in given.items():
        field = schema.fields[member]
        if isinstance(field, AppId) and not access.allows_app(value):
            raise Forbidden(f"the token is confined to the app_id {access.pattern}")
        if isinstance(field, RoomToJoin) and not all(map(access.allows_app, app_ids_of_room(ctx, value))):
            raise NotFound("room not found")


class Confinement:
    """One command of a confined token. Forbidden for one that is about everything."""

    def __init__(self, ctx: Context, access: Access, command: Command) -> None:
        self._ctx, self._access, self._schema = ctx, access, command.schema
        self._fields = command.schema.fields if command.schema is not None else {}
        self._filtered = command.schema is None
        if self._filtered and not _of_apps(command.reply):
            raise Forbidden("not for a token that is confined to an app_id")
        self._replaced: dict[str, str] = {}

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the handler is to get them. Raises as `check_named`."""
        if self._schema is not None:
            check_named(self._ctx, self._access, self._schema, given)
        return {member: self._seen(member, value) for member, value in given.items()}

    def _seen(self, member: str, value: Any) -> Any:
        field = self._fields[member]
        if not isinstance(field, Id) or not value:
            return value
        if allowed(self._ctx, self._access, type(field), value):
            return value
        return self._replaced.setdefault(value, str(uuid.uuid4()))

    def result(self, data: Any) -> Any:
        """The reply without what belongs to others."""
        if not self._filtered:
            return data
        views: Iterable[dict[str, Any]] = data
        return [view for view in views if self._access.allows_app(view.get("app_id", ""))]

    def error(self, error: VsiError) -> VsiError:
        """The error with the ids as the client wrote them."""
        for name, nobody in self._replaced.items():
            error.message = error.message.replace(nobody, name)
        return error
