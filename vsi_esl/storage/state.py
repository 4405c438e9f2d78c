"""What has no channel to live on, and must survive the process.

Legs live on the switch. Here are the rooms, and for each leg what a restarted service needs to report its
end if it ended meanwhile, and its webhook (a secret does not belong into a channel variable, which every
event shows). A change survives kill -9 of the process at once, see `tables`; after a loss of power the last
moments may be missing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import orjson

from ..model.channel import DEFAULT_NODE
from ..model.leg import Leg, Webhook
from ..model.room import Room
from .database import ExclusiveLock, StateError, open_database
from .tables import FACTS, Row, Tables, Watch
from .thread import StorageThread

SCHEMA_VERSION = 6

SCHEMA = """
CREATE TABLE rooms (
    id TEXT PRIMARY KEY, conference TEXT NOT NULL, sample_rate INTEGER NOT NULL, app_id TEXT NOT NULL,
    webhook_url TEXT NOT NULL, webhook_secret TEXT NOT NULL, matrix TEXT NOT NULL
) STRICT;
CREATE TABLE legs (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, app_id TEXT NOT NULL, room_id TEXT NOT NULL,
    created_at REAL NOT NULL, answered_at REAL NOT NULL, state TEXT NOT NULL,
    webhook_url TEXT NOT NULL, webhook_secret TEXT NOT NULL
) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
ITEMS = """
CREATE TABLE items (
    kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
"""
ENDS = """
ALTER TABLE legs ADD COLUMN ending TEXT NOT NULL DEFAULT '';
ALTER TABLE legs ADD COLUMN last TEXT NOT NULL DEFAULT '';
"""
NODES = """
ALTER TABLE rooms ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE legs ADD COLUMN node TEXT NOT NULL DEFAULT 'default';
"""
"""As `model.channel.DEFAULT_NODE`: before there were names, there was one switch."""
BESIDE = """
ALTER TABLE legs ADD COLUMN beside TEXT NOT NULL DEFAULT '';
"""
NODE = {"rooms": 7, "legs": 11}
"""In which column of these tables the switch's name is."""
KEYS = {"rooms": ("id",), "legs": ("id",), "items": ("kind", "id"), FACTS: ("name",)}


@dataclass(slots=True, frozen=True)
class LegEnd:
    """What the last event of a leg will say."""

    cdr: dict[str, Any]
    quality: dict[str, Any] | None


@dataclass(slots=True, frozen=True)
class LegRecord:
    """What is remembered of a leg: enough to report it gone. `ending` is why we are hanging it up."""

    id: str
    type: str
    app_id: str
    room_id: str
    created_at: float
    answered_at: float
    state: str
    webhook: Webhook | None
    ending: str = ""
    end: LegEnd | None = None
    node: str = DEFAULT_NODE
    beside: dict[str, Any] | None = None
    """What a feature keeps of it (`StateStore.keep_beside`)."""


class StateStore:
    """The database file at `path`, or one in memory for `:memory:`; written in `thread`.

    `needed` says that what asks for the change must not happen without it: StorageFailed is raised, and
    nothing changed, when it would not be durable. Raises StateError when the file cannot be used, or another
    service has it.
    """

    def __init__(self, path: str, thread: StorageThread) -> None:
        self._lock = ExclusiveLock(path, "state database")
        steps = (ITEMS, ENDS, NODES, BESIDE)
        schema = "".join((SCHEMA, *steps))
        older = {version: "".join(steps[version - 2 :]) for version in range(2, SCHEMA_VERSION)}
        self._beside: Callable[[str], object | None] = lambda leg_id: None
        try:
            self._db = open_database(path, "state database", SCHEMA_VERSION, schema, older=older)
            try:
                self._tables = Tables(self._db, path, KEYS, thread)
                self.rooms(), self.legs(), self._all_items()
            except (sqlite3.Error, OSError, ValueError, TypeError, LookupError) as error:
                self._db.close()
                raise StateError(f"cannot read the state database {path}: {error}") from error
        except StateError:
            self._lock.release()
            raise

    def close(self) -> None:
        """Write what is not written yet, for a few seconds at most, and let the next one have it."""
        self._tables.close()
        self._lock.release()

    def abandon(self) -> None:
        """Let go of the files as they are, as a crash would."""
        self._tables.abandon()
        self._lock.release()

    def flush(self) -> None:
        """Write what changed now; it waits."""
        self._tables.flush()

    @property
    def error(self) -> str:
        """Why the disk does not take what is to be written; empty when all is well."""
        return self._tables.error

    def follow(self, watch: Watch) -> None:
        """Have `watch` told of each change: the table, the key, and the row or None."""
        self._tables.watch = watch

    def everything(self) -> Iterator[tuple[str, Row, Row]]:
        """Table, key and row of all that is remembered."""
        return self._tables.everything()

    def replace(self, gone: Iterable[tuple[str, Row]], come: Iterable[tuple[str, Row]]) -> None:
        """Have rows of another service in place of ours, see `Tables.replace`."""
        self._tables.replace(gone, come)

    def showing(self, only: Set[tuple[str, Row]]) -> AbstractContextManager[None]:
        """Meanwhile this greenlet reads these only, by table and key: what is restored then is these."""
        return self._tables.showing(only)

    def save_item(self, kind: str, id: str, body: object, *, needed: bool = False) -> None:
        """Remember a playback, recording or bridge, whole: a dataclass, or what JSON has."""
        self._tables.put("items", kind, id, orjson.dumps(body).decode(), needed=needed)

    def forget_item(self, kind: str, id: str) -> None:
        self._tables.delete("items", kind, id)

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Everything remembered of one kind."""
        return [body for found, body in self._all_items() if found == kind]

    def _all_items(self) -> list[tuple[str, dict[str, Any]]]:
        return [(kind, orjson.loads(body)) for kind, _, body in self._tables.rows("items")]

    def save_room(self, room: Room, *, needed: bool = False) -> None:
        hook = room.webhook or Webhook("")
        matrix = json.dumps(room.matrix)
        head = (room.id, room.conference, room.sample_rate, room.app_id)
        row = (*head, hook.url, hook.secret, matrix, room.node)
        self._tables.put("rooms", *row, needed=needed)

    def forget_room(self, room_id: str, *, needed: bool = False) -> None:
        self._tables.delete("rooms", room_id, needed=needed)

    def rooms(self) -> list[Room]:
        """The rooms as they were, without legs."""
        return [
            Room(
                id,
                rate,
                conference,
                app_id,
                Webhook(url, secret) if url else None,
                node,
                matrix=json.loads(matrix),
            )
            for id, conference, rate, app_id, url, secret, matrix, node in self._tables.rows("rooms")
        ]

    def keep_beside(self, what: Callable[[str], object | None]) -> None:
        """Have a feature's part of each leg kept in the leg's own row, whenever that is saved: one write, not
        two. `what` has it by the leg's id: a dataclass or what JSON has, or None."""
        self._beside = what

    def save_legs(self, legs: Iterable[Leg], *, needed: bool = False) -> None:
        """Remember these legs."""
        for leg in legs:
            self._tables.put("legs", *self._row(leg), needed=needed)

    def save_end(self, leg: Leg, end: LegEnd) -> None:
        """Remember what the last event of a leg will say."""
        last = json.dumps({"cdr": end.cdr, "quality": end.quality})
        self._tables.put("legs", *self._row(leg, last))

    def _row(self, leg: Leg, last: str = "") -> Row:
        hook = leg.webhook or Webhook("")
        head = (leg.id, leg.type, leg.app_id, leg.room_id, leg.created_at, leg.answered_at, leg.state)
        beside = self._beside(leg.id)
        kept = orjson.dumps(beside).decode() if beside is not None else ""
        return (*head, hook.url, hook.secret, leg.ending, last, leg.node, kept)

    def forget_leg(self, leg_id: str) -> None:
        self._tables.delete("legs", leg_id)

    def legs(self) -> dict[str, LegRecord]:
        """The legs clients were told of and not yet told the end of."""
        return {row[0]: _record(row) for row in self._tables.rows("legs")}

    def legs_at(self, wanted: Callable[[str], bool]) -> list[LegRecord]:
        """Those on switches whose names are wanted."""
        column = NODE["legs"]
        return [_record(row) for row in self._tables.rows("legs") if wanted(row[column])]

    def leg(self, leg_id: str) -> LegRecord | None:
        """One of them."""
        row = self._tables.get("legs", leg_id)
        return _record(row) if row else None

    def node_of_leg(self, leg_id: str) -> str:
        """The switch of a leg that is remembered; empty for none."""
        row = self._tables.get("legs", leg_id)
        return str(row[NODE["legs"]]) if row else ""

    def fact(self, name: str) -> str | None:
        """A remembered value, such as the switch's Core-UUID."""
        row = self._tables.get(FACTS, name)
        return row[1] if row else None

    def save_fact(self, name: str, value: str) -> None:
        self._tables.put(FACTS, name, value)


def _record(row: Row) -> LegRecord:
    id, type, app_id, room_id, created_at, answered_at, state, url, secret, ending, last, node, kept = row
    hook = Webhook(url, secret) if url else None
    head = (id, type, app_id, room_id, created_at, answered_at, state, hook)
    beside = orjson.loads(kept) if kept else None
    return LegRecord(*head, ending=ending, end=_end(last), node=node, beside=beside)


def _end(text: str) -> LegEnd | None:
    known = json.loads(text) if text else None
    return LegEnd(known["cdr"], known["quality"]) if known else None
