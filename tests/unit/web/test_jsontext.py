"""JSON as Go reads it; what is expected was seen of Go 1.26."""

from __future__ import annotations

import json
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsi_esl.web import jsontext


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud800x"', "\ufffdx"),
        (rb'"\udc00"', "\ufffd"),
        (rb'"\ud800\u0041"', "\ufffdA"),
        (rb'"\ud800\ud83d\ude00"', "\ufffd😀"),
        (rb'"\\ud800\\"', "\\ud800\\"),
        (rb'"\\\ud800"', "\\\ufffd"),
        (b'"\xe2\x82x"', "\ufffd\ufffdx"),
        (b'"\xed\xa0\x80"', "\ufffd" * 3),
        (b"\t\r\n [1e999]", [math.inf]),
        (b"-1e999", -math.inf),
        (b"9" * 400, math.inf),
        (b"-0", 0),
    ],
)
def test_what_go_reads(text, value):
    assert jsontext.read(text) == value
    assert jsontext.read(text + b" x", rest_ignored=True) == value


@pytest.mark.parametrize(
    "text",
    [
        b"", b" ", b"{", b"nul", b"NaN", b"[Infinity]", b"-Infinity", b"[01]", b"[1,]", b"\xef\xbb\xbf{}",
        b'"a\n"',
        rb'"\ud80"', rb'"\x"', b"'a'", b"\xa0{}", b"[" * 5000 + b"]" * 5000, b'{"a":1e999,}', b"[1e]", b"+1",
    ],
)  # fmt: skip
def test_what_go_does_not_read(text):
    for rest_ignored in (False, True):
        with pytest.raises(ValueError, match=r"[a-z]"):
            jsontext.read(text, rest_ignored=rest_ignored)


@pytest.mark.parametrize("behind", [b"x", b"}", b"{}", b"\x00", b"\xff", b"\x0b"])
def test_what_stands_behind(behind):
    assert jsontext.read(b'{"a":1}' + behind, rest_ignored=True) == {"a": 1}
    with pytest.raises(ValueError, match="behind"):
        jsontext.read(b'{"a":1}' + behind)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_both_readers_agree(value):
    """A text that makes the slow one read it, by what stands behind."""
    assert jsontext.read(json.dumps(value) + "\n?", rest_ignored=True) == orjson.loads(json.dumps(value))


@pytest.mark.parametrize("number", [(1 << 64) - 1, 1 << 64, -(1 << 63), -(1 << 63) - 1, 10**19, 10**20])
def test_both_readers_agree_on_large_numbers(number):
    """What is read can be written again, too."""
    slowly, fast = jsontext.read(f"{number}\n?", rest_ignored=True), orjson.loads(str(number))
    assert (type(slowly), slowly) == (type(fast), fast)
    assert orjson.loads(orjson.dumps(slowly)) == fast


def test_names_match_in_any_case():
    assert jsontext.members_of({"a": 1, "A": 2, "B": None}) == {"a": 2}
