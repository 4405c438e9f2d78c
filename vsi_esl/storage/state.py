"""The small database: what has no channel to live on, and must survive the process.

Legs live on the switch. Here are the rooms, and for each leg what a restarted service needs to report its
end if it ended meanwhile, and its webhook (a secret does not belong into a channel variable, which every
event shows). SQLite in WAL mode: a commit survives kill -9 of the process at once; after a loss of power
the last moments may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..model.leg import Leg, Webhook
from ..model.room import Room
from .database import Alone, StateError, open_database

SCHEMA_VERSION = 3

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


@dataclass(slots=True, frozen=True)
class LegRecord:
    """What is remembered of a leg: enough to report it gone."""

    id: str
    type: str
    app_id: str
    room_id: str
    created_at: float
    answered_at: float
    state: str
    webhook: Webhook | None


class StateStore:
    """The database file at `path`, or one in memory for `:memory:`.

    Raises StateError when it cannot be used, or another service has it.
    """

    def __init__(self, path: str) -> None:
        self._alone = Alone(path, "state database")
        try:
            self._db = open_database(path, "state database", SCHEMA_VERSION, SCHEMA + ITEMS, older={2: ITEMS})
        except StateError:
            self._alone.release()
            raise

    def close(self) -> None:
        self._db.close()
        self._alone.release()

    def save_item(self, kind: str, id: str, body: dict[str, Any]) -> None:
        """Remember a playback, recording or bridge, whole."""
        self._db.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (kind, id, json.dumps(body)))

    def forget_item(self, kind: str, id: str) -> None:
        self._db.execute("DELETE FROM items WHERE kind = ? AND id = ?", (kind, id))

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Everything remembered of one kind."""
        rows = self._db.execute("SELECT body FROM items WHERE kind = ?", (kind,))
        return [json.loads(body) for (body,) in rows]

    def save_room(self, room: Room) -> None:
        hook = room.webhook or Webhook("")
        matrix = json.dumps(room.matrix)
        row = (room.id, room.conference, room.sample_rate, room.app_id, hook.url, hook.secret, matrix)
        self._db.execute("INSERT OR REPLACE INTO rooms VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def forget_room(self, room_id: str) -> None:
        self._db.execute("DELETE FROM rooms WHERE id = ?", (room_id,))

    def rooms(self) -> list[Room]:
        """The rooms as they were, without legs."""
        query = "SELECT id, conference, sample_rate, app_id, webhook_url, webhook_secret, matrix FROM rooms"
        return [
            Room(
                id, rate, conference, app_id, Webhook(url, secret) if url else None, matrix=json.loads(matrix)
            )
            for id, conference, rate, app_id, url, secret, matrix in self._db.execute(query)
        ]

    def save_legs(self, legs: Iterable[Leg]) -> None:
        """Remember these legs, in one transaction."""
        rows = []
        for leg in legs:
            hook = leg.webhook or Webhook("")
            times = (leg.created_at, leg.answered_at)
            rows.append((leg.id, leg.type, leg.app_id, leg.room_id, *times, leg.state, hook.url, hook.secret))
        if len(rows) == 1:
            self._db.execute("INSERT OR REPLACE INTO legs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows[0])
        elif rows:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO legs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def forget_leg(self, leg_id: str) -> None:
        self._db.execute("DELETE FROM legs WHERE id = ?", (leg_id,))

    def legs(self) -> dict[str, LegRecord]:
        """The legs clients were told of and not yet told the end of."""
        query = (
            "SELECT id, type, app_id, room_id, created_at, answered_at, state, webhook_url, webhook_secret"
            " FROM legs"
        )
        found = {}
        for row in self._db.execute(query):
            hook = Webhook(row[7], row[8]) if row[7] else None
            found[row[0]] = LegRecord(row[0], row[1], row[2], row[3], row[4], row[5], row[6], hook)
        return found

    def fact(self, name: str) -> str | None:
        """A remembered value, such as the switch's Core-UUID."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def save_fact(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
