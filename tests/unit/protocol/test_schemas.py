"""Members of payloads: what their fields let through."""

from __future__ import annotations

import pytest

from vsi_esl.documents import fields as documents
from vsi_esl.errors import Invalid
from vsi_esl.protocol import registry, schemas
from vsi_esl.protocol.schemas import Integer, Payload


class Number(Payload):
    some = Integer(-3, 1000)


@pytest.mark.parametrize("value", [-3, 0, 1000])
def test_a_number_within_its_range(value):
    assert schemas.load(Number(), {"some": value}) == {"some": value}


@pytest.mark.parametrize("value", [-4, 1001, 3_000_000_000, -(1 << 63), 1 << 70])
def test_a_number_out_of_its_range(value):
    with pytest.raises(Invalid, match="invalid payload: some: must be from -3 to 1000"):
        schemas.load(Number(), {"some": value})


def test_a_number_without_a_range_cannot_be_declared():
    with pytest.raises(TypeError):
        Integer()


def integers(schema, path=""):
    for name, field in schema.fields.items():
        inner = getattr(field, "inner", field)
        if isinstance(inner, Integer):
            yield f"{path}{name}", inner
        elif hasattr(inner, "schema"):
            yield from integers(inner.schema, f"{path}{name}.")


ALL_NUMBERS = [
    pytest.param(field, id=f"{name} {path}")
    for name, command in registry.load_commands().items()
    if command.schema is not None
    for path, field in integers(command.schema)
]


@pytest.mark.parametrize("field", ALL_NUMBERS)
def test_no_number_passes_32_bits_and_the_documents_say_so(field):
    assert -(1 << 31) <= field.low < field.high < 1 << 31
    shown = documents.member(field)
    if "enum" in shown:
        assert all(field.low <= value <= field.high for value in shown["enum"])
    else:
        assert field.low <= shown["minimum"] < shown["maximum"] <= field.high
