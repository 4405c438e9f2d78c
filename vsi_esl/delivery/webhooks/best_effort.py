"""Webhooks as the reference server delivers them: from memory, three attempts, in no order."""

from __future__ import annotations

from collections import deque

import gevent
import structlog
from gevent.event import Event as Signal

from ... import lasting
from ...work import clock
from .counts import Counts
from .failure import Undelivered
from .outbox import Listing
from .post import Poster
from .targets import Target

log = structlog.get_logger(__name__)

QUEUE = 1000
WORKERS = 10
WAITS_S = (2.0, 4.0)
"""Before the second and the third attempt; a worker is held meanwhile, as in the reference."""

Job = tuple[Target, str, str, bytes, float]


class BestEffort:
    """A queue and ten workers. A full queue drops the new event."""

    def __init__(self, poster: Poster, counts: Counts) -> None:
        self._poster = poster
        self._counts = counts
        self._queue: deque[Job] = deque()
        self._under_way: dict[gevent.Greenlet, Job] = {}
        self._there = Signal()
        self._workers: list[gevent.Greenlet] = []
        self._done = Signal()

    def start(self) -> None:
        self._workers = [lasting.keep(self._work) for _ in range(WORKERS)]

    def offer(self, target: Target, event_id: str, kind: str, frame: bytes) -> None:
        if len(self._queue) >= QUEUE:
            self._counts.dropped += 1
            log.warning("webhook dropped: the queue is full", event_id=event_id, event_type=kind)
            return
        self._counts.enqueued += 1
        self._queue.append((target, event_id, kind, frame, clock.now()))
        self._changed()
        self._there.set()

    def listing(self, limit: int) -> Listing | None:
        """They are in memory, and in no order that would tell anybody something."""
        return None

    def stop(self, timeout: float) -> None:
        """Go on for so many seconds, as long as there is something; the rest is lost."""
        with gevent.Timeout(timeout, False):
            while self._counts.pending and self._workers:
                self._done.clear()
                self._done.wait()
        if self._counts.pending:
            log.error("webhooks lost in the shutdown", count=self._counts.pending)
        self.abandon()

    def abandon(self) -> None:
        gevent.killall(self._workers, block=False)

    def _work(self) -> None:
        me = gevent.getcurrent()
        while True:
            while not self._queue:
                self._there.clear()
                self._there.wait()
            self._under_way[me] = job = self._queue.popleft()
            try:
                self._deliver(job)
            finally:
                del self._under_way[me]
                self._changed()
                self._done.set()

    def _changed(self) -> None:
        self._counts.pending = len(self._queue) + len(self._under_way)
        oldest = [job[4] for job in self._under_way.values()]
        oldest += [self._queue[0][4]] if self._queue else []
        self._counts.oldest = min(oldest, default=0.0)

    def _deliver(self, job: Job) -> None:
        target, event_id, kind, frame, _ = job
        for attempt, wait in enumerate((*WAITS_S, None), 1):
            reason = self._attempt(target, event_id, frame)
            if reason is None:
                self._counts.delivered += 1
                return
            self._counts.failed_attempts += 1
            about = {"endpoint": target.endpoint or "global", "event_id": event_id, "event_type": kind}
            if wait is None:
                self._counts.dead += 1
                log.error("webhook given up", **about, reason=reason, attempts=attempt)
                return
            log.info("webhook not delivered", **about, reason=reason, attempts=attempt)
            gevent.sleep(wait)

    def _attempt(self, target: Target, event_id: str, frame: bytes) -> str | None:
        try:
            self._poster.post(target.endpoint, target.url, target.secret, event_id, frame)
        except Undelivered as error:
            return str(error)
        except Exception as error:  # a worker must not end over one event
            log.exception("webhook not sent", event_id=event_id)
            return type(error).__name__
        return None
