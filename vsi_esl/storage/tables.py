"""Small tables in memory, with every change on disk before it is made.

A change is first appended to a file (`segments`), which takes microseconds, survives kill -9, and fails at
once when the disk is full. The database gets it later, many changes in one transaction, in the storage
thread: whoever locks the file, and a disk that takes its time, keep nobody waiting. It is read at the start
only.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, TypeAlias

import gevent
import orjson
import structlog
from gevent.event import Event as Signal
from gevent.lock import BoundedSemaphore

from .. import lasting
from ..errors import StorageFailed
from .database import MEMORY
from .segments import Segments
from .thread import StorageThread

log = structlog.get_logger(__name__)

GATHER_S = 0.02
"""How long changes are gathered before they are written together."""
RETRY_S = 1.0
CLOSE_S = 3.0
MAX_UNWRITTEN = 200_000
"""Changes in the files, when the database takes none; each has some hundred bytes."""

Row: TypeAlias = "tuple[Any, ...]"
Watch: TypeAlias = "Callable[[str, Row, Row | None], None]"
Changes: TypeAlias = "dict[tuple[str, Row], Row | None]"
FACTS = "facts"
WRITTEN = "written"
"""The fact that tells the number of the last change that is in the database."""


class Tables:
    """The tables of `db`, which is a file at `path` (or `:memory:`). `keys` are their names and the columns
    of their keys, which are the first ones; one of them is `facts`.

    Raises sqlite3.Error, OSError or ValueError when they cannot be read.
    """

    def __init__(
        self, db: sqlite3.Connection, path: str, keys: Mapping[str, tuple[str, ...]], thread: StorageThread
    ) -> None:
        self._db, self._keys, self._thread = db, keys, thread
        self._rows: dict[str, dict[Row, Row]] = {}
        for name, key in keys.items():
            rows = db.execute(f"SELECT * FROM {name}")  # noqa: S608
            self._rows[name] = {row[: len(key)]: row for row in rows}
        known = self._rows[FACTS].get((WRITTEN,))
        self._number = self._written = int(known[1]) if known else 0
        self._changes: Changes = {}
        self._writing: Changes = {}
        self._segments = Segments("" if path == MEMORY else f"{path}.recent")
        defaults = self._defaults = {name: _defaults(db, name) for name in keys}
        for number, name, of, row in self._segments.recover(_read):
            if number > self._written:
                self._number = number
                # written before there were as many columns
                whole = (*row, *defaults[name][len(row) :]) if row is not None else None
                self._apply(name, tuple(of), whole)
        self.watch: Watch | None = None
        """Told of each change, with table, key and row (None: deleted). Must not wait."""
        self._only: tuple[object, Set[tuple[str, Row]]] | None = None
        self._turn = BoundedSemaphore(1)
        self._work = Signal()
        if self._changes:
            self._work.set()
        self.error = ""
        """Why the disk does not take what is to be written; empty when all is well."""
        self._writer = lasting.keep(self._write_on, again=self._work.set)

    def rows(self, table: str) -> list[Row]:
        rows = self._rows[table]
        if self._only is not None and self._only[0] is gevent.getcurrent():
            return [row for key, row in rows.items() if (table, key) in self._only[1]]
        return list(rows.values())

    def everything(self) -> Iterator[tuple[str, Row, Row]]:
        """Table, key and row of all."""
        for table, rows in self._rows.items():
            for key, row in list(rows.items()):
                yield table, key, row

    @contextmanager
    def showing(self, only: Set[tuple[str, Row]]) -> Iterator[None]:
        """Meanwhile `rows` has these for the calling greenlet, by table and key."""
        self._only = gevent.getcurrent(), only
        try:
            yield
        finally:
            self._only = None

    def replace(self, gone: Iterable[tuple[str, Row]], come: Iterable[tuple[str, Row]]) -> None:
        """Have these rows, by table, in place of those, by table and key. The watch is not told: they are
        another's changes, whose version may have more columns or fewer."""
        for table, key in gone:
            if key in self._rows[table]:
                self._change(table, key, None, False, told=False)
        for table, row in come:
            defaults = self._defaults[table]
            whole = (*row, *defaults[len(row) :])[: len(defaults)]
            self._change(table, whole[: len(self._keys[table])], whole, False, told=False)

    def get(self, table: str, *key: Any) -> Row | None:
        return self._rows[table].get(key)

    def put(self, table: str, *row: Any, needed: bool = False) -> None:
        """Have a row, in the place of the one with its key.

        With `needed` StorageFailed is raised, and nothing changed, when that would not be durable. Without,
        it is kept in memory, and written as soon as the disk takes it.
        """
        self._change(table, row[: len(self._keys[table])], row, needed)

    def delete(self, table: str, *key: Any, needed: bool = False) -> None:
        """Have no row with this key. `needed` as in `put`."""
        if key in self._rows[table]:
            self._change(table, key, None, needed)

    def close(self) -> None:
        """Write everything, for a few seconds at most; what is not written then is left in the files."""
        self._writer.kill()
        with gevent.Timeout(CLOSE_S, False):
            self._changes = {**self._writing, **self._changes}
            self.flush()
            self._thread.run(self._db.close)
        self._segments.close(self._written)

    def abandon(self) -> None:
        """Let go of the files as they are, as a crash would."""
        self._writer.kill()
        self._thread.run(self._db.close)
        self._segments.close(0)

    def _change(self, table: str, key: Row, row: Row | None, needed: bool, told: bool = True) -> None:
        number = self._number + 1
        try:
            if number - self._written > MAX_UNWRITTEN:
                raise OSError("too many changes wait to be written")
            self._segments.append(number, orjson.dumps((number, table, key, row)) + b"\n")
        except OSError as error:
            self._failed(error.strerror or str(error))
            if needed:
                raise StorageFailed(f"storage: {self.error}") from error
        self._number = number
        self._apply(table, key, row)
        self._work.set()
        if told and self.watch is not None:
            self.watch(table, key, row)

    def _apply(self, table: str, key: Row, row: Row | None) -> None:
        if row is None:
            self._rows[table].pop(key, None)
        else:
            self._rows[table][key] = row
        self._changes[table, key] = row

    def _failed(self, reason: str) -> None:
        if not self.error:
            log.error("state not written", error=reason)
        self.error = reason

    def _write_on(self) -> None:
        while True:
            self._work.wait(RETRY_S if self.error else None)
            gevent.sleep(GATHER_S)
            self._work.clear()
            self.flush()
            if self.error:
                gevent.sleep(RETRY_S)

    def flush(self) -> None:
        """Write what changed, in one transaction."""
        with self._turn:
            self._writing, self._changes = self._changes, {}
            number = self._number
            try:
                self._thread.run(self._write, self._writing, number)
            except sqlite3.Error as error:
                self._changes = {**self._writing, **self._changes}
                self._failed(str(error))
                return
            except Exception as error:  # else the next write would let go of the files that have these
                self._changes = {**self._writing, **self._changes}
                self._failed(type(error).__name__)
                raise
            finally:
                self._writing = {}
            self._written = number
            self._segments.committed(number)
            if self.error:
                log.info("state written again")
                self.error = ""

    def _write(self, changes: Changes, number: int) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            for (name, key), row in changes.items():
                if row is None:
                    columns = " AND ".join(f"{column} = ?" for column in self._keys[name])
                    db.execute(f"DELETE FROM {name} WHERE {columns}", key)  # noqa: S608
                else:
                    marks = ",".join("?" * len(row))
                    db.execute(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", row)  # noqa: S608
            db.execute(f"INSERT OR REPLACE INTO {FACTS} VALUES (?, ?)", (WRITTEN, str(number)))  # noqa: S608
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _defaults(db: sqlite3.Connection, table: str) -> Row:
    """What a row has in each column that it says nothing of."""
    columns = db.execute(f"PRAGMA table_info({table})").fetchall()
    texts = [default or "NULL" for _, _, _, _, default, _ in columns]
    return tuple(db.execute(f"SELECT {', '.join(texts)}").fetchone())


def _read(name: str) -> Iterator[tuple[int, tuple[int, str, list[Any], list[Any] | None]]]:
    with open(name, "rb") as file:
        for line in file:
            try:
                number, table, key, row = orjson.loads(line)
            except (ValueError, TypeError):
                # the rest of a record that was being written when the power went
                log.error("unreadable rest of a file of changes", file=os.path.basename(name))
                return
            yield number, (number, table, key, row)
