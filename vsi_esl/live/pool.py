"""The media workers: started when there is something for them to do, replaced when they die."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from ..errors import Unavailable
from ..media.messages import ToWorker
from .process import MediaWorker

log = structlog.get_logger(__name__)

LONGEST_PAUSE_S = 30.0
SOON_S = 0.5
"""How long after one that never answered another is tried; twice as long after each that follows."""

TOGETHER = 10
"""Sessions that a worker gets before another is woken 100 times a second for the next: that costs as much as
four sessions do."""


class Worker(Protocol):
    """A media worker, wherever it runs: on this machine (`process`), or beside a switch on another
    (`beside`)."""

    sessions: set[str]
    ready: bool
    figures: dict[str, float]
    pid: int

    def send(self, message: ToWorker) -> None: ...

    def hand_over(self, session: str, descriptor: int, read: bytes) -> None: ...

    def stop(self) -> None: ...


Heard = Callable[[Any, Any], None]
"""Told of a worker, and what it says."""
Lost = Callable[[Any], None]


class Pool:
    """At most `size` workers. The first sessions of each are together, beyond these they go to the one that
    has the fewest; another is started while those there are all have some. `lost` is told of one that died,
    with its sessions still in it."""

    def __init__(self, size: int, heard: Heard, lost: Lost, make: Callable[..., Worker] = MediaWorker):
        self._size = size
        self._heard, self._lost, self._make = heard, lost, make
        self._workers: list[Worker] = []
        self._failures = 0
        self._not_before = 0.0
        self._stopped = False
        self.restarts = 0
        """How often one died or had to be ended."""
        self._counted_before: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def workers(self) -> list[Worker]:
        return list(self._workers)

    def prepare(self) -> None:
        """A session will be wanted soon: have a worker that has none. Starting one takes a second."""
        wanted = len(self._workers) < self._size and all(one.sessions for one in self._workers)
        if wanted and not self._stopped and time.monotonic() >= self._not_before:
            self._start()

    def take(self, session: str) -> Worker:
        """The worker for a new session, which counts it from now on. Unavailable when there is none."""
        self.prepare()
        if not self._workers:
            raise Unavailable("no media worker can be started at the moment")
        # one that is still starting takes half a second to answer
        ready = [one for one in self._workers if one.ready] or self._workers
        worker = min(ready, key=_how_unfit)
        worker.sessions.add(session)
        return worker

    def figures(self) -> dict[str, float]:
        """What all workers have counted since the start of the service."""
        total = dict(self._counted_before)
        for worker in self._workers:
            _add(total, worker.figures)
        return total

    def stop(self) -> None:
        """End all of them."""
        self._stopped = True
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.stop()

    def lose_all(self) -> None:
        """They are out of reach, by no fault of theirs."""
        workers, self._workers = self._workers, []
        for worker in workers:
            _add(self._counted_before, worker.figures)
            self._lost(worker)

    def _start(self) -> None:
        try:
            self._workers.append(self._make(self._heard, self._gone))
        except OSError as error:
            log.error("media worker not started", error=str(error))
            self._failed()

    def _gone(self, worker: Worker, why: str) -> None:
        if worker in self._workers:
            self._workers.remove(worker)
        log.error("media worker lost", pid=worker.pid, why=why, sessions=len(worker.sessions))
        self.restarts += 1
        _add(self._counted_before, worker.figures)
        if worker.ready:
            self._failures = 0
            if not self._stopped:
                self._start()  # it was of use, and will be: the next session is not to wait for it
        else:
            self._failed()
        self._lost(worker)

    def _failed(self) -> None:
        pause = min(LONGEST_PAUSE_S, SOON_S * 2**self._failures)
        self._failures += 1
        self._not_before = time.monotonic() + pause


def _how_unfit(worker: Worker) -> tuple[bool, int]:
    count = len(worker.sessions)
    return (True, count) if count >= TOGETHER else (False, -count)


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value
