"""The events of all services in one stream, from which each tells its clients.

What a service publishes is in its own history first (`delivery.history`), is handed on to the stream from
there, and told when it is read from it: so all clients of all services get all events in one order. While
Redis is away the service tells its own clients of its own events, straight from the history (`apart`), and
hands these on when it is back; they are not told again then.

An event's id has its origin (the epoch of the publisher's history) and its number there, so that it exists
without Redis, and is the same wherever the event comes from. It has as well the cursor that the publisher
had read by then, from where on others look for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import gevent
import structlog
from gevent.event import Event as Signal

from .. import lasting
from ..cluster.along import Along
from ..cluster.connection import RedisConnection, RedisUnavailable
from ..config.web import ReplaySettings
from ..delivery.blocks import StoredEvent
from ..delivery.bus import EventBus
from ..delivery.history import NOTE_BITS, History
from ..errors import VsiError
from ..events.base import Event
from . import entries
from .adding import Adding
from .apart import Apart
from .entries import Entry, Keys, Mark
from .handed import Facts, HandedOn
from .recent import Recent, Told
from .trimming import Trimming
from .withdrawing import Withdrawing, number_of

log = structlog.get_logger(__name__)

BLOCK_S = 2.0
READ_AT_ONCE = 500
GATHER_S = 0.01
"""Where the next event is there so soon behind the last, others are gathered for as long. Each read alone
wakes every service, and one read of many costs hardly more than one of one."""
TOLD_AT_ONCE = 16
"""Events after which whoever sends them to clients has his turn: as many as the smallest queue of a client
has room for, so that one who reads loses nothing, however much comes together."""
SLACK_S = 3.0
RETRY_S = 0.2
SOON_S = 0.02
STOP_S = 2.0
READ_AGAIN = 5000
"""How far back a server that may lack the last writes is read once more."""
START_S = 1.0
OVER = 2
"""What "add events" answers when some are of a turn that is over."""


class SharedEvents:
    """The events of this service, as part of those of the deployment. `start`, then `stop`.

    `marked(event)` is "SWITCH FENCE" for what an event is about, or nothing: what another owns by then is
    refused.
    """

    def __init__(
        self,
        redis: RedisConnection,
        history: History,
        bus: EventBus,
        settings: ReplaySettings,
        *,
        service: str,
        marked: Callable[[Event], str],
        facts: Facts,
    ) -> None:
        self._handed = HandedOn(facts, history)
        self.redis, self.history, self.bus, self._settings = redis, history, bus, settings
        self.keys = Keys(redis, service)
        self.recent = Recent()
        self.read: int | None = None
        """The cursor up to which the stream was read; None before the first look at it."""
        self._began = self._seen = 0
        """The cursor at that look, and the highest that was read."""
        self._server = ""
        self._turn = 0
        """Counts the times that the stream was to be read again from further back."""
        self.own_read = 0
        """Our own last event that was read from it."""
        self.told = self._started = history.newest
        """Our own last event that our clients were told of."""
        self.sent = self._handed.known()
        """Our own last event that is in the stream, as far as we know."""
        self._acked: int | None = None
        """The same as Redis had it last, -1 for none; None when that is to be asked."""
        self.webhooks: dict[int, bytes] = {}
        """Of our own events that are not in the stream yet: who gets them (see `outboxes`)."""
        self.along: Callable[[], AbstractContextManager[Along]] = lambda: nullcontext(Along())
        """The rows of the state that go along with events that are handed on (see `cluster.shipping`)."""
        self.mirrored: Callable[[StoredEvent, bytes], None] = lambda one, head: None
        """Told of each event whose webhook is in Redis from now on."""
        self._apart = Apart(history.epoch)
        self.withdrawing = Withdrawing(history, bus)
        self._marks: list[Mark] = []
        self._last: dict[int, int] = {}
        """Of each origin its last event that was read: what comes again was told."""
        self._there, self._tell = Signal(), Signal()
        self._greenlets: list[gevent.Greenlet] = []
        self.handed_on = self.refused = self.received = self.lost = 0
        self.newest = 0
        """The stream's cursor as it was told us last."""
        bus.direct = False
        history.note = self._note
        history.mark = marked
        bus.add_sink(self._published)
        bus.settled = self._settled

    def start(self) -> None:
        self._handed.remember(self.sent)
        trimming = Trimming(
            self.redis, self.keys, self._settings, self.marks, lambda: self._handed.remember(self.sent)
        )
        self._greenlets = [
            lasting.keep(work) for work in (self._hand_on, self._tell_apart, self._read_on, trimming.run)
        ]

    def stop(self) -> None:
        """Hand on what is left, for a moment; the next process does the rest."""
        self.flush(STOP_S)
        gevent.killall(self._greenlets)
        self._greenlets = []
        self._handed.remember(self.sent)

    def flush(self, limit: float) -> None:
        """Wait until our own events are in the stream, or Redis is away; for so many seconds at most."""
        with gevent.Timeout(limit, False):
            while self.redis.available and self.waiting:
                gevent.sleep(RETRY_S / 10)

    @property
    def apart(self) -> bool:
        """Whether our clients are told of our own events only, as Redis is away."""
        return self._apart.on

    @property
    def waiting(self) -> int:
        """Our own events that are not in the stream yet."""
        return self.history.newest - self.sent

    @property
    def unread(self) -> int:
        """Events of the stream that we have not read yet, as far as we know."""
        return max(0, self.newest - (self.read or 0))

    def _note(self) -> int:
        return (self.read or 0) & ((1 << NOTE_BITS) - 1)

    def _published(self, event: Event, event_id: str, frame: bytes) -> None:
        """A sink of the bus, behind the history's; does not wait."""
        self._there.set()
        if self.apart:
            self._tell.set()

    def _settled(self, event_id: str) -> bool:
        """Whether an event is in the stream, or our clients were told of it: its webhook may go out."""
        number = number_of(self.history, event_id)
        return number is None or number <= max(self.sent, self.told)

    # -- to the stream -------------------------------------------------------------------------------------

    def _hand_on(self) -> None:
        self.redis.wait_available(START_S)  # else the first events are told apart
        while True:
            if self._acked is not None:
                self._there.wait(RETRY_S if self.apart else None)
            self._there.clear()
            try:
                if self._acked is None:
                    self._compare()
                while self._send_page():
                    pass
                told_all = self.sent == self.told == self.history.newest
                if self.apart and told_all and not self._apart.unmarked(self.told):
                    self._apart.end()
            except RedisUnavailable:
                self._acked = None  # an answer may have been lost
                self._cut_off()
                gevent.sleep(RETRY_S)
                self._there.set()
            except Exception:  # one that nobody foresaw must not keep the events here for ever
                log.exception("events not handed on")
                self._acked = None
                self._cut_off()
                gevent.sleep(BLOCK_S)
                self._there.set()

    def _compare(self) -> None:
        """See what Redis has of ours: less than we know, when it has lost something, or more, when an
        answer was lost."""
        cursor, last = self.redis.pipeline(
            [("GET", self.keys.cursor), ("HGET", self.keys.origins, str(self.history.epoch))]
        )
        self.newest = int(cursor or 0)
        self._look_back()
        if last is None:
            self._acked = -1
            # nothing of ours is there, or all is gone: have what this process has published there again
            self.sent = min(self.sent, self._started)
        else:
            self._acked = self.sent = int(last)
            for number in [number for number in self.webhooks if number <= self.sent]:
                del self.webhooks[number]  # they went along
            if self.own_read == 0:
                self.own_read = self.sent

    def _look_back(self) -> None:
        """Another server may lack what we have read of it, and get it in another order: read that once
        more."""
        if self.read is None:
            self.read = self._began = self._seen = self.newest
        elif self._server != self.redis.server or self.newest < self.read:
            self.read = max(self._began, min(self.newest, self.read) - READ_AGAIN)
            self._turn += 1
        self._server = self.redis.server

    def _send_page(self) -> bool:
        """Hand on the next events; False when there were none."""
        if self.apart:
            self._be_sure()
        page = self.history.after(self.sent)
        if page is None:
            self.sent = self.history.newest  # numbers that a crash has left are nobody's
            if not self._apart.unmarked(self.told):
                return False
        events = [] if page is None else page.events
        self.withdrawing.sort(events, self.told)
        lost = 0 if page is None else page.lost
        field, value = self._apart.to_mark(self.told, self.read)
        adding = Adding(self.redis, self.keys)
        if lost:
            adding.lost(events[0].cursor - 1 if events else page.last if page is not None else -1, lost)
            self.lost += lost
        for one in events:
            adding.event(one, self.withdrawing.mark_of(one), self.webhooks.get(one.cursor, b""))
        acked = -1 if self._acked is None else self._acked
        head: list[str | int] = [self.history.epoch, acked, self._seen, field, value]
        # what has changed by now is of what was published last
        up_to_now = page is not None and page.last == self.history.newest
        with self.along() if up_to_now else nullcontext(Along()) as rows:
            done, last, cursor, refused, old = adding.run(head, rows)
        if done == OVER:
            self.withdrawing.over(old, events, self.told)
            return True
        if not done:
            self._compare()
            return True
        if page is not None:
            self.sent = page.last
        self._acked, self.newest = last if last >= 0 else self._acked, cursor
        for one in events:
            self.withdrawing.whole.discard(one.cursor)
            if (webhook := self.webhooks.pop(one.cursor, None)) is not None:
                self.mirrored(one, webhook)
        self.handed_on += len(events) - refused
        self.refused += refused
        if value:
            self._apart.marked()
        return bool(events)

    # -- while Redis is away -------------------------------------------------------------------------------

    def _cut_off(self) -> None:
        """From now on our clients are told of our own events at once, or as soon as it is known that nobody
        else tells of them."""
        if self._apart.begin(self.told, self.read):
            self._tell.set()

    def _tell_apart(self) -> None:
        while True:
            self._tell.wait()
            self._tell.clear()
            try:
                self._tell_own()
            except Exception:
                log.exception("own events not told")
                gevent.sleep(RETRY_S)
                self._tell.set()
            self._there.set()

    def _be_sure(self) -> None:
        """Wait until it is known whether our switches are ours, and take back what is not."""
        self.withdrawing.be_sure(self._apart.since, lambda: max(self.sent, self.told))

    def _tell_own(self) -> None:
        self._be_sure()
        while self.apart and (page := self.history.after(self.told)) is not None:
            for number, one in enumerate(page.events, 1):
                if self.apart and one.cursor > self.told:  # else it came from the stream meanwhile
                    self.told = one.cursor
                    if one.cursor in self.withdrawing:
                        continue
                    self._tell_clients(
                        Told(self.history.epoch, one.cursor, one.app_id, one.frame, apart=True)
                    )
                if number % TOLD_AT_ONCE == 0:
                    gevent.sleep(0)
            if page.lost:
                self.bus.missed(page.lost)
            self.told = max(self.told, page.last)
            self._be_sure()

    def was_told_apart(self, number: int) -> bool:
        """Whether our clients had an event of ours before it was read from the stream."""
        if number in self.withdrawing:
            return False
        return self._apart.covers(number, self.told)

    # -- from the stream -----------------------------------------------------------------------------------

    def _read_on(self) -> None:
        while True:
            while self.read is None or not self.redis.available:
                gevent.sleep(SOON_S)
            client = self.redis.blocking(BLOCK_S + SLACK_S)
            try:
                while True:
                    turn, asked_at = self._turn, time.monotonic()
                    found = client.execute_command(
                        "XREAD", "COUNT", READ_AT_ONCE, "BLOCK", int(BLOCK_S * 1000),
                        "STREAMS", self.keys.stream, f"{self.read}-{2**63}",
                    )  # fmt: skip
                    if turn != self._turn:
                        continue
                    for _, rows in found or ():
                        for one in entries.entries(rows):
                            self._take(one)
                            if self.received % TOLD_AT_ONCE == 0:
                                gevent.sleep(0)
                                if turn != self._turn:
                                    break  # to be read again from further back
                    if time.monotonic() - asked_at < GATHER_S:
                        gevent.sleep(GATHER_S)  # they come one after the other: have some together
            except Exception as error:
                reason = self.redis.failed(error)
                log.info("stream of events not read", reason=reason.message)
            finally:
                client.close()
            gevent.sleep(RETRY_S)

    def _take(self, one: Entry) -> None:
        """Tell our clients of an entry of the stream, unless they know it."""
        if one.cursor > self._seen + 1:
            self._miss(one.cursor - self._seen - 1)
        self.read, self._seen = one.cursor, max(self._seen, one.cursor)
        self.newest = max(self.newest, one.cursor)
        self.received += 1
        if one.number <= self._last.get(one.origin, -1):
            return  # it was lost by the server, and handed on once more
        self._last[one.origin] = one.number
        if one.origin == self.history.epoch:
            self.own_read = max(self.own_read, one.number)
            if self.was_told_apart(one.number):
                return
            self.told = max(self.told, one.number)
        if one.lost:
            self._miss(one.lost)
        else:
            self._tell_clients(Told(one.origin, one.number, one.app_id, one.frame, apart=False))

    def _miss(self, count: int) -> None:
        self.lost += count
        self.bus.missed(count)

    def _tell_clients(self, told: Told) -> None:
        self.recent.add(told)
        self.bus.deliver(told.app_id, told.frame)

    def untold(self, number: int) -> list[StoredEvent]:
        """Our own events behind this one that were told apart and are not read from the stream yet; some of
        them. May wait."""
        page = self.history.after(max(number, self.own_read))
        if page is None:
            return []
        return [one for one in page.events if self.own_read < one.cursor and self.was_told_apart(one.cursor)]

    def marks(self) -> list[Mark]:
        """What was told apart, anywhere; as it was known last when Redis is away. Waits."""
        try:
            self._marks = entries.marks(self.redis.command("HGETALL", self.keys.apart))
        except VsiError as error:
            log.debug("marks not read", reason=error.message)
        return self._marks
