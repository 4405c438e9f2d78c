"""Media workers beside a switch on another machine: its companion runs them, and passes on what is said."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import structlog

from ..calls.nodes import Node
from ..media import messages
from ..media.messages import ToWorker
from ..wire.client import Line
from ..wire.frames import Message
from .pool import Heard, Lost, Pool

log = structlog.get_logger(__name__)

START, SAY, STOP = "worker.start", "worker.say", "worker.stop"
"""To the companion."""
SAID, GONE = "worker.said", "worker.gone"
"""From it."""
WORKERS = "workers"
"""In its welcome: how many there may be."""


class Beside:
    """The workers of one switch, by the numbers that they have in its companion."""

    def __init__(self, node: Node, log_level: str) -> None:
        line = node.host.companion
        assert line is not None  # noqa: S101  (who asks has looked)
        self._line, self._log_level = line, log_level
        self._numbers = count(1)
        self._workers: dict[int, RemoteWorker] = {}

    def pool(self, heard: Heard, lost: Lost) -> Pool:
        """A pool of them, as large as the companion says. When that is gone its workers are."""
        size = int(self._line.welcome.get(WORKERS, 1))
        pool = Pool(size, heard, lost, self._make)
        self._line.told.append(self._told)
        self._line.lost.append(partial(self._lost, pool))
        return pool

    def _make(self, heard: Callable[..., None], gone: Callable[..., None]) -> RemoteWorker:
        if not self._line.connected:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        number = next(self._numbers)
        worker = self._workers[number] = RemoteWorker(self._line, number, heard, gone)
        self._line.tell({"kind": START, "number": number, "log_level": self._log_level})
        return worker

    def _lost(self, pool: Pool) -> None:
        self._workers.clear()
        pool.lose_all()

    def _told(self, message: Message) -> None:
        if message["kind"] not in (SAID, GONE):
            return
        worker = self._workers.get(message["number"])
        if worker is None:
            return
        if message["kind"] == SAID:
            worker.take(messages.of_plain(dict(message["message"])))
        else:
            del self._workers[worker.number]
            worker.gone(str(message["why"]))


class RemoteWorker:
    """A `live.pool.Worker`."""

    def __init__(
        self, line: Line, number: int, heard: Callable[..., None], gone: Callable[..., None]
    ) -> None:
        self.number = number
        self.sessions: set[str] = set()
        self.ready = False
        self.figures: dict[str, float] = {}
        self.started_at = time.monotonic()
        self.pid = 0
        """It is no process of this machine."""
        self._line, self._heard, self._gone = line, heard, gone

    def send(self, message: ToWorker) -> None:
        self._line.tell({"kind": SAY, "number": self.number, "message": messages.plain(message)})

    def hand_over(self, session: str, descriptor: int, read: bytes) -> None:
        """A connection of this machine cannot be handed over to another one."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    def stop(self) -> None:
        self._line.tell({"kind": STOP, "number": self.number})

    def take(self, message: Any) -> None:
        """What it says; the pings are the companion's, which passes on the answers."""
        self.ready = True
        if isinstance(message, messages.Pong):
            self.figures = message.figures
            return
        try:
            self._heard(self, message)
        except Exception:
            log.exception("a message of a media worker was not handled", message_kind=message.kind)

    def gone(self, why: str) -> None:
        """It has ended, or had to be ended."""
        self._gone(self, why)
