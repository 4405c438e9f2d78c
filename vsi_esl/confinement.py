"""What a token confined to an app_id can name in a command.

Legs and rooms of others do not exist for it: an id that it may not see is replaced by one that nothing has,
so that the command fails as it fails for any unknown id, in the same words and at the same point.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .access import Access
from .errors import Forbidden, NotFound, VsiError

if TYPE_CHECKING:
    from .context import Context

LEG, ROOM = "leg", "room"
MEMBERS = {"leg_id": LEG, "replaces_leg_id": LEG, "room_id": ROOM, "peer_room_id": ROOM}
ROOM_COMMANDS = ("get_room", "delete_room", "create_room")
CREATING = frozenset(("create_leg", "create_room"))
LISTS = frozenset(("list_legs", "list_rooms"))
JOINING = {"create_leg": "room_id", "add_leg_to_room": "room_id"}
"""Their room is made when there is none of that name, so one of others has to be refused."""


def kind_of(command: str, member: str) -> str | None:
    """Whether a member of a command's payload names a leg or a room."""
    if member == "id":
        return ROOM if command.startswith("room_") or command in ROOM_COMMANDS else LEG
    return MEMBERS.get(member)


class Confinement:
    """One command of a confined token."""

    def __init__(self, ctx: Context, access: Access, command: str) -> None:
        self._ctx, self._access, self._command = ctx, access, command
        self._replaced: dict[str, str] = {}

    def arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments as the handler is to get them. Forbidden for an app_id that is not the token's."""
        if self._command in CREATING and not self._access.allows_app(given.get("app_id", "")):
            raise Forbidden(f"the token is confined to the app_id {self._access.pattern}")
        if self._command == "create_room":
            return given  # a name that others have is a conflict, as it is for everybody
        return {member: self._seen(member, value) for member, value in given.items()}

    def _seen(self, member: str, value: Any) -> Any:
        if not isinstance(value, str) or not value or self._reaches(kind_of(self._command, member), value):
            return value
        if JOINING.get(self._command) == member:
            raise NotFound("room not found")
        return self._replaced.setdefault(value, str(uuid.uuid4()))

    def _reaches(self, kind: str | None, name: str) -> bool:
        owner = None
        if kind is not None:
            owner = self._ctx.legs.find(name) if kind == LEG else self._ctx.rooms.find(name)
        return owner is None or self._access.allows_app(owner.app_id)

    def result(self, data: Any) -> Any:
        """The reply without what belongs to others."""
        if self._command in LISTS:
            views: Iterable[dict[str, Any]] = data
            return [view for view in views if self._access.allows_app(view.get("app_id", ""))]
        return data

    def error(self, error: VsiError) -> VsiError:
        """The error with the ids as the client wrote them."""
        for name, nobody in self._replaced.items():
            error.message = error.message.replace(nobody, name)
        return error
