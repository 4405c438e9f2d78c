"""What a client missed, for `?since=`, whichever service it was connected to.

An event that this service told its clients of itself is found in memory (`recent`), and what came after it
is told in the order in which it was told here. Anything else is looked for in the stream. Where the event
was told by a service that was cut off (`Mark`), its clients had nothing of the others by then: they get all
of that, and of that service's own events those behind it.
"""

from __future__ import annotations

import time

import gevent
import structlog

from ..cluster.connection import RedisUnavailable
from ..delivery.blocks import StoredEvent
from ..delivery.history import EventId, Page
from . import entries
from .entries import Entry
from .events import SharedEvents

log = structlog.get_logger(__name__)

PAGE = 256
SEARCH = 20_000
"""Entries among which an event is looked for, behind what its publisher had read then."""
RETRY_S = 0.2
SOON_S = 0.01
PATIENCE_S = 5.0


def since(events: SharedEvents, event_id: str) -> Recently | InStream:
    """What came after an event. Raises RedisUnavailable when only the stream would tell, and is away."""
    found = EventId.parse(event_id)
    if found is None:
        return InStream(events, 0, lost=1)
    origin, number = found.epoch, found.cursor
    place = events.recent.place((origin, number))
    told_here = place is not None and events.recent.told_apart(place)
    mark = None if told_here else next((one for one in events.marks() if one.covers(origin, number)), None)
    if place is not None and mark is None:
        return Recently(events, place)
    if mark is not None:
        return InStream(events, mark.base, known=(origin, number), there=_newest(events))
    return _behind(events, found)


def _behind(events: SharedEvents, found: EventId) -> InStream:
    """Behind where it is in the stream, else behind what its publisher had read."""
    newest = _newest(events)
    name = (found.epoch, found.cursor)
    oldest = entries.after(events.redis, events.keys, 0, newest, 1)
    if found.note > newest or not _of_deployment(events, found.epoch):
        return InStream(events, 0, lost=1)  # of another deployment, or of one service before there was one
    lost = max(0, oldest[0].cursor - found.note - 1) if oldest else 0
    cursor = found.note
    while not lost and cursor < min(newest, found.note + SEARCH):
        page = entries.after(events.redis, events.keys, cursor, newest, PAGE)
        for one in page:
            if (one.origin, one.number) == name:
                return InStream(events, one.cursor)
        if not page:
            break
        cursor = page[-1].cursor
    # it is not there: told by a service that is still cut off, or too old
    return InStream(events, found.note, known=name, lost=lost)


def _newest(events: SharedEvents) -> int:
    return int(events.redis.command("GET", events.keys.cursor) or 0)


def _of_deployment(events: SharedEvents, origin: int) -> bool:
    known = events.redis.command("HEXISTS", events.keys.origins, str(origin))
    return bool(known) or origin == events.history.epoch


class Recently:
    """What this service told behind a place in `recent`."""

    def __init__(self, events: SharedEvents, place: int) -> None:
        self._recent, self._place = events.recent, place

    def next(self) -> Page | None:
        lost, told = self._recent.after(self._place, PAGE)
        if not told:
            return None
        self._place += lost + len(told)
        return Page(lost, [StoredEvent(0, 0.0, one.app_id, one.frame) for one in told], 0)


class InStream:
    """What the stream has behind a cursor. `known`: of this origin the client has everything up to this
    number; what it has is in the stream up to the cursor `there`. `lost` are told first."""

    def __init__(
        self,
        events: SharedEvents,
        cursor: int,
        *,
        known: tuple[int, int] | None = None,
        there: int = 0,
        lost: int = 0,
    ) -> None:
        self._events, self._cursor, self._lost = events, cursor, lost
        self._there = max(cursor, there)
        self._known: dict[int, int] = dict([known] if known else [])

    def next(self) -> Page | None:
        events = self._events
        self._catch_up()
        while True:
            if self._cursor < (events.read or 0):
                kept = self._page(events.read or 0)
            else:
                there = events.read, events.told
                kept = self._untold()
                if not kept and there == (events.read, events.told):
                    return self._told([]) if self._lost else None
            if kept:
                return self._told(kept)

    def _catch_up(self) -> None:
        """Wait until this service has read as much as the client has: it is told all that is read from then
        on."""
        deadline = time.monotonic() + PATIENCE_S
        while self._there > (self._events.read or 0) and not self._events.apart:
            if time.monotonic() > deadline:
                break
            gevent.sleep(SOON_S)

    def _told(self, kept: list[StoredEvent]) -> Page:
        lost, self._lost = self._lost, 0
        return Page(lost, kept, 0)

    def _page(self, read: int) -> list[StoredEvent]:
        """The next of what this service has read of the stream."""
        found = self._ask(read)
        if not found:
            self._lost += read - self._cursor
            self._cursor = read
            return []
        if self._cursor:
            self._lost += found[0].cursor - self._cursor - 1
        self._cursor = found[-1].cursor
        self._lost += sum(one.lost for one in found)
        return [
            StoredEvent(one.cursor, 0.0, one.app_id, one.frame)
            for one in found
            if one.frame and one.number > self._known.get(one.origin, -1)
        ]

    def _ask(self, read: int) -> list[Entry]:
        """Nothing when it is gone, or Redis is away for long: live events are not to wait for that."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return entries.after(self._events.redis, self._events.keys, self._cursor, read, PAGE)
            except RedisUnavailable as error:
                log.info("stream of events not read", reason=error.message)
                if time.monotonic() > deadline:
                    return []
                gevent.sleep(RETRY_S)

    def _untold(self) -> list[StoredEvent]:
        """What this service told its own clients, while it was cut off, and is not in the stream yet."""
        epoch = self._events.history.epoch
        kept = self._events.untold(self._known.get(epoch, 0))
        if kept:
            self._known[epoch] = kept[-1].cursor
        return kept
