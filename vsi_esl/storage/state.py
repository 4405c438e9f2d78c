"""What has no channel to live on, and must survive the process.

Legs live on the switch. Here are the rooms, and for each leg what a restarted service needs to report its
end if it ended meanwhile, and its webhook (a secret does not belong into a channel variable, which every
event shows). A change survives kill -9 of the process at once, see `tables`; after a loss of power the last
moments may be missing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from ..model.channel import DEFAULT_NODE
from ..model.leg import Leg, Webhook
from ..model.room import Room
from .database import ExclusiveLock, StateError, open_database
from .tables import FACTS, Row, Tables
from .thread import StorageThread

SCHEMA_VERSION = 5

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


class StateStore:
    """The database file at `path`, or one in memory for `:memory:`; written in `thread`.

    `needed` says that what asks for the change must not happen without it: StorageFailed is raised, and
    nothing changed, when it would not be durable. Raises StateError when the file cannot be used, or another
    service has it.
    """

    def __init__(self, path: str, thread: StorageThread) -> None:
        self._lock = ExclusiveLock(path, "state database")
        schema = SCHEMA + ITEMS + ENDS + NODES
        older = {2: ITEMS + ENDS + NODES, 3: ENDS + NODES, 4: NODES}
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

    def save_legs(self, legs: Iterable[Leg], *, needed: bool = False) -> None:
        """Remember these legs."""
        for leg in legs:
            self._tables.put("legs", *_row(leg), needed=needed)

    def save_end(self, leg: Leg, end: LegEnd) -> None:
        """Remember what the last event of a leg will say."""
        last = json.dumps({"cdr": end.cdr, "quality": end.quality})
        self._tables.put("legs", *_row(leg, last))

    def forget_leg(self, leg_id: str) -> None:
        self._tables.delete("legs", leg_id)

    def legs(self) -> dict[str, LegRecord]:
        """The legs clients were told of and not yet told the end of."""
        return {row[0]: _record(row) for row in self._tables.rows("legs")}

    def fact(self, name: str) -> str | None:
        """A remembered value, such as the switch's Core-UUID."""
        row = self._tables.get(FACTS, name)
        return row[1] if row else None

    def save_fact(self, name: str, value: str) -> None:
        self._tables.put(FACTS, name, value)


def _row(leg: Leg, last: str = "") -> tuple[Any, ...]:
    hook = leg.webhook or Webhook("")
    head = (leg.id, leg.type, leg.app_id, leg.room_id, leg.created_at, leg.answered_at, leg.state)
    return (*head, hook.url, hook.secret, leg.ending, last, leg.node)


def _record(row: Row) -> LegRecord:
    id, type, app_id, room_id, created_at, answered_at, state, url, secret, ending, last, node = row
    hook = Webhook(url, secret) if url else None
    head = (id, type, app_id, room_id, created_at, answered_at, state, hook)
    return LegRecord(*head, ending=ending, end=_end(last), node=node)


def _end(text: str) -> LegEnd | None:
    known = json.loads(text) if text else None
    return LegEnd(known["cdr"], known["quality"]) if known else None
