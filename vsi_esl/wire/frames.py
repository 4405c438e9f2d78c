"""Messages as bytes: a JSON object behind its length."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import orjson

VERSION = 1
"""Of what passes. A side tells all that it speaks, and the other takes the highest that both do."""
LENGTH = struct.Struct(">I")
LONGEST = (8 << 20) + (64 << 10)
"""Bytes of one message: the longest to a media worker, and what is around it."""
LONGEST_HELLO = 64 << 10
"""Of the first one, of a side that has told nothing of itself."""

Message = dict[str, Any]


class Malformed(ValueError):
    """Bytes that are no messages of ours; what is in them is not said."""


def pack(message: Message) -> bytes:
    """A message as it is sent. Malformed when it is too long or has what JSON has not."""
    try:
        body = orjson.dumps(message)
    except TypeError as error:
        raise Malformed(f"a message that cannot be sent: {error}") from None
    if len(body) > LONGEST:
        raise Malformed(f"a message of {len(body)} bytes")
    return LENGTH.pack(len(body)) + body


class Reader:
    """Takes bytes as they come, and gives the messages in them."""

    def __init__(self) -> None:
        self.longest = LONGEST_HELLO
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Those that are complete now. Malformed for what is none, or is too long."""
        self._buffer += data
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            if length > self.longest:
                raise Malformed(f"a message of {length} bytes")
            if len(self._buffer) < LENGTH.size + length:
                return
            body = bytes(self._buffer[LENGTH.size : LENGTH.size + length])
            del self._buffer[: LENGTH.size + length]
            yield _message(body)


def _message(body: bytes) -> Message:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Malformed("what is no message") from None
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
        raise Malformed("what is no message")
    return found
