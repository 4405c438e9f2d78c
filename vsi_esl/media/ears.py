"""Sockets that bring audio, read at the beats of a worker and not whenever something comes.

A frame comes every 20 ms on each of them. A process that each of them wakes spends more on waking up than on
the audio: here they are in a selector of their own, which wakes nobody. What comes waits for 5 ms on average,
and for 10 ms at most.
"""

from __future__ import annotations

import asyncio
import os
import selectors
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from . import logs
from .metronome import Metronome

log = structlog.get_logger(__name__)

ROUNDS = 8
"""How often a socket that has more is read at one beat: what came in a stall is read in a few beats, and who
floods it waits."""
AT_ONCE = 8192
"""Bytes of a connection that are read in one go."""


@dataclass(slots=True, frozen=True)
class _Ear:
    read: Callable[[], None]
    failed: Callable[[], None]


class Ears:
    """The sockets of a worker. `read` is called when there is something, or an end; `failed` when it has
    raised something, once, and nothing is read after that."""

    def __init__(self, metronome: Metronome) -> None:
        self._metronome = metronome
        self._selector = selectors.DefaultSelector()
        self._ears: dict[int, _Ear] = {}
        self._joined = False

    def close(self) -> None:
        self._ears.clear()
        self._selector.close()

    def watch(self, number: int, read: Callable[[], None], failed: Callable[[], None]) -> None:
        """Read this descriptor from now on. Whoever closes it has it forgotten first."""
        self._selector.register(number, selectors.EVENT_READ)
        self._ears[number] = _Ear(read, failed)
        if not self._joined:
            self._joined = True
            self._metronome.at_every_beat(self._look)

    def forget(self, number: int) -> None:
        """Read it no more; nothing when it is not read."""
        if self._ears.pop(number, None) is not None:
            with suppress(OSError):
                self._selector.unregister(number)

    def _look(self) -> bool:
        for _ in range(ROUNDS):
            if not self._ears or not (ready := self._selector.select(0)):
                break
            for key, _events in ready:
                self._read(key.fd)
        self._joined = bool(self._ears)
        return self._joined

    def _read(self, number: int) -> None:
        ear = self._ears.get(number)
        if ear is None:
            return  # forgotten by one that was read before it
        try:
            ear.read()
        except Exception as fault:
            log.error("fault of an ear", **logs.described(fault))
            self.forget(number)
            ear.failed()


class Stream:
    """A TCP connection whose transport reads no more: `received` is given what comes.

    Its end, and what comes after `close`, are the transport's to see. It has begun to read before (uvloop
    forgets a pause within `connection_made`).
    """

    def __init__(self, ears: Ears, transport: asyncio.Transport, received: Callable[[bytes], None]) -> None:
        self._ears = ears
        self._transport = transport
        self._received = received
        # of our own: the transport may close its descriptor before we are told, and another gets its number
        self._number = os.dup(transport.get_extra_info("socket").fileno())
        self._open = True
        transport.pause_reading()
        ears.watch(self._number, self._read, self._failed)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._ears.forget(self._number)
            os.close(self._number)
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def _read(self) -> None:
        try:
            data = os.read(self._number, AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._received(data)
        else:
            self.close()

    def _failed(self) -> None:
        self._transport.abort()
        self.close()
