"""What a client sends is kept and told to others: no member of any payload may be of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from marshmallow import Schema, fields

from vsi_esl.errors import Invalid
from vsi_esl.protocol import registry, schemas
from vsi_esl.protocol.replies import Status

HUGE = "x" * (schemas.MAX_CHARACTERS + 1)
VALUES = (
    HUGE,
    [HUGE],
    ["x" * 256] * 1000,
    [{}] * 1000,
    {HUGE: "x"},
    {"x": HUGE},
    {str(number): "x" * 256 for number in range(1000)},
    {str(number): ["x" * 256] * 200 for number in range(200)},
    1 << 20_000,
)


def members() -> Iterator[tuple[str, str]]:
    for name, command in registry.load_commands().items():
        if command.schema is not None:
            for member, field in command.schema.fields.items():
                yield name, field.data_key or member


def size(value: Any) -> int:
    """Characters in a value, however deep."""
    if isinstance(value, dict):
        return sum(size(key) + size(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(map(size, value))
    return len(value) if isinstance(value, str) else len(hex(value)) if isinstance(value, int) else 0


@pytest.mark.parametrize(("name", "member"), list(members()))
def test_what_is_too_long_is_refused_everywhere(name, member):
    schema = registry.load_commands()[name].schema
    for value in VALUES:
        try:
            loaded = schemas.load(schema, {member: value})
        except Invalid as error:
            assert len(error.message) < 300
        else:
            assert size(loaded) <= schemas.MAX_CHARACTERS  # what was doubled in it collapsed


class Shapeless(fields.Field[str]):
    """Takes a string of ten, and does not say so."""

    characters = 10


class Unbounded(fields.Field[Any]):
    """Takes anything."""


@pytest.mark.parametrize(
    "field",
    [
        Unbounded(),
        Shapeless(),
        fields.String(),
        fields.List(schemas.Text()),
        schemas.Text(limit=1 << 20),
        schemas.Nested(type("Inner", (schemas.Payload,), {"a": Unbounded()})),
        schemas.Rows(type("Row", (schemas.Payload,), {"a": fields.String()})),
    ],
)
def test_a_member_without_a_limit_is_no_command(field, monkeypatch):
    monkeypatch.setattr(registry, "_commands", {})
    payload = type("Bad", (schemas.Payload,), {"anything": field})
    assert issubclass(payload, Schema)

    def handler(ctx: Any, anything: Any) -> Status[Literal["taken"]]:
        """Would take it."""

    with pytest.raises(ValueError, match="may"):
        registry.command("list_legs", payload)(handler)
