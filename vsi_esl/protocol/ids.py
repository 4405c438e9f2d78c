"""Payload fields that hold ids: each has the type of what it names.

What a confined token may name, the ids on a log line and what the documents say of a member follow from the
type, so a member that is called an id has to have one (`check_ids`). A feature whose things have ids declares
a subclass of `Id` beside its commands, and says whose they are (`confinement.owned`).
"""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import Schema, fields

from ..model.leg import LegView
from ..model.room import RoomView
from .schemas import MAX_ID_LENGTH, NEEDED, Label, Text


class Id(Text):
    """The id of something that exists. Opaque; nothing that exists has a longer one than may be given.

    Needed, unless it is said not to be: empty, it names nothing, which the command answers in its own words.
    """

    noun: ClassVar[str] = ""
    """What it names, in a word: a log line has it as `leg_id`."""
    view: ClassVar[Any] = None
    """What a command answers that shows one."""
    tag: ClassVar[str] = ""
    """The group of the commands about it in the REST document."""
    part: ClassVar[bool] = False
    """It is a part of something else, which is named along with it."""

    def __init__(self, *, metadata: dict[str, Any] | None = None, needed: bool = True, **more: Any) -> None:
        said = {"description": f"The {self.noun}.", **(metadata or {}), NEEDED: needed}
        super().__init__(limit=MAX_ID_LENGTH, metadata=said, **more)

    @property
    def kind(self) -> type[Id]:
        """The sort of what it names."""
        return type(self)


class LegId(Id):
    """A leg."""

    noun = "leg"
    view = LegView
    tag = "Legs"


class RoomId(Id):
    """A room."""

    noun = "room"
    view = RoomView
    tag = "Rooms"


class RoomToJoin(Label):
    """A room, which is made when there is none of that name."""

    kind = RoomId


class NewId(Label):
    """The id of what the command makes. One that is taken is a conflict, whoever has it."""

    def __init__(self, kind: type[Id], **more: Any) -> None:
        super().__init__(**more)
        self.kind = kind


class AppId(Label):
    """The application that what the command makes belongs to."""


class TheirId(Label):
    """The id of something that somebody else has, such as a provider's agent: it names nothing here."""


def known() -> list[type[Id]]:
    """All sorts of ids that commands name."""
    return Id.__subclasses__()


NAMING = (Id, RoomToJoin, NewId)


def check_ids(schema: Schema) -> None:
    """ValueError for a member that is called an id, or ids, and whose field does not say of what."""
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            _refuse_ids(inner.schema)
        elif _is_called_an_id(name, field) and not is_typed(field):
            raise ValueError(f"{name} is an id that names nothing that is known")


def is_typed(field: fields.Field[Any]) -> bool:
    """Whether the field says what it names. `Id` itself does not."""
    return bool(field.noun) if isinstance(field, Id) else isinstance(field, (*NAMING, AppId, TheirId))


def _refuse_ids(schema: Schema) -> None:
    """What a confined token names is looked at in the payload's own members only."""
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            _refuse_ids(inner.schema)
        elif isinstance(field, TheirId):
            continue
        elif _is_called_an_id(name, field) or is_typed(field):
            raise ValueError(f"{name}, further in, is an id that names nothing that is known")


def _is_called_an_id(name: str, field: fields.Field[Any]) -> bool:
    called = (name, field.data_key or "")
    return isinstance(field, Id) or any(one.lower().endswith(("id", "ids")) for one in called)


def logged_as(schema: Schema) -> dict[str, str]:
    """Member in lower case -> its name on a log line, for those that name something: `id` says no more than
    that it is one, so it goes by what it is the id of."""
    found: dict[str, str] = {}
    for name, field in schema.fields.items():
        if isinstance(field, NAMING):
            called = field.data_key or name
            found[called.lower()] = f"{field.kind.noun}_id" if called == "id" else called
    return found


def kinds(schema: Schema) -> list[type[Id]]:
    """The sorts of what a payload names, in the order of its members."""
    return [field.kind for field in schema.fields.values() if isinstance(field, NAMING)]
