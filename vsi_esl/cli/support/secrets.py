"""The secrets that are known here: of the settings, of the environment, and of the service's own files."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote

from ...app import webhook_path
from ...config import Config
from ...config.sections import all_settings, value_of
from ...ops import privacy

BUSY_TIMEOUT_S = 2.0
SHORTEST = 3
"""What is shorter is in every text."""
TOKEN_PARTS = 3
QUERIES = {
    "legs": "SELECT webhook_secret FROM legs",
    "rooms": "SELECT webhook_secret FROM rooms",
    "events": "SELECT DISTINCT secret FROM events",
    "dead": "SELECT DISTINCT secret FROM dead",
}


def of_settings(config: Config) -> Iterator[str]:
    """The value of each setting that is one; of a token its hash."""
    values = [value_of(config, key) for key, item in all_settings() if item.metadata["secret"]]
    for value in values:
        for one in (value,) if isinstance(value, str) else value:
            parts = str(one).split(":", TOKEN_PARTS)
            yield parts[2] if not isinstance(value, str) and len(parts) >= TOKEN_PARTS else str(one)
    for switch in config.switches:
        yield switch.settings.password


def of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    """What the variables hold that are called a secret, a key, a token, whoever's they are."""
    for name, value in environ.items():
        if privacy.private(name) and len(value) >= SHORTEST and not os.path.isabs(value):
            yield value


def of_files(config: Config) -> Iterator[str]:
    """Those of the webhooks of legs, rooms and events, as far as they can be read."""
    for path in (config.state.path, webhook_path(config)):
        try:
            with closing(read_only(path)) as db:
                for query in QUERIES.values():
                    yield from _column(db, query)
                for body in _column(db, "SELECT body FROM items"):
                    yield from _inside(json.loads(body))
        except (sqlite3.Error, OSError, ValueError):
            continue  # what cannot be read gets into no bundle either


def read_only(path: str) -> sqlite3.Connection:
    """A database of the service's, that may be in use. sqlite3.Error when there is none."""
    uri = f"file:{quote(os.path.abspath(path))}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)


def _column(db: sqlite3.Connection, query: str) -> Iterator[str]:
    try:
        for (value,) in db.execute(query):
            yield value
    except sqlite3.OperationalError:
        return  # the other file's table


def _inside(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str) and privacy.private(name):
                yield inner
            yield from _inside(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _inside(inner)
