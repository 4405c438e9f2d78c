"""Delivery to one endpoint, from the outbox.

Events with one key (a leg, a room) form a lane and go out one after the other; lanes go in parallel. What is
in memory is a window: the next events of the endpoint, in the order of the outbox. A lane whose first event
failed leaves the window and waits ("parked") in the outbox; when its time has come it is read from there
until it has caught up. An endpoint that fails as a whole loses its window, and is probed with one event at
a time until it answers.
"""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
import structlog
from gevent.event import Event as Signal

from ...work import clock
from .breaker import Backoff, Breaker
from .failure import ANSWERED, Undelivered
from .outbox import Outbox, Waiting
from .outbox_client import OutboxClient
from .slots import Slots

log = structlog.get_logger(__name__)

WINDOW = 400
"""Events in memory."""
MAX_PARALLEL = 24
"""Requests at once. It begins with one, and doubles with each success."""
MAX_PARKED = 1000
"""Lanes that wait for their next attempt; with more, the endpoint is taken to be dead."""
IDLE_S = 5.0
RETRY_S = 1.0
UNSETTLED_S = 0.02
"""How often an event is looked at that may be taken back: mostly for the millisecond until Redis has it."""


@dataclass(slots=True, eq=False)
class Lane:
    """The events of one key that are in the window; `behind` when the outbox may have more of them."""

    key: str
    rows: deque[Waiting] = field(default_factory=deque)
    behind: bool = False
    last: int = 0
    """The event of this lane that was last dealt with."""


class Sender:
    """Delivers what the outbox has for `endpoint`; `run` in a greenlet of its own.

    `attempt(row)` raises Undelivered. `slots` are shared with the other senders. `breaker` is what the last
    sender of this endpoint left. `started` is when the service began (Unix time), `give_up_after` in
    seconds. `spawn` begins a worker. `crowded` says whether others wait for this one to make room. `settled`
    says of an event, by its id, whether it will not be taken back; one that may be waits, and its lane with
    it.
    """

    def __init__(
        self,
        endpoint: str,
        outbox: OutboxClient,
        attempt: Callable[[Waiting], None],
        *,
        slots: Slots,
        backoff: Backoff,
        breaker: Breaker,
        started: float,
        give_up_after: float,
        spawn: Callable[[Callable[[], None]], object] = gevent.spawn,
        crowded: Callable[[], bool] = lambda: False,
        settled: Callable[[str], bool] = lambda event_id: True,
    ) -> None:
        self.endpoint = endpoint
        self.breaker = breaker
        self._outbox = outbox
        self._attempt = attempt
        self._slots = slots
        self._spawn = spawn
        self._crowded = crowded
        self._settled = settled
        self._proven = False
        self._backoff = backoff
        self._give_up_after = give_up_after
        self._started = started
        self._wake = Signal()
        self._more = True
        self._emptied = False
        self._workers = 0
        self._parallel = 1
        self._lanes: dict[str, Lane] = {}
        self._forget_window()

    def _forget_window(self) -> None:
        """From here on the outbox is read from its beginning."""
        self._lanes.clear()
        self._ready: deque[Lane] = deque()
        self._unsettled: list[Lane] = []
        self._look_again = 0.0
        self._behind: deque[Lane] = deque()
        self._parked: list[tuple[float, str]] = []
        self._parked_keys: set[str] = set()
        self._loaded = 0
        self._cursor = 0
        self._more = True

    @property
    def idle(self) -> bool:
        """Nothing to do, and nothing under way."""
        return not (self._more or self._lanes or self._parked or self._workers or self.breaker.open)

    def there_is_more(self) -> None:
        """The outbox has new events for this endpoint."""
        self._more = True
        self._wake.set()

    def look_anew(self) -> None:
        """The outbox has lost some that may be in the window."""
        self.stop()
        self._wake.set()

    def stop(self) -> None:
        """Send nothing more; what is under way goes on."""
        self._forget_window()
        self._emptied = True

    def run(self) -> float | None:
        """Deliver until there has been nothing to do for a while.

        An endpoint that is left alone, or has nothing but lanes that wait while others want the room, needs
        no sender until then: the time (monotonic) is returned.
        """
        while True:
            if (until := self._needless_until()) is not None:
                return until
            self._wake.clear()
            pause = IDLE_S
            try:
                pause = self._step()
            except sqlite3.Error as error:
                log.error("webhook outbox not read", error=str(error))
                pause = RETRY_S
            if not self._wake.wait(pause) and self.idle:
                return None

    def _needless_until(self) -> float | None:
        if self._workers:
            return None
        if self.breaker.open:
            return self.breaker.due if self.breaker.due > time.monotonic() else None
        if self._parked and not (self._more or self._lanes or self._emptied) and self._crowded():
            return self._parked[0][0] if self._parked[0][0] > time.monotonic() else None
        return None

    def _step(self) -> float:
        """Do what can be done now; for how many seconds to wait for something new."""
        if self.breaker.open:
            if self._workers:
                return IDLE_S  # what is under way comes to an end first, so that nothing goes out twice
            self._probe()
            return 0.0
        if self._emptied:
            if self._workers:
                return IDLE_S
            self._emptied = False
            self._forget_window()
        self._load()
        if self._unsettled and time.monotonic() >= self._look_again:
            self._ready.extend(self._unsettled)
            self._unsettled.clear()
        wanted = min(self._parallel, self._workers + len(self._ready))
        while self._workers < wanted:
            self._workers += 1
            self._spawn(self._work)
        due = [self._parked[0][0]] if self._parked else []
        due += [self._look_again] if self._unsettled else []
        return max(0.0, min(due) - time.monotonic()) if due else IDLE_S

    # -- from the outbox into the window --

    def _load(self) -> None:
        now = time.monotonic()
        while self._parked and self._parked[0][0] <= now:
            _, key = heapq.heappop(self._parked)
            self._parked_keys.discard(key)
            lane = self._lanes[key] = Lane(key, behind=True)
            self._behind.append(lane)
        while self._behind and not self.breaker.open:
            self._catch_up(self._behind.popleft())
        while self._wants_more and not self.breaker.open:
            self._more = False  # it may become true again meanwhile
            limit = WINDOW - self._loaded
            try:
                rows = self._outbox.run(Outbox.page, self.endpoint, self._cursor, limit)
            except sqlite3.Error:
                self._more = True  # is asked for again
                raise
            self._more = self._more or len(rows) == limit
            self._take_in(rows)

    def _catch_up(self, lane: Lane) -> None:
        try:
            rows = self._outbox.run(Outbox.lane, self.endpoint, lane.key, lane.last, WINDOW // 8)
        except sqlite3.Error:
            if self._lanes.get(lane.key) is lane:
                self._behind.append(lane)  # is asked for again
            raise
        if self._lanes.get(lane.key) is not lane:
            return  # the window was given up meanwhile
        if not rows:
            del self._lanes[lane.key]
            return
        lane.rows.extend(rows)
        self._loaded += len(rows)
        self._ready.append(lane)

    def _take_in(self, rows: list[Waiting]) -> None:
        if self.breaker.open or self._emptied:
            return  # the window was given up meanwhile
        for row in rows:
            self._cursor = row.id
            if row.key in self._parked_keys:
                continue
            lane = self._lanes.get(row.key)
            if lane is None:
                lane = self._lanes[row.key] = Lane(row.key)
                self._ready.append(lane)
            elif lane.behind:
                continue
            lane.rows.append(row)
            self._loaded += 1

    @property
    def _wants_more(self) -> bool:
        return self._more and self._loaded < WINDOW // 2 and not self._emptied

    # -- from the window to the endpoint --

    def _work(self) -> None:
        try:
            while self._ready and not self.breaker.open and self._workers <= self._parallel:
                self._deliver(self._ready.popleft())
        finally:
            self._workers -= 1
            self._wake.set()

    def _deliver(self, lane: Lane) -> None:
        row = lane.rows[0]
        if not self._settled(row.event_id):
            if not self._unsettled:
                self._look_again = time.monotonic() + UNSETTLED_S
            self._unsettled.append(lane)
            return
        failure = self._try(row)
        expired = failure is not None and self._expired(row)
        self._report(row, failure, expired)
        if failure is None:
            self.breaker.succeeded()
            self._parallel = min(MAX_PARALLEL, self._parallel * 2)
        else:
            self.breaker.failed(row.key, failure)
            self._parallel = 1
        if self._lanes.get(lane.key) is not lane:
            return  # the window was given up meanwhile
        if self.breaker.open:
            self._give_up_window(failure)
        elif failure is None or expired:
            self._next(lane)
        else:
            self._park(lane, row.attempts + 1)

    def _next(self, lane: Lane) -> None:
        lane.last = lane.rows.popleft().id
        self._loaded -= 1
        if lane.rows:
            self._ready.append(lane)
        elif lane.behind:
            self._behind.append(lane)
        else:
            del self._lanes[lane.key]
        if self._behind or self._wants_more or (self._ready and self._workers < self._parallel):
            self._wake.set()

    def _park(self, lane: Lane, attempts: int) -> None:
        if len(self._parked) >= MAX_PARKED:
            self.breaker.trip()
            self._give_up_window(None)
            return
        del self._lanes[lane.key]
        self._loaded -= len(lane.rows)
        heapq.heappush(self._parked, (time.monotonic() + self._backoff.wait(attempts), lane.key))
        self._parked_keys.add(lane.key)
        self._wake.set()

    def _give_up_window(self, failure: Undelivered | None) -> None:
        reason = str(failure) if failure else "too many events fail"
        log.warning("webhook receiver left alone", endpoint=self.endpoint or "global", reason=reason)
        self._forget_window()
        self._emptied = True

    def _probe(self) -> None:
        row = self._outbox.run(Outbox.probe, self.endpoint, tuple(self.breaker.avoided))
        if row is None:
            self.breaker.succeeded()
            return
        if not self._settled(row.event_id):
            gevent.sleep(UNSETTLED_S)
            return
        failure = self._try(row)
        self._report(row, failure, failure is not None and self._expired(row))
        if failure is None:
            self.breaker.succeeded()
            log.info("webhook receiver is back", endpoint=self.endpoint or "global")
            return
        self.breaker.failed(row.key, failure)
        if self._started + self._give_up_after < clock.now():
            self._outbox.expire(self.endpoint, clock.now() - self._give_up_after)

    def _try(self, row: Waiting) -> Undelivered | None:
        with self._slots.place(self.endpoint, self._proven):
            try:
                self._attempt(row)
            except Undelivered as error:
                self._proven = error.stage == ANSWERED
                return error
            except Exception:
                log.exception("webhook not sent", event_id=row.event_id)
                return Undelivered("internal error", ANSWERED)
            self._proven = True
            return None

    def _expired(self, row: Waiting) -> bool:
        # what a service found at its start gets its time, however long nobody was there to deliver it
        return max(row.since, self._started) + self._give_up_after < clock.now()

    def _report(self, row: Waiting, failure: Undelivered | None, expired: bool) -> None:
        if failure is None:
            self._outbox.delivered(row.id, row.event_id)
            return
        self._outbox.failed(row.id, row.event_id, str(failure), final=expired)
        tell = log.error if expired else log.info
        tell(
            "webhook given up" if expired else "webhook not delivered",
            endpoint=self.endpoint or "global",
            event_id=row.event_id,
            event_type=row.type,
            reason=str(failure),
            attempts=row.attempts + 1,
        )
