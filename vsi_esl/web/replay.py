"""The events of one VSI connection: first what the client missed, when it says since when, then live ones.

A client that reconnects with `?since=EVENT_ID`, the last event it has seen, gets every event after it once
and in order. Where events are not kept any more, `events_dropped` stands in their place and says how many.
"""

from __future__ import annotations

import uuid

import gevent
import orjson
from gevent.lock import BoundedSemaphore

from ..calls.context import Context
from ..delivery.bus import Subscription
from ..delivery.filters import AppFilter
from ..delivery.history import History
from ..errors import Invalid

BEFORE_ALL = -1
"""The id was given out by another history (its file is gone): all that is kept is after it."""

PATIENCE_S = 0.02
"""How long a page of the past gives way to everything else, so that it is sent at last."""


def since(history: History, event_id: str) -> int | None:
    """The cursor to begin after; None when the client did not ask. Invalid for what is no event id."""
    if not event_id:
        return None
    try:
        uuid.UUID(event_id)
    except ValueError:
        raise Invalid("invalid since: not an event id") from None
    cursor = history.cursor_of(event_id)
    return BEFORE_ALL if cursor is None else cursor


def dropped_frame(count: int) -> bytes:
    """The frame that stands for lost events."""
    return orjson.dumps({"count": count, "type": "events_dropped"})


class Turns:
    """Pages of the past are sent one at a time, and each when nothing else is to be done: many clients that
    come back together are served like one."""

    def __init__(self) -> None:
        self._turn = BoundedSemaphore(1)

    def wait(self) -> None:
        """Wait for the next turn; at most `PATIENCE_S` for a moment of idleness, which may never come."""
        with self._turn, gevent.Timeout(PATIENCE_S, False):
            gevent.idle()


class EventStream:
    """What is to be sent to one client, in order. Until it has caught up it reads from the history, at its
    own pace; then it has a queue of its own."""

    def __init__(self, ctx: Context, app_filter: AppFilter, cursor: int | None, turns: Turns) -> None:
        self._ctx = ctx
        self._turns = turns
        self._filter = app_filter
        self._cursor = cursor
        self._live: Subscription | None = None if cursor is not None else self._subscribe()
        self._lost_before = 0

    @property
    def dropped_total(self) -> int:
        """Events lost on the way to this client."""
        return self._lost_before + (self._live.dropped_total if self._live else 0)

    def take(self, limit: int) -> list[bytes]:
        """The next frames, about `limit` at most; waits until there is one."""
        while True:
            if self._live is None:
                frames = self._replayed()
            else:
                self._live.ready.wait()
                lost, frames = self._live.take(limit)
                if lost:
                    frames.insert(0, dropped_frame(lost))
            if frames:
                return frames

    def close(self) -> None:
        """No more events."""
        if self._live is not None:
            self._ctx.bus.unsubscribe(self._live)

    def _subscribe(self) -> Subscription:
        return self._ctx.bus.subscribe(self._ctx.config.vsi.event_buffer_size, self._filter)

    def _replayed(self) -> list[bytes]:
        """A page of the past; at its end the live events begin, with nothing in between."""
        unknown = self._cursor == BEFORE_ALL
        page = self._ctx.history.after(0 if unknown else self._cursor or 0)
        if page is None or not page.events:
            # no event can be published between this answer and the subscription: nothing waits here
            self._live = self._subscribe()
        frames = []
        lost = 1 if unknown else page.lost if page else 0  # at least 1: nobody knows how many there were
        if lost:
            frames.append(dropped_frame(lost))
            self._lost_before += lost
        if page is not None:
            frames += [kept.frame for kept in page.events if self._filter.passes(kept.app_id)]
            self._cursor = page.last
        if self._live is None:
            self._turns.wait()
        return frames
