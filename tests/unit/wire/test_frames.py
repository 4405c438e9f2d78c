"""Messages as bytes, whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsi_esl.wire import frames
from vsi_esl.wire.frames import LENGTH, Malformed, Reader, pack

MESSAGES = [{"kind": "a", "n": 1}, {"kind": "b", "text": "ü" * 50}, {"kind": "c", "list": [None, 1.5]}]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=30)
def test_they_come_out_as_they_went_in_however_they_are_cut(cuts):
    data = b"".join(map(pack, MESSAGES))
    reader, found, at = Reader(), [], 0
    for cut in cuts:
        found += reader.feed(data[at : at + cut])
        at += cut
    found += reader.feed(data[at:])
    assert found == MESSAGES


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"kind":1}', b"\xff\xfe", b"{", b'"kind"', b'{"kind":"a"}x']
)
def test_what_is_no_message_is_malformed(body):
    with pytest.raises(Malformed):
        list(Reader().feed(LENGTH.pack(len(body)) + body))


def test_who_has_told_nothing_of_itself_may_not_say_much():
    reader = Reader()
    with pytest.raises(Malformed, match="a message of 65537 bytes"):
        list(reader.feed(LENGTH.pack(frames.LONGEST_HELLO + 1)))
    reader = Reader()
    reader.longest = frames.LONGEST
    assert list(reader.feed(LENGTH.pack(frames.LONGEST_HELLO + 1))) == []


def test_what_cannot_be_sent_is_said_at_once():
    with pytest.raises(Malformed, match="a message of"):
        pack({"kind": "a", "text": "x" * frames.LONGEST})
    with pytest.raises(Malformed, match="cannot be sent"):
        pack({"kind": "a", "what": object()})
