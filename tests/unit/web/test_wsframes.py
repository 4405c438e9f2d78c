"""WebSocket framing."""

from __future__ import annotations

import itertools
import struct
import tracemalloc

import pytest
from geventwebsocket.websocket import Header
from hypothesis import given
from hypothesis import strategies as st

from tests.support.frames import masked
from vsi_esl.web import wsframes


def messages(data: bytes, cuts: list[int] | None = None, limit: int = 1 << 20):
    parser, found = wsframes.Parser(limit), []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    for start, end in itertools.pairwise(edges):
        parser.feed(data[start:end])
        while (message := parser.next_message()) is not None:
            found.append((message.opcode, message.payload))
    return found


@given(payload=st.binary(max_size=300), mask=st.binary(min_size=4, max_size=4))
def test_unmasking_is_xor(payload, mask):
    expected = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    assert wsframes.unmask(payload, mask) == expected


@given(payloads=st.lists(st.binary(max_size=200), max_size=6), cuts=st.lists(st.integers(min_value=0)))
def test_any_chunking_gives_the_same_messages(payloads, cuts):
    data = b"".join(masked(wsframes.TEXT, payload) for payload in payloads)
    assert messages(data, cuts) == [(wsframes.TEXT, payload) for payload in payloads]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 100_000])
def test_every_length_form(size):
    payload = b"x" * size
    assert messages(masked(wsframes.BINARY, payload)) == [(wsframes.BINARY, payload)]
    encoded = wsframes.encode(wsframes.TEXT, payload)
    assert encoded.endswith(payload)
    assert len(encoded) - size in (2, 4, 10)


def test_fragments_with_a_ping_in_between():
    data = masked(1, b"he", fin=False) + masked(9, b"\x00\xff") + masked(0, b"llo")
    assert messages(data) == [(wsframes.PING, b"\x00\xff"), (wsframes.TEXT, b"hello")]


def test_empty_fragments_take_no_memory():
    parser = wsframes.Parser(1000)
    parser.feed(masked(1, b"", fin=False))
    empty = masked(0, b"", fin=False) * 1000
    tracemalloc.start()
    try:
        for _ in range(50):
            parser.feed(empty)
            assert parser.next_message() is None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000
    parser.feed(masked(0, b"end"))
    assert parser.next_message() == (wsframes.TEXT, b"end")


@given(
    fragments=st.lists(st.binary(max_size=50), min_size=1, max_size=6),
    cuts=st.lists(st.integers(min_value=0)),
)
def test_fragments_make_one_message(fragments, cuts):
    opcodes = [wsframes.BINARY] + [wsframes.CONTINUATION] * (len(fragments) - 1)
    last = len(fragments) - 1
    frames = [
        masked(op, part, fin=i == last) for i, (op, part) in enumerate(zip(opcodes, fragments, strict=True))
    ]
    expected = [(wsframes.BINARY, b"".join(fragments)), (wsframes.TEXT, b"after")]
    assert messages(b"".join([*frames, masked(wsframes.TEXT, b"after")]), cuts) == expected


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(min_value=0)))
def test_garbage_is_a_frame_error_or_nothing(data, cuts):
    try:
        messages(data, cuts, limit=1000)
    except wsframes.FrameError as error:
        assert error.code in (wsframes.PROTOCOL_ERROR, wsframes.TOO_BIG)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (wsframes.encode(1, b"unmasked"), 1002),
        (masked(1, b"x", first=0xC1), 1002),
        (masked(3, b"x"), 1002),
        (masked(0, b"nothing to continue"), 1002),
        (masked(1, b"a", fin=False) + masked(1, b"b"), 1002),
        (masked(9, b"x", fin=False), 1002),
        (masked(9, b"x" * 126), 1002),
        (masked(1, b"x" * 1001), 1009),
        (masked(1, b"x" * 600, fin=False) + masked(0, b"x" * 401), 1009),
        (struct.pack("!BBQ", 0x81, 0xFF, 1 << 30), 1009),
    ],
)
def test_broken_frames(data, code):
    with pytest.raises(wsframes.FrameError) as broken:
        messages(data, limit=1000)
    assert broken.value.code == code


@pytest.mark.parametrize(("payload", "code"), [(b"", 1005), (b"\x03\xe8", 1000), (b"\x03\xe9bye", 1001)])
def test_close_codes(payload, code):
    assert wsframes.close_code(payload) == code


@pytest.mark.parametrize(
    "payload", [b"\x03", b"\x03\xed", b"\x00\x01", b"\x07\xd0", b"\xff\xff", b"\x03\xe8\xff"]
)
def test_bad_close_frames(payload):
    with pytest.raises(wsframes.FrameError):
        wsframes.close_code(payload)


def test_a_long_close_reason_is_cut_at_a_character():
    frame = wsframes.encode_close(1001, "é" * 100)
    assert len(frame) <= 127
    frame[4:].decode()


def test_the_base_reads_unmasked_frames_and_any_length():
    """The defects of gevent-websocket 0.10.1 that our framing does not have."""

    class Stream:
        data = wsframes.encode(1, b"x") + struct.pack("!BBQ", 0x81, 0xFF, 1 << 30) + b"mask"

        def read(self, size):
            taken, self.data = self.data[:size], self.data[size:]
            return taken

    stream = Stream()
    assert Header.decode_header(stream).mask == ""
    stream.read(1)
    assert Header.decode_header(stream).length == 1 << 30
