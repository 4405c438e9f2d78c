"""The event socket's wire format."""

from __future__ import annotations

import itertools

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsi_esl.switch.esl.codec import CodecError, Decoder, decode_event, encode_command


def frames(data: bytes, cuts: list[int] | None = None, **limits: int):
    decoder, found = Decoder(**limits), []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    for start, end in itertools.pairwise(edges):
        decoder.feed(data[start:end])
        while (frame := decoder.next_frame()) is not None:
            found.append(frame)
    return found


def event(body: bytes) -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body


def test_replies_and_events_in_one_read():
    data = (
        b"Content-Type: auth/request\n\n"
        b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"
        b"Content-Type: api/response\nContent-Length: 4\n\n+OK\n" + event(b'{"Event-Name":"DTMF"}')
    )
    auth, reply, api, dtmf = frames(data)
    assert auth.content_type == "auth/request"
    assert reply.headers["Reply-Text"] == "+OK accepted"
    assert api.text() == "+OK\n"
    assert decode_event(dtmf.body) == {"Event-Name": "DTMF"}


@given(
    bodies=st.lists(st.dictionaries(st.text(), st.text(), max_size=5), max_size=8),
    cuts=st.lists(st.integers(min_value=0)),
)
def test_any_chunking_gives_the_same_events(bodies, cuts):
    data = b"".join(event(orjson.dumps(body)) for body in bodies)
    assert [decode_event(frame.body) for frame in frames(data, cuts)] == bodies


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(min_value=0)))
def test_garbage_is_an_error_or_nothing(data, cuts):
    try:
        for frame in frames(data, cuts):
            decode_event(frame.body)
    except CodecError:
        pass


def test_a_display_name_cannot_forge_a_header():
    """The defect of `event plain`: decoded as text, `%0A` in a caller's name becomes a line of its own."""
    name = "a%0AUnique-ID: forged\nUnique-ID: forged"
    body = orjson.dumps({"Caller-Caller-ID-Name": name, "Unique-ID": "real"})
    decoded = decode_event(frames(event(body))[0].body)
    assert decoded == {"Caller-Caller-ID-Name": name, "Unique-ID": "real"}


def test_bytes_that_are_no_utf8_are_replaced():
    assert decode_event(b'{"variable_sip_h_X":"caf\xe9"}') == {"variable_sip_h_X": "caf\ufffd"}


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: x\n\n",
        b"Content-Length: -1\n\n",
        b"Content-Length: 99999999999999999999\n\n",
        b"no header line\n\n",
        b"A: " + b"x" * 70_000,
    ],
)
def test_what_cannot_be_a_frame(data):
    with pytest.raises(CodecError):
        frames(data)


def test_a_body_over_the_limit_is_refused_before_it_is_read():
    with pytest.raises(CodecError, match="limit"):
        frames(b"Content-Length: 101\n\n", max_body=100)


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b"\xff"])
def test_what_is_no_event(body):
    with pytest.raises(CodecError):
        decode_event(body)


@pytest.mark.parametrize("line", ["api a\nb", "api a\rb", "api \0"])
def test_a_command_is_one_line(line):
    with pytest.raises(ValueError, match="one line"):
        encode_command(line)
    with pytest.raises(ValueError, match="one line"):
        encode_command("sendmsg u", {"execute-app-arg": line})


def test_command_with_headers_and_body():
    assert encode_command("sendmsg u", {"a": "1"}, "é") == b"sendmsg u\na: 1\ncontent-length: 2\n\n\xc3\xa9"
