"""The events of the recent past, for clients that reconnect: bounded in number and age, kept over restarts.

Each event has a cursor, a number that only grows. It is part of the event's id (a UUID of version 8, RFC
9562), so that for an id too old to be kept it is still known how many events are gone. The other part is
the epoch, drawn when the file is made: ids of another file mean nothing here.

Writing is behind publishing by `FLUSH_EVERY_S` at most; what a kill -9 takes along is that much.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
import uuid
from dataclasses import dataclass

import gevent
import structlog

from .. import clock
from ..events.types import Event
from ..storage.database import StateError, open_database

log = structlog.get_logger(__name__)

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE events (
    cursor INTEGER PRIMARY KEY, at REAL NOT NULL, app_id TEXT NOT NULL, frame BLOB NOT NULL
) STRICT;
CREATE TABLE epoch (value INTEGER NOT NULL, reserved INTEGER NOT NULL, closed INTEGER NOT NULL) STRICT;
CREATE TABLE gaps (first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
"""

FLUSH_EVERY_S = 0.1
FLUSH_AT = 2000
PRUNE_EVERY_S = 5.0
PAGE = 500
CURSOR_BITS = 48
CURSOR_STEP = 100_000
"""Cursors are reserved in blocks. What a crash leaves of a block is a gap: given out or not, nobody knows."""


@dataclass(slots=True, frozen=True)
class Kept:
    """One event that was kept."""

    cursor: int
    app_id: str
    frame: bytes


class History:
    """The file at `path` (or `:memory:`). `max_age` in seconds; `max_events` 0 keeps nothing."""

    def __init__(self, path: str, max_events: int, max_age: float) -> None:
        self.max_events = max_events
        self._max_age = max_age
        self._pending: list[tuple[int, float, str, bytes]] = []
        self._writer: gevent.Greenlet | None = None
        self._pruned_at = time.monotonic()
        self._db = open_database(path, "event history", SCHEMA_VERSION, SCHEMA)
        try:
            self._epoch, self.newest = self._opened()
        except sqlite3.Error as error:
            raise StateError(f"cannot open the event history {path}: {error}") from error
        self._reserved = 0
        self._reserve()

    def _opened(self) -> tuple[int, int]:
        row = self._db.execute("SELECT value, reserved, closed FROM epoch").fetchone()
        if row is None:
            row = (secrets.randbits(30), 0, 1)
            self._db.execute("INSERT INTO epoch VALUES (?, ?, ?)", row)
        epoch, reserved, closed = row
        if not closed:
            (written,) = self._db.execute("SELECT COALESCE(MAX(cursor), 0) FROM events").fetchone()
            self._db.execute("INSERT INTO gaps VALUES (?, ?)", (written + 1, reserved))
        return epoch, reserved

    def _reserve(self) -> None:
        self._reserved = self.newest + CURSOR_STEP
        self._db.execute("UPDATE epoch SET reserved = ?, closed = 0", (self._reserved,))

    def close(self) -> None:
        """Write what is not written yet."""
        if self._writer is not None:
            self._writer.kill()
        self.flush()
        self._db.execute("UPDATE epoch SET reserved = ?, closed = 1", (self.newest,))
        self._db.close()

    def next_id(self) -> str:
        """The id of the next event."""
        self.newest += 1
        if self.newest >= self._reserved:
            self._reserve()
        number = (self.newest << 80) | (8 << 76) | (secrets.randbits(12) << 64)
        number |= (2 << 62) | (self._epoch << 32) | secrets.randbits(32)
        return str(uuid.UUID(int=number))

    def keep(self, event: Event, event_id: str, frame: bytes) -> None:
        """Remember an event. A sink of the bus; does not wait."""
        if not self.max_events:
            return
        self._pending.append((self.newest, clock.now(), event.app_id or "", frame))
        if len(self._pending) >= FLUSH_AT:
            self.flush()
        elif self._writer is None or self._writer.dead:
            self._writer = gevent.spawn_later(FLUSH_EVERY_S, self.flush)

    def flush(self) -> None:
        """Write what was kept in one transaction, and let go of what is too much or too old."""
        rows, self._pending = self._pending, []
        try:
            if rows:
                self._db.execute("BEGIN")
                self._db.executemany("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
            if time.monotonic() - self._pruned_at > PRUNE_EVERY_S or len(rows) >= FLUSH_AT:
                self._prune()
        except sqlite3.Error as error:
            log.error("events not kept", count=len(rows), error=str(error))
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _prune(self) -> None:
        self._pruned_at = time.monotonic()
        row = self._db.execute(
            "SELECT cursor FROM events ORDER BY cursor DESC LIMIT 1 OFFSET ?", (self.max_events,)
        ).fetchone()
        if row is not None:
            self._db.execute("DELETE FROM events WHERE cursor <= ?", row)
        self._db.execute("DELETE FROM events WHERE at < ?", (clock.now() - self._max_age,))
        self._db.execute(
            "DELETE FROM gaps WHERE last < (SELECT MIN(cursor) FROM events) - ?", (10 * CURSOR_STEP,)
        )

    def cursor_of(self, event_id: str) -> int | None:
        """Where an event stands; None for an id that was not given out here."""
        try:
            number = uuid.UUID(event_id).int
        except ValueError:
            return None
        cursor = number >> (128 - CURSOR_BITS)
        ours = (number >> 76) & 0xF == 8 and (number >> 32) & 0x3FFFFFFF == self._epoch
        return cursor if ours and cursor <= self.newest else None

    @property
    def oldest(self) -> int:
        """The cursor of the oldest event that is kept; of the next one when there is none."""
        self.flush()
        (found,) = self._db.execute("SELECT MIN(cursor) FROM events").fetchone()
        return self.newest + 1 if found is None else int(found)

    def gone(self, cursor: int) -> int:
        """How many of the events after this one are not kept any more."""
        self.flush()
        self._prune()
        first, last = cursor + 1, self.oldest - 1
        never = self._db.execute(
            "SELECT COALESCE(SUM(MIN(last, ?) - MAX(first, ?) + 1), 0) FROM gaps"
            " WHERE last >= ? AND first <= ?",
            (last, first, first, last),
        ).fetchone()[0]
        return max(0, int(last - first + 1 - never))

    def after(self, cursor: int) -> list[Kept]:
        """The next events after a cursor, oldest first, at most a page; empty when there is none."""
        if self._pending:
            self.flush()
        rows = self._db.execute(
            "SELECT cursor, app_id, frame FROM events WHERE cursor > ? ORDER BY cursor LIMIT ?",
            (cursor, PAGE),
        )
        return [Kept(*row) for row in rows]
