"""The events of the recent past, for clients that reconnect: bounded in number, bytes and age, kept over
restarts.

Each event has a cursor, a number that only grows. It is part of the event's id (a UUID of version 8, RFC
9562), so that for an id too old to be kept it is still known how many events are gone. The other part is
the epoch, drawn when the file is made: ids of another file mean nothing here.

The newest events are in memory, the others in full blocks in the file, see `blocks`. Writing is behind
publishing by `FLUSH_EVERY_S`; what a kill -9 would take along is beside it, see `ahead`.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import gevent
import structlog
from gevent.event import Event as Signal
from gevent.lock import BoundedSemaphore

from .. import lasting
from ..events.base import Event
from ..storage.database import MEMORY, StateError
from ..storage.thread import StorageThread
from ..work import clock
from .ahead import Ahead
from .blocks import EPOCH_BITS, Blocks, Limits, StoredEvent

log = structlog.get_logger(__name__)

BLOCK_EVENTS = 256
BLOCK_BYTES = 128 * 1024
FLUSH_EVERY_S = 0.1
PRUNE_EVERY_S = 1.0
RETRY_S = 1.0
CLOSE_S = 3.0
MAX_UNWRITTEN = 20_000
MAX_UNWRITTEN_BYTES = 64 << 20
"""Events and bytes that wait for a disk which takes none; of more the oldest are dropped, and told so."""
CURSOR_BITS = 48
NOTE_BITS = 44
"""What is left of an id: random, or what `History.note` says."""
CURSOR_STEP = 100_000
"""Cursors are reserved in blocks. What a crash leaves of a block is a gap: given out or not, nobody knows."""

_cursor = attrgetter("cursor")


@dataclass(slots=True, frozen=True)
class EventId:
    """The parts of an event's id."""

    epoch: int
    cursor: int
    note: int

    @classmethod
    def parse(cls, event_id: str) -> EventId | None:
        """None for what no history has given out."""
        try:
            number = uuid.UUID(event_id).int
        except ValueError:
            return None
        if (number >> 76) & 0xF != 8:
            return None
        note = ((number >> 64) & 0xFFF) << 32 | number & 0xFFFFFFFF
        return cls((number >> 32) & ((1 << EPOCH_BITS) - 1), number >> (128 - CURSOR_BITS), note)


@dataclass(slots=True, frozen=True)
class Page:
    """The next events after a cursor, without a hole between them. `lost` is how many were before them that
    are not kept, `last` the cursor to go on with."""

    lost: int
    events: list[StoredEvent]
    last: int


class Past(Protocol):
    """What came after some event, up to now."""

    def next(self) -> Page | None:
        """The next of it; waits. None, or a page without events, when that was all: then it has not waited
        since it saw that."""


class History:
    """The file at `path` (or `:memory:`), which is read and written in `thread`.

    `max_age` in seconds; `max_events` 0 keeps nothing. Raises StateError when there can be no such file.
    """

    def __init__(
        self, path: str, max_events: int, max_age: float, max_bytes: int, thread: StorageThread
    ) -> None:
        self._max_events, self._max_age, self._max_bytes = max_events, max_age, max_bytes
        self._thread = thread
        self._file = Blocks(path, BLOCK_EVENTS)
        known = self._file.known
        self.epoch, self.newest, self._gaps = known.epoch, known.newest, known.gaps
        self.note: Callable[[], int] | None = None
        """What the next id says besides, in `NOTE_BITS`."""
        self.mark: Callable[[Event], str] | None = None
        """What is kept beside an event."""
        self._sealed = known.sealed
        """The last cursor that is in a full block."""
        self._tail = known.tail
        self._bytes = sum(len(one.frame) for one in self._tail)
        self._written = self._tail[-1].cursor if self._tail else self._sealed
        self._ahead = Ahead(path if max_events else MEMORY, self.epoch)
        self._take_over()
        self._reserved = self.newest
        self._turn = BoundedSemaphore(1)
        self._work = Signal()
        self._failing = False
        self.lost = 0
        """Events that were never on disk: it took none, and too many waited."""
        self._more = False
        self._reserve()
        self._writer = lasting.keep(self._write_on, again=self._work.set)

    def _take_over(self) -> None:
        """What a process that was killed has told, and not written."""
        try:
            found = self._ahead.recover(self._written)
            self._tail += found
            self._bytes += sum(len(one.frame) for one in found)
            if found:
                self.newest = max(self.newest, found[-1].cursor)
                self._file.found(self._written, [one.cursor for one in found])
        except (OSError, sqlite3.Error) as error:
            self._file.close(None)
            raise StateError(f"cannot read what was on its way to the event history: {error}") from error

    def _reserve(self) -> None:
        """At the start, on the event loop: no id may be given out before."""
        try:
            self._file.write(self._written, [], self._limits(), self.newest + CURSOR_STEP)
        except sqlite3.Error as error:
            self._file.close(None)
            raise StateError(f"cannot write to the event history: {error}") from error
        self._reserved = self.newest + CURSOR_STEP

    def close(self) -> None:
        """Write what is not written yet, for a few seconds at most."""
        self._writer.kill()
        with gevent.Timeout(CLOSE_S, False):
            self.flush()
            whole = not self._tail or self._written == self._tail[-1].cursor
            self._thread.run(self._file.close, self.newest if whole else None)
        self._ahead.close(self._written)

    def abandon(self) -> None:
        """Let go of the file as it is, as a crash would."""
        self._writer.kill()
        self._thread.run(self._file.close, None)
        self._ahead.close(self._written)

    @property
    def failing(self) -> bool:
        """The disk does not take events."""
        return self._failing

    @property
    def waiting(self) -> int:
        """Events that are not on disk yet."""
        return len(self._tail) - bisect_right(self._tail, self._written, key=_cursor)

    def next_id(self) -> str:
        """The id of the next event."""
        self.newest += 1
        if self._reserved - self.newest < CURSOR_STEP // 2:
            self._work.set()
        note = int.from_bytes(os.urandom(6), "big") >> 4 if self.note is None else self.note()
        number = (self.newest << 80) | (8 << 76) | (note >> 32 << 64)
        number |= (2 << 62) | (self.epoch << 32) | (note & 0xFFFFFFFF)
        digits = f"{number:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def keep(self, event: Event, event_id: str, frame: bytes) -> None:
        """Remember an event. A sink of the bus; does not wait."""
        if not self._max_events:
            return
        mark = "" if self.mark is None else self.mark(event)
        kept = StoredEvent(self.newest, clock.now(), event.app_id or "", frame, mark)
        try:  # noqa: SIM105  (of each event: `suppress` takes longer than what it surrounds)
            self._ahead.append(kept)
        except OSError:
            pass  # a full disk: then it is in memory alone, and `failing` says so
        self._tail.append(kept)
        self._bytes += len(frame)
        if len(self._tail) > MAX_UNWRITTEN or self._bytes > MAX_UNWRITTEN_BYTES:
            count = len(self._tail) // 2
            self.lost += sum(one.cursor > self._written for one in self._tail[:count])
            self._drop(count)
            self._ahead.committed(self._tail[0].cursor - 1)  # their files are to have a bound as well
        self._work.set()

    def _drop(self, count: int) -> None:
        """Forget the oldest events that are in memory."""
        self._bytes -= sum(len(one.frame) for one in self._tail[:count])
        del self._tail[:count]

    # -- writing -------------------------------------------------------------------------------------------

    def _write_on(self) -> None:
        while True:
            if not self._more:
                self._work.wait(PRUNE_EVERY_S)
            gevent.sleep(RETRY_S if self._failing else FLUSH_EVERY_S)
            self._work.clear()
            self.flush()

    def flush(self) -> None:
        """Write what is new: as a small block, until there is enough for full ones in the place of those."""
        with self._turn:
            tail = list(self._tail)
            full = len(tail) >= BLOCK_EVENTS or self._bytes >= BLOCK_BYTES
            behind = self._sealed if full else self._written
            blocks = list(_blocks(tail if full else tail[bisect_right(tail, behind, key=_cursor) :]))
            reserved = self.newest + CURSOR_STEP
            try:
                self._more = self._thread.run(self._file.write, behind, blocks, self._limits(), reserved)
            except sqlite3.Error as error:
                if not self._failing:
                    log.error("events not kept on disk", waiting=len(tail), error=str(error))
                self._failing, self._more = True, False
                return
            self._failing, self._reserved = False, reserved
            if blocks:
                self._written = tail[-1].cursor
                self._ahead.committed(self._written)
                if full:
                    self._sealed = self._written
                    self._drop(bisect_right(self._tail, self._sealed, key=_cursor))

    def _limits(self) -> Limits:
        return Limits(self._floor(), clock.now() - self._max_age, self._max_bytes)

    def _floor(self) -> int:
        """The last cursor before the `max_events` newest events."""
        high, wanted = self.newest, self._max_events
        for first, last in reversed(self._gaps):
            if high - last >= wanted:
                break
            wanted -= high - last
            high = first - 1
        return max(0, high - wanted)

    # -- reading -------------------------------------------------------------------------------------------

    def cursor_of(self, event_id: str) -> int | None:
        """Where an event stands; None for an id that was not given out here."""
        found = EventId.parse(event_id)
        ours = found is not None and found.epoch == self.epoch and found.cursor <= self.newest
        return found.cursor if found is not None and ours else None

    def after(self, cursor: int) -> Page | None:
        """The next events after a cursor, oldest first; waits when they are not in memory. None when there
        are none, and then it has not waited since it saw that."""
        position = cursor
        while True:
            position = max(position, self._floor())
            sealed = self._sealed
            if position >= sealed:
                events = self._from_memory(position)
                break
            block = self._read(position)
            events = self._still_kept(block, position)
            if events:
                break
            position = block[-1].cursor if block else sealed
        if events:
            first, last = events[0].cursor, events[-1].cursor
            return Page(self._lost(cursor + 1, first - 1), events, last)
        lost = self._lost(cursor + 1, self.newest)
        return Page(lost, [], self.newest) if lost else None

    def past(self, event_id: str) -> Past:
        """What came after this event; all that is kept, when the id was given out by another history, whose
        file is gone."""
        return _Since(self, self.cursor_of(event_id))

    def _read(self, position: int) -> list[StoredEvent]:
        while True:
            try:
                return self._thread.run(self._file.read, position)
            except sqlite3.Error as error:
                log.warning("event history not read", error=str(error))
                gevent.sleep(RETRY_S)

    def _from_memory(self, position: int) -> list[StoredEvent]:
        start = bisect_right(self._tail, position, key=_cursor)
        for block in _blocks(self._still_kept(self._tail[start : start + BLOCK_EVENTS], position)):
            return block
        return []

    def _still_kept(self, events: list[StoredEvent], position: int) -> list[StoredEvent]:
        """Those after a cursor, without what is too old but not yet deleted."""
        before = clock.now() - self._max_age
        return [one for one in events if one.cursor > position and one.at >= before]

    def _lost(self, first: int, last: int) -> int:
        """How many events had these cursors."""
        never = sum(
            max(0, min(last, gap_last) - max(first, gap_first) + 1) for gap_first, gap_last in self._gaps
        )
        return max(0, last - first + 1 - never)


class _Since:
    """What a history has after a cursor; None for that of an event which it does not know."""

    def __init__(self, history: History, cursor: int | None) -> None:
        self._history = history
        self._unknown = cursor is None
        self._cursor = cursor or 0

    def next(self) -> Page | None:
        page = self._history.after(self._cursor)
        if page is not None:
            self._cursor = page.last
        if self._unknown:
            self._unknown = False
            # at least 1: nobody knows how many there were
            return Page(1, page.events if page else [], self._cursor)
        return page


def _blocks(events: list[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """Cut into blocks, each without a hole and no longer than it should be."""
    block: list[StoredEvent] = []
    size = 0
    for event in events:
        hole = block and event.cursor != block[-1].cursor + 1
        if hole or len(block) >= BLOCK_EVENTS or size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
        block.append(event)
        size += len(event.frame)
    if block:
        yield block
