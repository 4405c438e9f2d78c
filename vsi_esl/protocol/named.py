"""Which legs and rooms a command names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .ids import LegId, NewId, RoomId, RoomToJoin

if TYPE_CHECKING:
    from .registry import Command

OF_ITS_ROOM = frozenset(("remove_leg_from_room",))
"""A leg that is elsewhere is not in the room either."""


class Name(NamedTuple):
    """A leg or room by its id."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


def names_in(command: Command, arguments: Mapping[str, Any]) -> list[Name]:
    """The legs and rooms that a command names; what is a part of one of them is where that is."""
    found = []
    for member, value in arguments.items():
        field = command.schema.fields[member] if command.schema is not None else None
        if not value or not isinstance(field, LegId | RoomId | RoomToJoin | NewId):
            continue
        if field.kind is RoomId:
            found.append(Name("room", value))
        elif field.kind is LegId and command.name not in OF_ITS_ROOM:
            found.append(Name("leg", value))
    return found
