"""Fan-out of VSI events: each event is stamped and serialised once, then queued to every listener.

Publishing never waits. A listener that does not keep up loses events of its own, is told how many, and
costs the others nothing.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
from gevent.event import Event as Signal

from ..events.base import Event
from ..work import clock
from .filters import MAX_REMEMBERED_APP_IDS, AppFilter


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with the fraction's trailing zeros removed, as Go writes it."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{clock.second(seconds)}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


class Subscription:
    """One listener's queue of serialised events, bounded by `size`."""

    def __init__(self, size: int, app_filter: AppFilter) -> None:
        self._size = size
        self._filter = app_filter
        self._frames: deque[bytes] = deque()
        self._lost = 0
        self.ready = Signal()
        self.dropped_total = 0

    def __len__(self) -> int:
        return len(self._frames)

    def wants(self, app_id: str) -> bool:
        """Whether events with this app_id are for it, which they are for good or never."""
        return self._filter.passes(app_id)

    def offer(self, frame: bytes) -> bool:
        """Queue an event; False when it was lost because the queue is full."""
        if len(self._frames) >= self._size:
            self._lost += 1
            self.dropped_total += 1
            return False
        self._frames.append(frame)
        self.ready.set()
        return True

    def miss(self, count: int) -> None:
        """Count events as lost that never came to this queue."""
        self._lost += count
        self.dropped_total += count

    def take(self, limit: int) -> tuple[int, list[bytes]]:
        """Up to `limit` queued events, and how many were lost since this was last told.

        The loss is told together with the next event taken, never alone: (0, []) means nothing to do.
        """
        frames = self._frames
        batch = [frames.popleft() for _ in range(min(limit, len(frames)))]
        if not frames:
            self.ready.clear()
        if not batch:
            return 0, []
        lost, self._lost = self._lost, 0
        return lost, batch


Sink = Callable[[Any, str, bytes], None]
"""Gets an event, its id and its text."""


class EventBus:
    """Stamps events and hands them to all subscriptions and sinks."""

    def __init__(self, instance_id: str, next_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        """`next_id` makes the id of the next event."""
        self._instance_id = instance_id
        self._next_id = next_id
        self._subscriptions: list[Subscription] = []
        self._takers: dict[str, list[Subscription]] = {}
        """Of each app_id that was seen: whom its events are for. With many clients that see a part each, to
        ask all of them for each event is a third of what it costs."""
        self._sinks: list[tuple[Sink, tuple[type[Event], ...]]] = []
        self._sinks_of: dict[type[Event], list[Sink]] = {}
        """Of each type that was seen."""
        self.direct = True
        """Whether what is published goes to the subscriptions at once; else a sink delivers."""
        self.told: Callable[[Event], bool] | None = None
        """Whether an event was published by another service already, which had the switch before."""
        self.settled: Callable[[str], bool] = lambda event_id: True
        """Whether what was published stays so: while a service does not know whether its switch is another's
        it may have to take back what the other tells."""
        self._withdrawals: list[Callable[[set[str]], None]] = []
        self.published = 0
        self.dropped = 0

    @property
    def longest_queue(self) -> int:
        """Events queued for the slowest listener."""
        return max(map(len, self._subscriptions), default=0)

    def subscribe(self, size: int, app_filter: AppFilter) -> Subscription:
        """A new queue that gets every event from now on."""
        subscription = Subscription(size, app_filter)
        self._subscriptions.append(subscription)
        self._takers.clear()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._takers.clear()

    def add_sink(self, sink: Sink, *kinds: type[Event]) -> None:
        """Call `sink(event, event_id, serialised)` for every event, or those of `kinds`; it must not wait."""
        self._sinks.append((sink, kinds or (Event,)))
        self._sinks_of.clear()

    def on_withdrawn(self, told: Callable[[set[str]], None]) -> None:
        """Have `told` called with the ids of events that were taken back before they were settled. It may
        wait."""
        self._withdrawals.append(told)

    def withdraw(self, event_ids: set[str]) -> None:
        """Take back events that nobody was told of. Waits."""
        for told in self._withdrawals:
            told(event_ids)

    def publish(self, event: Event) -> None:
        """Give the event its envelope and queue it everywhere. Members are in alphabetical order."""
        if self.told is not None and self.told(event):
            return
        event_id = self._next_id()
        members = event.payload()
        members["type"] = event.type
        members["timestamp"] = timestamp(time.time_ns())
        members["event_id"] = event_id
        if self._instance_id:
            members["instance_id"] = self._instance_id
        frame = orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
        app_id = event.app_id or ""
        self.published += 1
        if self.direct:
            self.deliver(app_id, frame)
        for sink in self._sinks_of.get(type(event)) or self._find_sinks(type(event)):
            sink(event, event_id, frame)

    def _find_sinks(self, kind: type[Event]) -> list[Sink]:
        found = self._sinks_of[kind] = [sink for sink, kinds in self._sinks if issubclass(kind, kinds)]
        return found

    def deliver(self, app_id: str, frame: bytes) -> None:
        """Queue a serialised event to all subscriptions that it is for."""
        takers = self._takers.get(app_id)
        if takers is None:
            if len(self._takers) >= MAX_REMEMBERED_APP_IDS:
                self._takers.clear()
            takers = self._takers[app_id] = [one for one in self._subscriptions if one.wants(app_id)]
        for subscription in takers:
            if not subscription.offer(frame):
                self.dropped += 1

    def missed(self, count: int) -> None:
        """So many events are nowhere to be had: every listener is told."""
        for subscription in self._subscriptions:
            subscription.miss(count)
