"""The outbox as seen from the event loop: taking events never waits, and SQLite runs in a native thread.

An event is in a file of arrivals when `take` returns, and in the outbox, on the disk, before it is sent.
One that a full disk does not take waits in memory for the outbox: only the end of the process loses it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import gevent
import structlog
from gevent.event import Event as Signal
from gevent.lock import BoundedSemaphore

from ... import lasting
from ...storage.database import ExclusiveLock, StateError
from ...storage.thread import StorageThread
from ...work import clock
from .counts import Counts
from .outbox import Changes, Outbox
from .targets import Target
from .write_ahead import Arrival, WriteAhead

log = structlog.get_logger(__name__)

MAX_UNWRITTEN = 20_000
"""Events that the outbox has not taken yet; only a disk that fails or hangs lets them become so many."""
MAX_UNWRITTEN_BYTES = 64 << 20
"""What they take, once they are in no file of arrivals either."""
GATHER_S = 0.02
"""How long outcomes of deliveries are gathered before they are written; a crash repeats those."""
LOOK_EVERY_S = 1.0
RETRY_S = 1.0

T = TypeVar("T")


class OutboxClient:
    """The outbox at `path`. `on_waiting(endpoint)` is called when there are new events for an endpoint.

    Raises StateError when the file cannot be opened, or another process has it.
    """

    def __init__(
        self,
        path: str,
        limits: tuple[int, int],
        counts: Counts,
        on_waiting: Callable[[str], None],
    ) -> None:
        """`limits`: most events that wait, and most bytes of the outbox."""
        self.counts = counts
        self._max_pending, self._max_bytes = limits
        self._on_waiting = on_waiting
        self.on_taken: Callable[[Arrival], None] | None = None
        """Told of each event that was taken, and ..."""
        self.on_done: Callable[[str], None] | None = None
        """... of each, by its id, that is delivered or given up, as soon as its attempt is over."""
        self._changes = Changes()
        with ExitStack() as opened:
            self._lock = ExclusiveLock(path, "webhook outbox")
            opened.callback(self._lock.release)
            self._outbox = Outbox(path, max_bytes=self._max_bytes)
            opened.callback(self._outbox.close)
            self._write_ahead = WriteAhead(path)
            try:
                self._take_over()
            except (sqlite3.Error, OSError) as error:
                raise StateError(f"cannot read what was on its way to the webhook outbox: {error}") from error
            opened.pop_all()
        self._thread = StorageThread()
        self._turn = BoundedSemaphore(1)
        self._work, self._arrived = Signal(), Signal()
        self._refusing = self._unkept = ""
        """Why events are dropped, and why they are in memory only; empty when they are not."""
        self._greenlets: list[gevent.Greenlet] = []

    def _take_over(self) -> None:
        """What the process before left."""
        self._outbox.write(Changes(added=list(self._write_ahead.recover())))
        self._used, self._unwritten = self._outbox.used(), 0
        """Bytes of the outbox's file that hold something, and of events that are not in it yet."""
        self.counts.bytes = self._used
        self._number = self._committed = self._outbox.taken
        self._write_ahead.committed(self._committed)
        self.counts.pending = self._outbox.counts()[0]
        self.counts.oldest = self._outbox.oldest()

    def start(self) -> None:
        """Begin to write, and tell of what is there already."""
        self._greenlets = [lasting.keep(self._write_on, again=self._work.set), lasting.keep(self._look)]

    def stop(self, timeout: float) -> None:
        """Write what is not written, for at most so many seconds, and close; the arrivals keep the rest."""
        gevent.killall(self._greenlets, block=False)
        with gevent.Timeout(timeout, False):
            try:
                self.run(Outbox.oldest)
            except sqlite3.Error as error:
                log.error("webhook outbox not written", error=str(error))
        self.abandon()

    def abandon(self) -> None:
        """Let go of the files as they are, as a crash would."""
        gevent.killall(self._greenlets, block=False)
        if not self._lock.held:
            return
        self._write_ahead.close(self._committed)
        with gevent.Timeout(1, False):
            self._thread.run(self._outbox.close)
        self._thread.stop(1)
        self._lock.release()

    def take(self, target: Target, event_id: str, kind: str, frame: bytes) -> bool:
        """Keep an event for delivery; False when it is dropped. Does not wait."""
        counts = self.counts
        if counts.pending >= self._max_pending or len(self._changes.added) >= MAX_UNWRITTEN:
            return self._refuse("too many events wait")
        if self._used + self._unwritten + len(frame) > self._max_bytes:
            return self._refuse("the events that wait take too many bytes")
        arrival = Arrival(self._number + 1, target, event_id, kind, clock.now(), frame)
        try:
            self._write_ahead.append(arrival)
            self._unkept = ""
        except OSError as error:
            reason = error.strerror or str(error)
            if self._unwritten + len(frame) > MAX_UNWRITTEN_BYTES:
                return self._refuse(reason)
            if reason != self._unkept:
                self._unkept = reason
                log.error("webhook events are kept in memory only", reason=reason)
        self._number += 1
        self._refusing = ""
        counts.enqueued += 1
        counts.pending += 1
        counts.oldest = counts.oldest or arrival.at
        self._changes.added.append(arrival)
        self._unwritten += len(frame)
        self._work.set()
        self._arrived.set()
        if self.on_taken is not None:
            self.on_taken(arrival)
        return True

    def _refuse(self, reason: str) -> bool:
        self.counts.dropped += 1
        if reason != self._refusing:  # once, not for each event of a flood
            self._refusing = reason
            log.error("webhook events are dropped", reason=reason, pending=self.counts.pending)
        return False

    def delivered(self, id: int, event_id: str) -> None:
        """An event arrived where it should; it will be forgotten."""
        if self.on_done is not None:
            self.on_done(event_id)
        self.counts.delivered += 1
        self.counts.pending -= 1
        self._changes.delivered.append(id)
        self._work.set()

    def failed(self, id: int, event_id: str, reason: str, *, final: bool) -> None:
        """An attempt failed; with `final` the event becomes a dead letter."""
        if final and self.on_done is not None:
            self.on_done(event_id)
        self.counts.failed_attempts += 1
        if final:
            self.counts.dead += 1
            self.counts.pending -= 1
        (self._changes.dead if final else self._changes.failed).append((id, reason))
        self._work.set()

    def drop(self, ids: Sequence[int]) -> None:
        """Forget events that wait: somebody else delivers them."""
        self.counts.pending -= self.run(Outbox.drop, ids)

    def expire(self, endpoint: str, before: float) -> None:
        """Give up an endpoint's events that are older than a time."""
        count = 1
        while count:
            count, forgotten = self.run(Outbox.expire, endpoint, before)
            self.counts.dead += count
            self.counts.pending -= count
            self.counts.forgotten += forgotten

    def run(self, ask: Callable[..., T], *values: Any) -> T:
        """Write what is to be written, then ask the outbox. Waits. Raises sqlite3.Error."""
        with self._turn:
            changes, self._changes = self._changes, Changes()
            try:
                written = self._thread.run(self._in_thread, changes, ask, values)
            except BaseException:
                self._changes = _joined(changes, self._changes)
                raise
            result: T
            result, forgotten, self.counts.oldest, self._used = written
            self.counts.bytes = self._used
            self.counts.forgotten += forgotten
            self._unwritten = sum(len(one.frame) for one in self._changes.added)
            if changes.added:
                self._committed = changes.added[-1].number
                self._write_ahead.committed(self._committed)
        for endpoint in {one.target.endpoint for one in changes.added}:
            self._on_waiting(endpoint)
        return result

    def _in_thread(
        self, changes: Changes, ask: Callable[..., T], values: tuple[Any, ...]
    ) -> tuple[T, int, float, int]:
        forgotten = self._outbox.write(changes)
        return ask(self._outbox, *values), forgotten, self._outbox.oldest(), self._outbox.used()

    def _write_on(self) -> None:
        """Write whatever there is, again and again: events at once, outcomes a little later."""
        while True:
            self._work.wait()
            if not self._changes.added:
                self._arrived.wait(GATHER_S)
            self._work.clear()
            self._arrived.clear()
            try:
                self.run(Outbox.oldest)
            except sqlite3.Error as error:
                log.error("webhook outbox not written", error=str(error), waiting=len(self._changes.added))
                gevent.sleep(RETRY_S)
                self._work.set()

    def _look(self) -> None:
        """See what the command line replays."""
        changed = True
        while True:
            try:
                if changed or self.run(Outbox.changed_by_others):
                    changed = True  # until it is known what there is
                    self._catch_up()
                    changed = False
            except sqlite3.Error as error:
                log.warning("webhook outbox not read", error=str(error))
            gevent.sleep(LOOK_EVERY_S)

    def _catch_up(self) -> None:
        pending = self.run(Outbox.counts)[0]
        changes = self._changes
        # what happened since then is not in it
        self.counts.pending = pending + len(changes.added) - len(changes.delivered) - len(changes.dead)
        for endpoint in self.run(Outbox.endpoints):
            self._on_waiting(endpoint)


def _joined(first: Changes, second: Changes) -> Changes:
    return Changes(
        first.added + second.added,
        first.delivered + second.delivered,
        first.failed + second.failed,
        first.dead + second.dead,
    )
