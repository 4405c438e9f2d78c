"""The service's own files: which there are, what is state and what is cache, and whether they are sound."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import quote

from ..app import history_path, webhook_path
from ..config import Config
from ..delivery import blocks
from ..delivery.webhooks import outbox
from ..ops.findings import FAIL, OK, WARN, Check
from ..storage import state
from ..storage.database import MEMORY

BUSY_TIMEOUT_S = 5.0
OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class StateFile:
    """One database. `recent` is how the files begin that have what is not in it yet; empty for none."""

    name: str
    """In an archive."""
    what: str
    path: str
    schema: int
    recent: str = ""
    cache: bool = False

    @property
    def exists(self) -> bool:
        return os.path.exists(self.path)

    @property
    def segments(self) -> list[str]:
        """The files of what is not in the database yet, oldest first."""
        if not self.recent:
            return []
        directory, base = os.path.split(f"{os.path.abspath(self.recent)}.")
        names = os.listdir(directory) if os.path.isdir(directory) else []
        numbers = [name.removeprefix(base) for name in names if name.startswith(base)]
        return [f"{self.recent}.{number}" for number in sorted(map(int, filter(str.isdecimal, numbers)))]

    @property
    def in_use(self) -> bool:
        """Whether a service has it."""
        with suppress(FileNotFoundError), open(f"{self.path}.lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def read(self) -> closing[sqlite3.Connection]:
        """A connection that changes nothing, also while a service writes. Raises sqlite3.Error."""
        uri = f"file:{quote(os.path.abspath(self.path))}?mode=ro"
        return closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S))


def files(config: Config) -> list[StateFile]:
    """Those of these settings; what is in memory only is no file."""
    at, hooks, events = config.state.path, webhook_path(config), history_path(config)
    found = [
        StateFile("state.sqlite3", "state", at, state.SCHEMA_VERSION, f"{at}.recent"),
        StateFile("webhooks.sqlite3", "webhook outbox", hooks, outbox.SCHEMA_VERSION, f"{hooks}.arrivals"),
        StateFile("events.sqlite3", "replay", events, blocks.SCHEMA_VERSION, f"{events}.recent", cache=True),
    ]
    return [one for one in found if one.path != MEMORY]


def checks(config: Config) -> Iterator[Check]:
    """What is to be said of each."""
    there = files(config)
    if not there:
        yield Check("state", OK, "in memory only (state.path)")
    for one in there:
        yield from _file(one)


def _file(one: StateFile) -> Iterator[Check]:
    name = one.what
    if not one.exists:
        yield Check(name, OK, f"{one.path} is not there: the service makes it when it is started")
        return
    yield from _permissions(one)
    if one.what == "state":
        yield Check("service", OK, f"{'runs' if one.in_use else 'does not run'} on these files")
    bad, hint = (WARN, "the service puts it aside and begins anew") if one.cache else (FAIL, "docs/backup.md")
    try:
        with one.read() as db:
            found = [row[0] for row in db.execute("PRAGMA integrity_check(10)")]
            if found != ["ok"]:
                yield Check(name, bad, f"{one.path}: {found[0]}", hint)
                return
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > one.schema:
                text = f"{one.path}: schema {version}, of a newer vsi_esl; this one has {one.schema}"
                yield Check(name, bad, text, hint)
                return
            size = os.path.getsize(one.path)
            older = f", schema {version}: brought to {one.schema} at the next start"
            note = older if version < one.schema else ""
            yield Check(name, OK, f"{one.path}: sound, {size} bytes{note}")
            if one.what == "state" and version == one.schema:
                yield from _rows(db)
    except sqlite3.Error as error:
        yield Check(name, bad, f"{one.path}: {error}", hint)
        return
    yield from _recent(one)


def _permissions(one: StateFile) -> Iterator[Check]:
    for path in (one.path, *one.segments):
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            if mode & OTHERS:
                hint = f"chmod 600 {path}: it holds numbers and secrets"
                yield Check(one.what, FAIL, f"{path} has mode {mode:04o}", hint)


def _rows(db: sqlite3.Connection) -> Iterator[Check]:
    """Whether all of it can be read, and what belongs to nothing."""
    columns = (("rooms", "matrix"), ("legs", "last"), ("items", "body"))
    for table, column in columns:
        for (text,) in db.execute(f"SELECT {column} FROM {table} WHERE {column} != ''"):  # noqa: S608
            try:
                json.loads(text)
            except ValueError:
                yield Check("state", FAIL, f"a row of {table} is no JSON", "docs/backup.md")
                return
    counts = {table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table, _ in columns}  # noqa: S608
    yield Check("rows", OK, ", ".join(f"{count} {table}" for table, count in counts.items()))
    for what, query in ORPHANS.items():
        (count,) = db.execute(query).fetchone()
        if count:
            hint = "the service tidies up when it has connected to the switch"
            yield Check("rows", WARN, f"{count} {what}", hint)


ORPHANS = {
    "legs in a room that is not there": (
        "SELECT COUNT(*) FROM legs WHERE room_id != '' AND room_id NOT IN (SELECT id FROM rooms)"
    ),
    "accounts of calls without a leg": (
        "SELECT COUNT(*) FROM items WHERE kind = 'call' AND id NOT IN (SELECT id FROM legs)"
    ),
    "things of legs that are not there": (
        "SELECT COUNT(*) FROM items WHERE kind NOT IN ('call', 'cdr', 'presumed_ended', 'recording')"
        " AND json_valid(body) AND json_extract(body, '$.leg_id') != ''"
        " AND json_extract(body, '$.leg_id') NOT IN (SELECT id FROM legs)"
    ),
}


def _recent(one: StateFile) -> Iterator[Check]:
    """The files of what is not in the database yet."""
    lines = 0
    for path in one.segments:
        try:
            with open(path, "rb") as file:
                text = file.read()
        except FileNotFoundError:
            continue  # the service has it in the database by now
        lines += text.count(b"\n")
        if text and not text.endswith(b"\n") and not one.in_use:
            hint = "the last moment before a loss of power; the service goes on without it"
            yield Check(one.what, WARN, f"{path} ends within a record", hint)
    if lines:
        when = "" if one.in_use else ", which the next start does"
        yield Check(one.what, OK, f"{lines} lines still to be taken over into the database{when}")
