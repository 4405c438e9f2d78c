"""Values arrive in the sandbox as they were sent: the rules proven on a real switch, undone by its passes."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.support.rawclient import connected
from vsi_esl.sandbox import quoting

LEG = "0b6c2a1e-0000-4000-8000-000000000001"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
REFUSED = ("{", "}", "${", ":_:")

plain = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00\r\n"), max_size=40)
nasty = st.text(st.sampled_from("\\' ,;=[]()|\"$:_^&+@%abnrst\té😀"), max_size=30)
values = st.one_of(plain, nasty)


def level(value: str, separator: str = "") -> str:
    """One level of quoting, written here anew so as not to trust anybody's builder."""
    out = ""
    for char in value:
        if char in "\\'" or (separator and char == separator):
            out += "\\s" if char == " " else "\\" + char
        else:
            out += char
    return out


def rule_a(value: str) -> str:
    inner = value.strip(" ")
    if not inner:
        return "\\s" * len(value)
    lead, trail = len(value) - len(value.lstrip(" ")), len(value) - len(value.rstrip(" "))
    return "\\s" * lead + level(inner) + "\\s" * trail


def rule_c(value: str) -> str:
    return level(level(rule_a(value), ","), " ")


@given(values)
@example("it's")
@example("  two  words ")
@example("\\n\\s\\t")
@example("^^:a:b")
def test_setvar(value):
    line = f"{LEG} vsi_x {rule_a(value)}"
    words = quoting.separate(line, " ", 3)
    assert words[:2] == [LEG, "vsi_x"]
    assert (words[2] if len(words) > 2 else "") == value


@given(st.dictionaries(st.sampled_from(["vsi_a", "vsi_b", "sip_h_X-Test"]), values, min_size=1))
@example({"vsi_a": "a,b", "vsi_b": "it's", "sip_h_X-Test": "two words"})
@example({"vsi_a": "=", "vsi_b": "a=b=c"})
def test_originate(variables):
    assume(not any(part in value for value in variables.values() for part in REFUSED))
    assume(not any(CONTROL.search(value) for value in variables.values()))
    inner = ",".join(f"{name}={rule_c(value)}" for name, value in variables.items())
    dial_string, rest = quoting.originate_words(f"{{{inner}}}sofia/vsi/sip:bob@127.0.0.1 &park()")
    assert rest == "&park()"
    assert quoting.braces(dial_string) == (variables, "sofia/vsi/sip:bob@127.0.0.1")


@pytest.mark.parametrize(
    ("value", "quoted"), [("a,b", r"a\\,b"), ("it's", r"it\\\\\\\'s"), ("two words", r"two\swords")]
)
def test_recorded_spellings(value, quoted):
    assert rule_c(value) == quoted
    assert quoting.braces(quoting.originate_words(f"{{x={quoted}}}y &park()")[0])[0] == {"x": value}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a,b", ["a", "b"]),
        ("a,,b,", ["a", "", "b"]),
        (r"a\,b", ["a,b"]),
        ("'a,b',c", ["a,b", "c"]),
        ("it's,here", ["it's", "here"]),  # a quote without a partner is a letter
        (" a , b ", ["a", "b"]),
        (r"\sa\s", [" a "]),
        (r"\x\,", [r"\x,"]),
        ("^^:a:b,c", ["a", "b,c"]),
        ("", []),
    ],
)
def test_the_switchs_way_of_splitting(text, pieces):
    assert quoting.separate(text, ",") == pieces


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("{x='PCMU,PCMA'}y &park()", {"x": "PCMU"}),  # the first pass eats the quotes
        ("{x=a${b}c,y=1}z &park()", {"y": "1"}),  # dropped without a word
        ("{x=^^:PCMU:PCMA}z &park()", {"x": "^^:PCMU:PCMA"}),
        ("y &park()", {}),
    ],
)
def test_known_traps(sent, seen):
    assert quoting.braces(quoting.originate_words(sent)[0])[0] == seen


@given(st.text(max_size=60))
def test_nothing_breaks_the_parser(text):
    try:
        dial_string, _ = quoting.originate_words(text)
        quoting.braces(dial_string)
    except quoting.ParseError as error:
        assert str(error).startswith("-")


@settings(max_examples=40)
@given(values)
@example("ARRAY::a|:b")
def test_round_trip_over_the_socket(value):
    assume(not CONTROL.search(value) and not any(part in value for part in REFUSED))
    client = _client()
    client.api(f"uuid_setvar {_LEG} vsi_x {rule_a(value)}".rstrip(" "))
    assert client.command(f"api uuid_getvar {_LEG} vsi_x") == (value or "_undef_")


_LEG = "fixed-channel"
_open: list = []


def _client():
    return _open[0]


@pytest.fixture(autouse=True, scope="module")
def _one_sandbox():
    with connected() as (_, client):
        client.api(f"originate {{origination_uuid={_LEG}}}null/dummy &park()")
        _open.append(client)
        yield
        _open.clear()
