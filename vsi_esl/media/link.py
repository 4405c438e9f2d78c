"""The link to the service: messages over a stream socket that the process inherited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from . import messages

MOST_UNSENT = 4 * messages.LONGEST
"""Bytes that may wait for the service to read them: one that reads nothing any more is gone."""


class Link(asyncio.Protocol):
    """`told` gets each message, `ended` is called once: when the other end is gone, or is not ours."""

    def __init__(self, told: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        self._told = told
        self._ended: Callable[[str], None] | None = ended
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def send(self, message: messages.FromWorker) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(messages.pack(message))
        if self._transport.get_write_buffer_size() > MOST_UNSENT:
            self._end("the service does not read")

    # -- asyncio -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = messages.LENGTH.size
        while len(self._received) >= head:
            (length,) = messages.LENGTH.unpack_from(self._received)
            if length > messages.LONGEST:
                self._end("a message that is too long")
                return
            if len(self._received) < head + length:
                return
            body = bytes(self._received[head : head + length])
            del self._received[: head + length]
            try:
                message = messages.unpack(body)
            except (ValueError, TypeError, KeyError, AttributeError):
                self._end("a message that cannot be read")
                return
            self._told(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the service is gone")

    def _end(self, why: str) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(why)
