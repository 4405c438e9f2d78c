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
from ..delivery.history import Past
from ..errors import Invalid

PATIENCE_S = 0.02
"""How long a page of the past gives way to everything else, so that it is sent at last."""


def since(ctx: Context, event_id: str) -> Past | None:
    """What came after this event; None when the client did not ask. Invalid for what is no event id, and
    Unavailable when what there is of the past cannot be had now."""
    if not event_id:
        return None
    try:
        uuid.UUID(event_id)
    except ValueError:
        raise Invalid("invalid since: not an event id") from None
    return ctx.history.past(event_id) if ctx.elsewhere is None else ctx.elsewhere.past(event_id)


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

    def __init__(self, ctx: Context, app_filter: AppFilter, past: Past | None, turns: Turns) -> None:
        self._ctx = ctx
        self._turns = turns
        self._filter = app_filter
        self._past = past
        self._live: Subscription | None = None if past is not None else self._subscribe()
        self._lost_before = 0

    @property
    def dropped_total(self) -> int:
        """Events lost on the way to this client."""
        return self._lost_before + (self._live.dropped_total if self._live else 0)

    def take(self, limit: int) -> list[bytes]:
        """The next frames, about `limit` at most; waits until there is one."""
        while True:
            frames = self._current(self._live, limit) if self._live is not None else self._replayed()
            if frames:
                return frames

    def close(self) -> None:
        """No more events."""
        if self._live is not None:
            self._ctx.bus.unsubscribe(self._live)

    def _subscribe(self) -> Subscription:
        return self._ctx.bus.subscribe(self._ctx.config.vsi.event_buffer_size, self._filter)

    def _current(self, live: Subscription, limit: int) -> list[bytes]:
        live.ready.wait()
        lost, frames = live.take(limit)
        if lost:
            frames.insert(0, dropped_frame(lost))
        return frames

    def _replayed(self) -> list[bytes]:
        """A page of the past; at its end the live events begin, with nothing in between."""
        page = self._past.next() if self._past is not None else None
        if page is None or not page.events:
            # no event can be published between this answer and the subscription: nothing waits here
            self._live, self._past = self._subscribe(), None
        if page is None:
            return []
        frames = []
        if page.lost:
            frames.append(dropped_frame(page.lost))
            self._lost_before += page.lost
        frames += [kept.frame for kept in page.events if self._filter.passes(kept.app_id)]
        if self._live is None:
            self._turns.wait()
        return frames
