"""The events that this service told its clients last, in the order in which it did."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

MAX_EVENTS = 10_000
MAX_BYTES = 32 << 20

Name = tuple[int, int]
"""An event's: who published it, and its number there."""


class Told(NamedTuple):
    """One event. `apart` is one of our own that was not in the stream then."""

    origin: int
    number: int
    app_id: str
    frame: bytes
    apart: bool


class Recent:
    """Bounded in number and bytes; each has a place, which counts up."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._told: deque[Told] = deque()
        self._places: dict[Name, int] = {}
        self._bytes = 0
        self._gone = 0
        """How many are forgotten: the place of the oldest."""

    @property
    def end(self) -> int:
        """The place of the next."""
        return self._gone + len(self._told)

    def add(self, told: Told) -> None:
        self._places[told.origin, told.number] = self.end
        self._told.append(told)
        self._bytes += len(told.frame)
        while len(self._told) > self._max_events or self._bytes > self._max_bytes:
            old = self._told.popleft()
            self._bytes -= len(old.frame)
            if self._places.get((old.origin, old.number)) == self._gone:
                del self._places[old.origin, old.number]
            self._gone += 1

    def place(self, name: Name) -> int | None:
        """Where an event is; None for one that is not here (any more)."""
        return self._places.get(name)

    def told_apart(self, place: int) -> bool:
        return self._told[place - self._gone].apart

    def after(self, place: int, limit: int) -> tuple[int, list[Told]]:
        """How many after this place are forgotten, and the next ones."""
        first = max(place + 1, self._gone)
        start = first - self._gone
        last = min(start + limit, len(self._told))
        return first - place - 1, [self._told[at] for at in range(start, last)]
