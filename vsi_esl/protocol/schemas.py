"""Shared marshmallow fields for command payloads, and the loader that applies the protocol's JSON rules.

The rules: unknown members are ignored, names match in any case (the last one counts), null is the same as
absent, in an array or map the same as empty, and a wrong JSON type is an error: "1", 1.0 and true are no
integers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing

from ..errors import Invalid
from .limits import Choice, Range

MAX_ID_LENGTH = 256
"""Longest id, role or app_id in characters. Each is kept in a channel variable that every event carries."""


MAX_CHARACTERS = 65_536
"""No member of a payload is longer, all that is in it taken together (`check_sizes`)."""
MAX_ROWS = 256

INT32 = (-(1 << 31), (1 << 31) - 1)
"""The range of numbers whose own limits the command checks: none of them is handed on beyond it."""


class Payload(Schema):
    """Base of all payload schemas."""

    class Meta:
        unknown = EXCLUDE

    @cached_property
    def spellings(self) -> dict[str, str]:
        """The members as they are spelled, by their names in lower case."""
        return {key.lower(): key for key, _, _ in self._members}

    @cached_property
    def _members(self) -> list[tuple[str, str, fields.Field[Any]]]:
        """Each member as it is spelled, as the handler calls it, and its field."""
        return [(field.data_key or name, name, field) for name, field in self.fields.items()]

    def arguments(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """What `load` makes of these members: the schemas have no rules beyond those of their fields, and
        `load` looks for some. ValidationError with the first problem, by the order of the fields."""
        found: dict[str, Any] = {}
        for key, name, field in self._members:
            try:
                value = field.deserialize(members.get(key, missing), key, members)
            except ValidationError as error:
                raise ValidationError({key: error.messages}) from None
            if value is not missing:
                found[name] = value
        return found


NEEDED = "x-needed"

Shape = dict[str, Any]
"""What a field takes, as JSON Schema without its description: each class says it, for the documents."""

STRINGS: Shape = {"type": "string"}


def about(text: str, *, needed: bool = False, **schema: Any) -> dict[str, Any]:
    """The `metadata` of a field: what it means, and what JSON Schema can say of it (enum, minimum, ...).

    `needed` is for the documents: a request without it makes no sense. Absent, it counts as empty as all
    members do, and what is wrong with that the command itself says, in the reference's words.
    """
    return {"description": text, NEEDED: needed, **schema}


def needed(field: fields.Field[Any]) -> bool:
    """Whether the documents say that this member is required."""
    return bool(field.metadata.get(NEEDED))


def _enum(field: fields.Field[Any], choice: Choice | None) -> Shape:
    """The values there are; what an absent one counts as is one of them, unless it is needed."""
    if choice is None:
        return {}
    return {"enum": [*([] if needed(field) else [field.load_default]), *choice.values]}


class Text(fields.Field[str]):
    """A JSON string of a bounded length; empty when absent. The command checks that it is of the `choice`."""

    def __init__(
        self, *, limit: int = 4096, default: str | None = "", choice: Choice | None = None, **more: Any
    ) -> None:
        super().__init__(load_default=default, **more)
        self.limit = self.characters = limit
        self.choice = choice

    def shape(self) -> Shape:
        return {"type": "string", "maxLength": self.limit, **_enum(self, self.choice)}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        if len(value) > self.limit:
            raise ValidationError(f"longer than {self.limit} characters")
        return value

    def _validate(self, value: Any) -> None:
        if self.validators:  # there are none, and the base takes as long to find that out as all else
            super()._validate(value)


class Label(Text):
    """Free text of the client that the switch keeps for us: a new room's id, an app_id, a role."""

    def __init__(self, **more: Any) -> None:
        super().__init__(limit=MAX_ID_LENGTH, **more)


class Integer(fields.Field[int]):
    """A JSON integer from `low` to `high`, both allowed: the range of what takes it.

    Where the reference has words of its own for a narrower one, that is `checked` by the command.
    """

    characters = 20

    def __init__(
        self, low: int, high: int, *, default: int = 0, checked: Range | Choice | None = None, **more: Any
    ) -> None:
        super().__init__(load_default=default, **more)
        self.low = low
        self.high = high
        self.checked = checked

    def shape(self) -> Shape:
        if isinstance(self.checked, Choice):
            return {"type": "integer", **_enum(self, self.checked)}
        taken = self.checked or self
        return {"type": "integer", "minimum": taken.low, "maximum": taken.high}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("must be an integer")
        if not self.low <= value <= self.high:
            raise ValidationError(f"must be from {self.low} to {self.high}")
        return value


class Boolean(fields.Field[bool]):
    """A JSON boolean; None when absent, for "leave as it is"."""

    characters = 5

    def __init__(self, *, default: bool | None = None, **more: Any) -> None:
        super().__init__(load_default=default, **more)

    def shape(self) -> Shape:
        return {"type": "boolean"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be a boolean")
        return value


def strings(value: Any) -> list[str]:
    """A JSON array of strings, in which null is an empty one. ValidationError for anything else."""
    if isinstance(value, list):
        texts = ["" if item is None else item for item in value]
        if all(isinstance(item, str) for item in texts):
            return texts
    raise ValidationError("must be an array of strings")


class TextList(fields.Field[list[str]]):
    """A JSON array of so many strings, which are together no longer than `characters`."""

    def __init__(self, *, limit: int = 32, characters: int = 4096, **more: Any) -> None:
        super().__init__(load_default=list, **more)
        self.limit = limit
        self.characters = characters

    def shape(self) -> Shape:
        return {"type": "array", "items": STRINGS, "maxItems": self.limit}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[str]:
        texts = strings(value)
        if len(texts) > self.limit:
            raise ValidationError(f"more than {self.limit} entries")
        _check_length(texts, self.characters)
        return texts


class TextMap(fields.Field[dict[str, str]]):
    """A JSON object of so many strings, which are together, names included, no longer than `characters`."""

    def __init__(self, *, limit: int = 64, characters: int = 32_768, **more: Any) -> None:
        super().__init__(load_default=dict, **more)
        self.limit = limit
        self.characters = characters

    def shape(self) -> Shape:
        return {"type": "object", "additionalProperties": STRINGS, "maxProperties": self.limit}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object with string values")
        texts = {key: "" if item is None else item for key, item in value.items()}
        if not all(isinstance(item, str) for item in texts.values()):
            raise ValidationError("must be an object with string values")
        if len(texts) > self.limit:
            raise ValidationError(f"more than {self.limit} members")
        _check_length([*texts, *texts.values()], self.characters)
        return texts


class JsonObject(fields.Field[dict[str, Any] | None]):
    """Any JSON object whose text is no longer than `characters`; None when absent."""

    def __init__(self, *, characters: int = 65_536, depth: int = 64, **more: Any) -> None:
        super().__init__(load_default=None, **more)
        self.characters = characters
        self.depth = depth

    def shape(self) -> Shape:
        return {"type": "object"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        if not _within(value, self.depth):
            raise ValidationError(f"nested more than {self.depth} levels deep")
        if len(json.dumps(value, ensure_ascii=False)) > self.characters:
            raise ValidationError(f"longer than {self.characters} characters")
        return value


def _within(value: Any, depth: int) -> bool:
    """Whether a JSON value is nested no deeper."""
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_within(one, depth - 1) for one in inner)


def _check_length(texts: list[str], most: int) -> None:
    if sum(map(len, texts)) > most:
        raise ValidationError(f"longer than {most} characters in all")


class Nested(fields.Nested):
    """A JSON object of known members, by the same rules; None when absent."""

    def __init__(self, schema: type[Payload], **more: Any) -> None:
        super().__init__(schema, load_default=None, **more)

    def _deserialize(self, value: Any, attr: str | None, data: Any, partial: Any = None, **more: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValidationError("must be an object")
        members = _known_members(cast("Payload", self.schema), value)
        return super()._deserialize(members, attr, data, partial, **more)


class Rows(fields.List[Any]):
    """A JSON array of so many such objects; null is one without members."""

    def __init__(self, schema: type[Payload], *, limit: int = MAX_ROWS, **more: Any) -> None:
        super().__init__(Nested(schema), load_default=list, **more)
        self.limit = limit

    def _deserialize(self, value: Any, attr: str | None, data: Any, **more: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("must be an array")
        if len(value) > self.limit:
            raise ValidationError(f"more than {self.limit} entries")
        return super()._deserialize([{} if row is None else row for row in value], attr, data, **more)


def check_sizes(schema: Schema) -> None:
    """ValueError for a member that may be of any size: what clients send is kept, and told to others. And for
    one that the documents cannot show."""
    for name, field in schema.fields.items():
        inner = field
        if isinstance(field, fields.List):
            if not isinstance(getattr(field, "limit", None), int):
                raise ValueError(f"{name} may have any number of entries")
            inner = field.inner
        if isinstance(inner, fields.Nested):
            check_sizes(inner.schema)
        elif not 0 < getattr(inner, "characters", 0) <= MAX_CHARACTERS:
            raise ValueError(f"{name} may be of any size")
        elif not hasattr(inner, "shape"):
            raise ValueError(f"{name} may be anything: its field has no shape")


def load(schema: Payload, payload: Any) -> dict[str, Any]:
    """The handler's arguments from a request's payload; Invalid with `invalid payload: ...`."""
    if payload is None:
        payload = {}
    # of a class first: what JSON makes is a dict, and to ask for a Mapping takes five times as long
    if not isinstance(payload, (dict, Mapping)):
        raise Invalid("invalid payload: must be an object")
    try:
        return schema.arguments(_known_members(schema, payload))
    except ValidationError as error:
        raise Invalid(f"invalid payload: {_first_problem(error.messages)}") from None


def _known_members(schema: Payload, payload: Mapping[str, Any]) -> dict[str, Any]:
    names = schema.spellings
    members: dict[str, Any] = {}
    for key, value in payload.items():
        name = names.get(key.lower())
        if name is not None and value is not None:
            members[name] = value  # of spellings that differ in case the last counts
    return members


def _first_problem(messages: Any) -> str:
    while isinstance(messages, (dict, list)) and messages:
        if isinstance(messages, list):
            messages = messages[0]
            continue
        name, inner = next(iter(messages.items()))
        return f"{name}: {_first_problem(inner)}"
    return str(messages)
