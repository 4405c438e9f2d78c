"""The webhook outbox: an SQLite file with the events to be delivered, and the dead letters.

Used from one thread at a time. The service has it in a native thread (`outbox_client.py`), because a commit
waits for the disk. It is not the thread of the state and the history, whose order it has no part in: the
command line opens the same file, and while it held the lock for 2 s, replays waited as long in that thread.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypedDict

from ...storage.database import StateError, open_database
from ...work import clock
from .write_ahead import Arrival

SCHEMA_VERSION = 1

EVENT = """
    id INTEGER PRIMARY KEY {more}, endpoint TEXT NOT NULL, key TEXT NOT NULL, url TEXT NOT NULL,
    secret TEXT NOT NULL, event_id TEXT NOT NULL, type TEXT NOT NULL, at REAL NOT NULL, since REAL NOT NULL,
    attempts INTEGER NOT NULL, error TEXT NOT NULL, frame BLOB NOT NULL
"""
SCHEMA = f"""
CREATE TABLE events ({EVENT.format(more="AUTOINCREMENT")}) STRICT;
CREATE INDEX events_by_endpoint ON events (endpoint);
CREATE INDEX events_by_lane ON events (endpoint, key);
CREATE TABLE dead ({EVENT.format(more="")}, died_at REAL NOT NULL) STRICT;
CREATE TABLE facts (taken INTEGER NOT NULL) STRICT;
INSERT INTO facts VALUES (0);
"""  # noqa: S608
COLUMNS = "endpoint, key, url, secret, event_id, type, at, since, attempts, error, frame"

MAX_DEAD = 100_000
"""Dead letters kept; of more the oldest are forgotten, and counted."""
EXPIRE_AT_ONCE = 5000
FORGET_AT_ONCE = 100
BUSY_TIMEOUT_S = 5.0


@dataclass(slots=True, frozen=True)
class Waiting:
    """An event of the outbox. `at` is when it was published, `since` from when its age counts (Unix time)."""

    id: int
    endpoint: str
    key: str
    url: str
    secret: str
    event_id: str
    type: str
    at: float
    since: float
    attempts: int
    error: str
    frame: bytes


@dataclass(slots=True)
class Changes:
    """What is to be written: new events, and what became of others (`failed`, `dead`: id and reason)."""

    added: list[Arrival] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    dead: list[tuple[int, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.delivered or self.failed or self.dead)


class Listing(TypedDict):
    """What an operator sees of the outbox: how many there are, and the oldest (`Outbox.listing`)."""

    pending_total: int
    dead_total: int
    pending: list[dict[str, Any]]
    dead: list[dict[str, Any]]


class Outbox:
    """The file at `path` (or `:memory:`), in which dead letters leave a quarter of `max_bytes` to what
    waits. Raises StateError when it cannot be opened."""

    def __init__(self, path: str, create: bool = True, max_bytes: int = 1 << 40) -> None:
        self.path = path
        self._max_bytes = max_bytes
        if not create and not os.path.exists(path):
            raise StateError(f"there is no webhook outbox {path}")
        # The secrets of legs and rooms are in it, as an event outlives its leg; the global secret is not.
        self._db = open_database(path, "webhook outbox", SCHEMA_VERSION, SCHEMA, busy_timeout=BUSY_TIMEOUT_S)
        try:
            self._db.execute("PRAGMA wal_autocheckpoint = 4000")
            self._seen = self._data_version()
        except sqlite3.Error as error:
            self._db.close()
            raise StateError(f"cannot read the webhook outbox {path}: {error}") from error

    def close(self) -> None:
        self._db.close()

    def used(self) -> int:
        """Bytes of the file that hold something."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def write(self, changes: Changes) -> int:
        """Write everything in one transaction; how many dead letters were forgotten.

        New events are on the disk when this returns. The rest may be lost with the power, which repeats
        deliveries. Raises sqlite3.Error, with nothing written.
        """
        if not changes:
            return 0
        self._db.execute(f"PRAGMA synchronous = {'FULL' if changes.added else 'NORMAL'}")
        with self._transaction() as db:
            return self._write(db, changes)

    def _write(self, db: sqlite3.Connection, changes: Changes) -> int:
        if changes.added:
            (taken,) = db.execute("SELECT taken FROM facts").fetchone()
            # after a crash some are offered again that are here, or were, already
            rows = (_row(one) for one in changes.added if one.number > taken)
            db.executemany(f"INSERT INTO events ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608
            newest = max(taken, changes.added[-1].number)
            db.execute("UPDATE facts SET taken = ?", (newest,))
        db.executemany("DELETE FROM events WHERE id = ?", [(id,) for id in changes.delivered])
        failed = [(error, id) for id, error in [*changes.failed, *changes.dead]]
        db.executemany("UPDATE events SET attempts = attempts + 1, error = ? WHERE id = ?", failed)
        forgotten = self._bury([id for id, _ in changes.dead]) if changes.dead else 0
        return forgotten + self._make_room()

    def _make_room(self) -> int:
        """Forget some of the oldest dead letters when the file is nearly as large as it may be; how many."""
        if self.used() * 4 <= self._max_bytes * 3:
            return 0
        oldest = "SELECT id FROM dead ORDER BY id LIMIT ?"
        return self._db.execute(f"DELETE FROM dead WHERE id IN ({oldest})", (FORGET_AT_ONCE,)).rowcount  # noqa: S608

    def _bury(self, ids: Iterable[int]) -> int:
        """Make dead letters of these; how many older ones had to go."""
        now = clock.now()
        for id in ids:
            self._db.execute(
                f"INSERT INTO dead SELECT id, {COLUMNS}, ? FROM events WHERE id = ?",  # noqa: S608
                (now, id),
            )
            self._db.execute("DELETE FROM events WHERE id = ?", (id,))
        query = "SELECT id FROM dead ORDER BY id DESC LIMIT 1 OFFSET ?"
        surplus = self._db.execute(query, (MAX_DEAD,)).fetchone()
        if surplus is None:
            return 0
        return self._db.execute("DELETE FROM dead WHERE id <= ?", surplus).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @property
    def taken(self) -> int:
        """The number of the last arrival that was written."""
        return int(self._db.execute("SELECT taken FROM facts").fetchone()[0])

    def page(self, endpoint: str, after: int, limit: int) -> list[Waiting]:
        """The next events for an endpoint, oldest first."""
        return self._select("endpoint = ? AND id > ? ORDER BY id LIMIT ?", endpoint, after, limit)

    def lane(self, endpoint: str, key: str, after: int, limit: int) -> list[Waiting]:
        """The next events for an endpoint with this key, oldest first."""
        where = "endpoint = ? AND key = ? AND id > ? ORDER BY id LIMIT ?"
        return self._select(where, endpoint, key, after, limit)

    def probe(self, endpoint: str, avoid: Sequence[str]) -> Waiting | None:
        """The first event of any lane, rather of one whose key is not to be avoided."""
        marks = ",".join("?" * len(avoid))
        where = f"endpoint = ? AND key NOT IN ({marks}) ORDER BY id LIMIT 1"
        found = self._select(where, endpoint, *avoid) or self.page(endpoint, 0, 1)
        return found[0] if found else None

    def expire(self, endpoint: str, before: float) -> tuple[int, int]:
        """Make dead letters of an endpoint's events whose age counts from before a time; a part of them.

        How many, and how many older dead letters were forgotten.
        """
        query = "SELECT id FROM events WHERE endpoint = ? AND since < ? ORDER BY id LIMIT ?"
        with self._transaction() as db:
            rows = db.execute(query, (endpoint, before, EXPIRE_AT_ONCE)).fetchall()
            return len(rows), self._bury(id for (id,) in rows)

    def endpoints(self) -> list[str]:
        """Those for which there are events."""
        # one step per endpoint, where DISTINCT would read the index of all events
        query = (
            "WITH RECURSIVE one(name) AS (SELECT MIN(endpoint) FROM events UNION ALL"
            " SELECT (SELECT MIN(endpoint) FROM events WHERE endpoint > name) FROM one"
            " WHERE name IS NOT NULL) SELECT name FROM one WHERE name IS NOT NULL"
        )
        return [name for (name,) in self._db.execute(query)]

    def counts(self) -> tuple[int, int]:
        """How many events wait, and how many dead letters there are."""
        (waiting,) = self._db.execute("SELECT COUNT(*) FROM events").fetchone()
        (dead,) = self._db.execute("SELECT COUNT(*) FROM dead").fetchone()
        return waiting, dead

    def oldest(self) -> float:
        """When the oldest event that waits was published; 0 when there is none."""
        row = self._db.execute("SELECT at FROM events ORDER BY id LIMIT 1").fetchone()
        return float(row[0]) if row else 0.0

    def waiting_ids(self) -> list[tuple[int, str, bool]]:
        """Of all events that wait: their id here, the event's, and whether they were given up once and are
        to be delivered after all."""
        rows = self._db.execute("SELECT id, event_id, since != at FROM events ORDER BY id")
        return [(id, event, bool(replayed)) for id, event, replayed in rows]

    def some(self, ids: Sequence[int]) -> list[Waiting]:
        """These events, as far as they wait."""
        return [row for id in ids for row in self._select("id = ?", id)]

    def drop(self, ids: Sequence[int]) -> int:
        """Forget events that wait: somebody else delivers them. How many there were."""
        with self._transaction() as db:
            return sum(db.execute("DELETE FROM events WHERE id = ?", (id,)).rowcount for id in ids)

    def changed_by_others(self) -> bool:
        """Whether another process has written to the file since this was last asked."""
        before, self._seen = self._seen, self._data_version()
        return self._seen != before

    def listing(self, table: str, limit: int) -> list[dict[str, Any]]:
        """The oldest of `events` or `dead`, to be shown: without secrets, and without the events' content."""
        died = "died_at" if table == "dead" else "NULL"
        names = ("id", "endpoint", "key", "event_id", "type", "at", "attempts", "error", "died_at")
        rows = self._db.execute(
            f"SELECT id, endpoint, key, event_id, type, at, attempts, error, {died}"  # noqa: S608
            f" FROM {'dead' if table == 'dead' else 'events'} ORDER BY id LIMIT ?",
            (limit,),
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def shown(self, limit: int) -> Listing:
        """The oldest `limit` of those that wait, and of the dead letters."""
        pending, dead = self.counts()
        return {
            "pending_total": pending,
            "dead_total": dead,
            "pending": self.listing("events", limit),
            "dead": self.listing("dead", limit),
        }

    def dead_ids(self) -> list[int]:
        """Of all dead letters, the oldest first; at most `MAX_DEAD`."""
        return [id for (id,) in self._db.execute("SELECT id FROM dead ORDER BY id")]

    def replay(self, ids: Sequence[int]) -> int:
        """Have dead letters delivered again, behind what waits. How many there were.

        Their age counts anew. A service that runs on the file notices within a second, and cannot write to it
        meanwhile.
        """
        now = clock.now()
        columns = COLUMNS.replace("since, attempts", f"{now}, 0")
        copy = f"INSERT INTO events ({COLUMNS}) SELECT {columns} FROM dead"  # noqa: S608
        with self._transaction() as db:
            count = 0
            for id in sorted(set(ids)):
                count += db.execute(f"{copy} WHERE id = ?", (id,)).rowcount
                db.execute("DELETE FROM dead WHERE id = ?", (id,))
            return count

    def _select(self, where: str, *values: Any) -> list[Waiting]:
        rows = self._db.execute(f"SELECT id, {COLUMNS} FROM events WHERE {where}", values)  # noqa: S608
        return [Waiting(*row) for row in rows]

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])


def _row(one: Arrival) -> tuple[Any, ...]:
    target = one.target
    head = (target.endpoint, target.key, target.url, target.secret)
    return (*head, one.event_id, one.type, one.at, one.at, 0, "", one.frame)
