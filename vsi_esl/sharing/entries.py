"""The stream of events as its readers see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..cluster.connection import RedisConnection

FIRST = "-"


class Entry(NamedTuple):
    """An event in the stream; without a frame it stands for `lost` events."""

    cursor: int
    origin: int
    number: int
    app_id: str
    frame: bytes

    @property
    def lost(self) -> int:
        return 0 if self.frame else int(self.app_id)


class Keys:
    """What the events of a deployment are in."""

    def __init__(self, redis: RedisConnection, service: str) -> None:
        self._redis, self._service = redis, service
        self.stream = redis.key("events")
        self.cursor = redis.key("events", "cursor")
        self.origins = redis.key("events", "origins")
        self.apart = redis.key("events", "apart")
        self.bytes = redis.key("events", "bytes")
        self.outboxes = redis.key("outboxes")

    def outbox(self, switch: str) -> str:
        """The webhooks of a switch's events; without one those of this service."""
        return self.outbox_of(place_of(switch, self._service))

    def outbox_of(self, place: str) -> str:
        return self._redis.key("outbox", place)


def place_of(switch: str, service: str) -> str:
    """What an outbox is called that belongs to a switch, else to a service."""
    return f"switch/{switch}" if switch else f"service/{service}"


def entries(rows: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> list[Entry]:
    """What XRANGE and XREAD have found."""
    return [
        Entry(int(id.partition(b"-")[0]), int(row[b"o"]), int(row[b"s"]), row[b"a"].decode(), row[b"f"])
        for id, row in rows
    ]


def after(redis: RedisConnection, keys: Keys, cursor: int, last: int, limit: int) -> list[Entry]:
    """The first entries behind a cursor, up to the last one. Raises RedisUnavailable."""
    return entries(redis.command("XRANGE", keys.stream, f"{cursor + 1}-0", f"{last + 1}-0", "COUNT", limit))


class Mark(NamedTuple):
    """Events of one origin, from `first` to `last`, that it told its own clients while it was cut off:
    these had nothing of the others behind the cursor `base` by then."""

    origin: int
    first: int
    last: int
    base: int
    at: int
    """When it was cut off last, in ms of Redis' clock."""

    def covers(self, origin: int, number: int) -> bool:
        return self.origin == origin and self.first <= number <= self.last


def marks(rows: Mapping[bytes, bytes]) -> list[Mark]:
    """What HGETALL of `Keys.apart` has found."""
    found = []
    for field, value in rows.items():
        origin, first = field.split(b":")
        reach, at = value.split(b"-")
        last, base = reach.split(b":")
        found.append(Mark(int(origin), int(first), int(last), int(base), int(at)))
    return found
