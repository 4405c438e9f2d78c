"""Members of payloads: what their fields let through."""

from __future__ import annotations

import pytest
from marshmallow import Schema, ValidationError

from vsi_esl.documents import fields as documents
from vsi_esl.errors import Invalid
from vsi_esl.protocol import registry, schemas
from vsi_esl.protocol.limits import Choice, Range
from vsi_esl.protocol.schemas import INT32, Integer, Payload, Text, about


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


VOLUME = Range("volume", -8, 8)
RATE = Choice("rate", (8000, 16000, 48000))
MODE = Choice("mode", ("fast", "slow", "none"))


class Checked(Payload):
    volume = Integer(*INT32, checked=VOLUME)
    rate = Integer(*INT32, checked=RATE)
    mode = Text(choice=MODE)
    chosen = Text(choice=MODE, metadata=about("Which.", needed=True))


def test_what_a_command_checks_is_shown_and_let_through_to_it():
    shown = documents.payload(Checked())["properties"]
    assert (shown["volume"]["minimum"], shown["volume"]["maximum"]) == (-8, 8)
    assert shown["rate"]["enum"] == [0, 8000, 16000, 48000]
    assert shown["mode"]["enum"] == ["", "fast", "slow", "none"]
    assert shown["chosen"]["enum"] == ["fast", "slow", "none"]
    given = {"volume": 9, "rate": 7, "mode": "x", "chosen": ""}
    assert schemas.load(Checked(), given) == given


@pytest.mark.parametrize(
    ("limit", "good", "bad", "words"),
    [
        (VOLUME, (-8, 0, 8), (-9, 9), "volume must be between -8 and 8"),
        (RATE, (8000, 48000), (0, 8001), "invalid rate: must be 8000, 16000, or 48000"),
        (MODE, ("fast", "none"), ("", "FAST"), "invalid mode: must be fast, slow, or none"),
    ],
)
def test_a_limit_is_checked_in_the_words_of_the_reference(limit, good, bad, words):
    for value in good:
        limit.check(value)
    for value in bad:
        with pytest.raises(Invalid) as refused:
            limit.check(value)
        assert refused.value.message == words


def outcome(made):
    """The arguments, or the first member that is wrong and what is wrong with it."""
    try:
        return made()
    except ValidationError as error:
        return schemas._first_problem(error.messages)


EVERYTHING = [None, "text", "x" * 70_000, 1, -1, 1 << 40, True, 1.5, [], [1], ["a", None], {}, {"a": "b"}]
SCHEMAS = [
    pytest.param(command.schema, id=name)
    for name, command in registry.load_commands().items()
    if command.schema is not None
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_arguments_are_what_the_library_makes_of_a_payload(schema):
    spelled = list(schema.spellings.values())
    payloads = [{}, *({key: value} for key in spelled for value in EVERYTHING)]
    payloads += [dict.fromkeys(spelled, value) for value in EVERYTHING]
    for payload in payloads:
        theirs = outcome(lambda given=payload: Schema.load(schema, given))
        assert outcome(lambda given=payload: schema.arguments(given)) == theirs
