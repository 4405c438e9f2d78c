"""The file of the event history: blocks of events that follow one another.

Rows are blocks and not events so that one step of SQLite reads, writes or deletes hundreds of them: between
two steps its thread has to wait for the interpreter, which the event loop may keep busy. For the same reason
letting go of old events is cheap, and needs no index but that of the last cursor in a block.

All of it but the opening runs in the storage thread.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from dataclasses import dataclass, field

import orjson
import structlog

from ..storage.database import MEMORY, StateError, StateUnavailable, open_database, passing

log = structlog.get_logger(__name__)

SCHEMA_VERSION = 2
BLOCKS = """
CREATE TABLE blocks (
    last INTEGER PRIMARY KEY, first INTEGER NOT NULL, at REAL NOT NULL,
    heads BLOB NOT NULL, frames BLOB NOT NULL
) STRICT;
"""
SCHEMA = f"""{BLOCKS}
CREATE TABLE epoch (value INTEGER NOT NULL, reserved INTEGER NOT NULL, closed INTEGER NOT NULL) STRICT;
CREATE TABLE gaps (first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
"""
ONE_ROW_EACH = f"DROP TABLE events; {BLOCKS}"
"""From version 1. What it had is told as dropped."""

EPOCH_BITS = 30
PRUNE_BLOCKS = 8
"""Blocks let go of in one step, or twice as many as were written."""
OLD_GAPS = 1_000_000
"""How far behind the oldest event a gap is still remembered, in cursors."""


@dataclass(slots=True, frozen=True)
class StoredEvent:
    """One event. `at` is Unix time in seconds, `mark` what whoever hands it on wants to know of it."""

    cursor: int
    at: float
    app_id: str
    frame: bytes
    mark: str = ""


@dataclass(slots=True, frozen=True)
class Limits:
    """What may go: events up to a cursor, those from before a time, and the oldest of more than `bytes`."""

    cursor: int
    before: float
    bytes: int


@dataclass(slots=True)
class Known:
    """What the file knows when it is opened.

    `newest` is the last cursor that may have been given out; `gaps` are ranges of cursors of which nobody
    knows that; `tail` are the events behind the last full block, whose last cursor is `sealed`.
    """

    epoch: int
    newest: int
    gaps: list[tuple[int, int]]
    sealed: int = 0
    tail: list[StoredEvent] = field(default_factory=list)


class Blocks:
    """The file at `path`, or `:memory:`.

    It is a cache: one that cannot be read is put aside, under a name that says so, and begun anew. Raises
    StateError when that cannot be done either, or when the disk is what fails, and not what the file has.
    """

    def __init__(self, path: str, block_events: int) -> None:
        self._path = path
        self._block_events = block_events
        try:
            self.known = self._begin()
        except StateUnavailable:
            raise
        except (StateError, sqlite3.Error, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.Error) and passing(error):
                raise StateUnavailable(f"cannot read the event history {path}: {error}") from error
            self._put_aside(error)
            try:
                self.known = self._begin()
            except sqlite3.Error as problem:
                raise StateError(f"cannot begin the event history {path} anew: {problem}") from problem

    def _begin(self) -> Known:
        self._db = self._open()
        try:
            return self._read_known()
        except BaseException:
            self._db.close()
            raise

    def write(self, behind: int, blocks: list[list[StoredEvent]], limits: Limits, reserved: int) -> bool:
        """Have these blocks in the place of whatever there is behind a cursor, and let go of some of what may
        go; whether there may be more of that. Cursors up to `reserved` may be given out from then on. Raises
        sqlite3.Error, with nothing done.
        """
        try:
            return self._write(behind, blocks, limits, reserved)
        except sqlite3.OperationalError:
            raise  # locked, or full, or the disk: it may pass
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return self._write(behind, blocks, limits, reserved)

    def _write(self, behind: int, blocks: list[list[StoredEvent]], limits: Limits, reserved: int) -> bool:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            if blocks:
                # not only when these are in a new form: an attempt that was given up may have come about
                db.execute("DELETE FROM blocks WHERE last > ? AND first > ?", (behind, behind))
                db.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", map(_row, blocks))
            db.execute("UPDATE epoch SET reserved = ?, closed = 0", (reserved,))
            more = self._prune(limits, max(PRUNE_BLOCKS, 2 * len(blocks)))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return more

    def _prune(self, limits: Limits, most: int) -> bool:
        over = self._used() - limits.bytes
        rows = self._db.execute("SELECT last, at, LENGTH(frames) FROM blocks ORDER BY last LIMIT ?", (most,))
        for last, at, size in rows.fetchall():
            if last > limits.cursor and at >= limits.before and over <= 0:
                return False
            self._db.execute("DELETE FROM blocks WHERE last = ?", (last,))
            over -= size
        return True

    def _used(self) -> int:
        """Bytes of the file that hold something."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def found(self, behind: int, cursors: list[int]) -> None:
        """At the start, on the event loop: there are events behind a cursor, beside the file. What is between
        them is a gap, and they are none. Raises sqlite3.Error."""
        ends = [*cursors, self.known.newest + 1]
        holes = [(last + 1, first - 1) for last, first in zip([behind, *cursors], ends, strict=True)]
        self._db.execute("DELETE FROM gaps WHERE first > ?", (behind,))
        self._db.executemany("INSERT INTO gaps VALUES (?, ?)", [one for one in holes if one[0] <= one[1]])
        self.known.gaps[:] = self._db.execute("SELECT first, last FROM gaps ORDER BY first").fetchall()

    def read(self, cursor: int) -> list[StoredEvent]:
        """The first block that has events after this one; empty when there is none. Raises sqlite3.Error."""
        query = "SELECT first, heads, frames FROM blocks WHERE last > ? ORDER BY last LIMIT 1"
        try:
            row = self._db.execute(query, (cursor,)).fetchone()
            return _events(*row) if row is not None else []
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            self._begin_anew(error)
            return []

    def close(self, newest: int | None) -> None:
        """Close it; `newest` is the last cursor that was given out, None when what was is not all written."""
        with contextlib.suppress(sqlite3.Error):
            if newest is not None:
                self._db.execute("UPDATE epoch SET reserved = ?, closed = 1", (newest,))
        self._db.close()

    def _open(self) -> sqlite3.Connection:
        return open_database(self._path, "event history", SCHEMA_VERSION, SCHEMA, older={1: ONE_ROW_EACH})

    def _read_known(self) -> Known:
        db = self._db
        row = db.execute("SELECT value, reserved, closed FROM epoch").fetchone()
        if row is None:
            row = (secrets.randbits(EPOCH_BITS), 0, 1)
            db.execute("INSERT INTO epoch VALUES (?, ?, ?)", row)
        epoch, reserved, closed = row
        oldest, written = db.execute(
            "SELECT COALESCE(MIN(first), 0), COALESCE(MAX(last), 0) FROM blocks"
        ).fetchone()
        if not closed and reserved > written:
            db.execute("DELETE FROM gaps WHERE first > ?", (written,))  # of a process that wrote nothing
            db.execute("INSERT INTO gaps VALUES (?, ?)", (written + 1, reserved))
        db.execute("DELETE FROM gaps WHERE last < ? - ?", (oldest, OLD_GAPS))
        known = Known(epoch, reserved, db.execute("SELECT first, last FROM gaps ORDER BY first").fetchall())
        for first, heads, frames in self._last_rows():
            events = _events(first, heads, frames)
            if len(events) >= self._block_events:
                break
            known.tail = events + known.tail
        known.sealed = known.tail[0].cursor - 1 if known.tail else written
        return known

    def _last_rows(self) -> list[tuple[int, bytes, bytes]]:
        query = "SELECT first, heads, frames FROM blocks ORDER BY last DESC LIMIT ?"
        rows, count = [], 0
        for row in self._db.execute(query, (self._block_events,)):
            rows.append(row)
            count += row[2].count(b"\n") + 1
            if count >= self._block_events:
                break
        return rows

    def _begin_anew(self, error: Exception) -> None:
        """What was in the file is told as dropped; the ids stay ours. Raises sqlite3.Error."""
        self._db.close()
        try:
            if self._path == MEMORY or os.path.exists(self._path):
                self._put_aside(error)
            self._db = self._open()
        except StateError as problem:
            # like a disk that takes nothing: the next attempt finds the file closed, and comes here again
            raise sqlite3.OperationalError(str(problem)) from problem
        self._db.execute("INSERT INTO epoch VALUES (?, ?, 0)", (self.known.epoch, self.known.newest))
        self._db.executemany("INSERT INTO gaps VALUES (?, ?)", self.known.gaps)

    def _put_aside(self, error: Exception) -> None:
        if self._path == MEMORY or not os.path.exists(self._path):
            raise error
        aside = f"{self._path}.unreadable"
        try:
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._path + end, aside + end)
        except OSError as problem:
            raise StateError(f"cannot put {self._path} aside: {problem}") from error
        log.warning("event history cannot be read; begun anew", error=str(error), put_aside_as=aside)


def _row(block: list[StoredEvent]) -> tuple[int, int, float, bytes, bytes]:
    last = block[-1]
    heads = orjson.dumps(
        [(one.at, one.app_id, one.mark) if one.mark else (one.at, one.app_id) for one in block]
    )
    # JSON has no line end within
    return last.cursor, block[0].cursor, last.at, heads, b"\n".join([one.frame for one in block])


def _events(first: int, heads: bytes, frames: bytes) -> list[StoredEvent]:
    """ValueError when it is not what `_row` made."""
    found = zip(orjson.loads(heads), frames.split(b"\n"), strict=True)
    return [
        StoredEvent(first + index, at, app_id, frame, *mark)
        for index, ((at, app_id, *mark), frame) in enumerate(found)
    ]
