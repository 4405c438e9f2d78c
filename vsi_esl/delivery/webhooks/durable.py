"""The durable mode: from the outbox, a `Sender` for each endpoint that has something to receive now.

There may be as many endpoints as there are calls, when an application gives each its own path. Senders are
therefore few and short-lived: one that is left alone for now (`breaker`) leaves only its breaker here, and
when there are too many of a host, or of all, the others wait for their turn.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

import gevent
import structlog
from gevent.event import Event as Signal
from gevent.pool import Group

from ... import lasting
from ...config.web import WebhookSettings
from ...work import clock
from .breaker import Backoff, Breaker
from .counts import Counts
from .outbox import Listing, Outbox, Waiting
from .outbox_client import OutboxClient
from .post import Poster
from .sender import Sender
from .slots import Slots
from .targets import Target, host_of

log = structlog.get_logger(__name__)

MAX_SENDERS = 4000
MAX_PER_HOST = 500
"""Senders for one host: the paths of one that hang must not take the room of all."""
STOP_S = 3.0
"""How long requests under way may take at a shutdown; what is cut off is repeated after the start."""
CLOSE_S = 1.0
LOOK_EVERY_S = 5.0


class Durable:
    """Delivers from the outbox at `path`. Raises StateError when that cannot be used."""

    def __init__(self, settings: WebhookSettings, path: str, counts: Counts, poster: Poster) -> None:
        self._settings = settings
        self._poster = poster
        self._outbox = OutboxClient(
            path, (settings.max_pending, settings.max_bytes), counts, self._there_is_more
        )
        self._backoff = Backoff(settings.backoff_min, settings.backoff_max)
        self._started = clock.now()
        self._slots = Slots()
        self._workers = Group()
        self._senders: dict[str, tuple[Sender, gevent.Greenlet]] = {}
        self._per_host: Counter[str] = Counter()
        self._waiting: dict[str, OrderedDict[str, None]] = {}
        """Endpoints without a sender that want one, by host. Each has events in the outbox."""
        self._breakers: dict[str, Breaker] = {}
        """Of endpoints that are left alone, or about to be tried again."""
        self._due: list[tuple[float, str]] = []
        self._earlier = Signal()
        self._alarm: gevent.Greenlet | None = None
        self._stopped = False
        self.settled: Callable[[str], bool] = lambda event_id: True
        """Whether an event, by its id, will not be taken back (see `EventBus.settled`)."""

    def start(self) -> None:
        self._outbox.start()
        self._alarm = lasting.keep(self._watch)

    def offer(self, target: Target, event_id: str, kind: str, frame: bytes) -> None:
        self._outbox.take(target, event_id, kind, frame)

    @property
    def outbox(self) -> OutboxClient:
        """Where the events are that wait."""
        return self._outbox

    def drop(self, ids: Sequence[int]) -> None:
        """Send these no more: somebody else does. One whose attempt is under way may be sent twice."""
        self._outbox.drop(ids)
        for sender, _ in list(self._senders.values()):
            sender.look_anew()

    def listing(self, limit: int) -> Listing | None:
        return self._outbox.run(Outbox.shown, limit)

    def stop(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._end_senders()
        self._workers.join(timeout=max(0.0, min(STOP_S, timeout - CLOSE_S)))
        self._workers.kill(block=False)
        self._outbox.stop(max(0.2, deadline - time.monotonic()))

    def abandon(self) -> None:
        self._end_senders()
        self._workers.kill(block=False)
        self._outbox.abandon()

    def left_alone(self, endpoint: str) -> bool:
        """Whether nothing is sent to an endpoint at the moment, nor anything of it in memory."""
        return endpoint in self._breakers and endpoint not in self._senders

    def _end_senders(self) -> None:
        self._stopped = True
        if self._alarm is not None:
            self._alarm.kill(block=False)
        for sender, greenlet in self._senders.values():
            sender.stop()
            greenlet.kill(block=False)

    def _there_is_more(self, endpoint: str) -> None:
        known = self._senders.get(endpoint)
        if known is not None:
            known[0].there_is_more()
        elif endpoint not in self._breakers or not self._breakers[endpoint].open:  # else it has its time
            self._want(endpoint)

    def _want(self, endpoint: str) -> None:
        """Have a sender for this endpoint, at once or in its turn."""
        if self._stopped or endpoint in self._senders:
            return
        host = host_of(endpoint)
        if not self._has_room(host):
            self._waiting.setdefault(host, OrderedDict())[endpoint] = None
            return
        breaker = self._breakers.pop(endpoint) if endpoint in self._breakers else Breaker(self._backoff)
        sender = Sender(
            endpoint,
            self._outbox,
            self._attempt,
            slots=self._slots,
            backoff=self._backoff,
            breaker=breaker,
            started=self._started,
            give_up_after=self._settings.give_up_after,
            spawn=self._workers.spawn,
            crowded=lambda: bool(self._waiting),
            settled=self.settled,
        )
        self._per_host[host] += 1
        self._senders[endpoint] = sender, gevent.spawn(self._serve, sender, host)

    def _has_room(self, host: str) -> bool:
        return len(self._senders) < MAX_SENDERS and self._per_host[host] < MAX_PER_HOST

    def _serve(self, sender: Sender, host: str) -> None:
        until = None
        try:
            until = sender.run()
        except Exception:  # its events are not to wait for the next one of this endpoint
            log.exception("webhooks of an endpoint not delivered")
            until = time.monotonic() + lasting.LONGEST_PAUSE_S
        finally:
            del self._senders[sender.endpoint]
            self._per_host[host] -= 1
            if not self._per_host[host]:
                del self._per_host[host]
        if until is not None:
            self._breakers[sender.endpoint] = sender.breaker
            heapq.heappush(self._due, (until, sender.endpoint))
            self._earlier.set()
        self._next(host)

    def _next(self, host: str) -> None:
        """There is room for one more: of this host, or else of the host that has waited longest."""
        for name in (host, *self._waiting):
            if name in self._waiting and self._has_room(name):
                endpoint, _ = self._waiting[name].popitem(last=False)
                line = self._waiting.pop(name)
                if line:
                    self._waiting[name] = line  # at the end
                self._want(endpoint)
                return

    def _watch(self) -> None:
        """Try those again that have been left alone for long enough; close what nobody uses any more."""
        while True:
            self._earlier.clear()
            self._poster.close_unused()
            wait = self._due[0][0] - time.monotonic() if self._due else LOOK_EVERY_S
            if wait > 0:
                self._earlier.wait(min(wait, LOOK_EVERY_S))
                continue
            endpoint = heapq.heappop(self._due)[1]
            if endpoint in self._breakers:  # else it has had its turn
                self._want(endpoint)

    def _attempt(self, row: Waiting) -> None:
        self._poster.post(row.endpoint, row.url, row.secret, row.event_id, row.frame)
