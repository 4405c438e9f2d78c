"""Webhooks: events by HTTP POST, in one of two modes.

`durable`: an event is on disk when publishing it has returned, and stays there until it was delivered or
given up. `best_effort`: three attempts, from memory, as the reference server.
"""

from __future__ import annotations

import time
from typing import Protocol

import gevent
import structlog
from gevent.pool import Pool

from ..config.web import WebhookSettings
from ..events.types import Event
from ..media.connect import Resolver, resolve
from ..media.guard import AddressGuard
from .best_effort import BestEffort
from .breaker import Backoff
from .counts import Counts
from .desk import Desk
from .outbox import Waiting
from .post import Poster
from .receiver import Receiver
from .targets import Router, Target

log = structlog.get_logger(__name__)

MAX_REQUESTS = 512
"""Requests at once, over all receivers; each receiver has a bound of its own."""
STOP_S = 3.0
"""How long requests under way may take at a shutdown; what is cut off is repeated after the start."""
CLOSE_S = 1.0


class Delivery(Protocol):
    """One of the two modes."""

    def start(self) -> None: ...
    def offer(self, target: Target, event_id: str, kind: str, frame: bytes) -> None: ...
    def stop(self, timeout: float) -> None: ...
    def abandon(self) -> None: ...


class Webhooks(Counts):
    """The delivery of one service: a sink of the event bus, and what /metrics reads.

    `path` is that of the outbox. Raises StateError when it cannot be used.
    """

    def __init__(
        self, settings: WebhookSettings, path: str, router: Router, resolver: Resolver = resolve
    ) -> None:
        super().__init__()
        self._router = router
        self._stopped = False
        self.guard = AddressGuard(settings.allow_private_urls)
        self._poster = Poster(settings, self.guard, resolver)
        self._delivery: Delivery
        if settings.mode == "durable":
            self._delivery = Durable(settings, path, self, self._poster)
        else:
            self._delivery = BestEffort(self._poster, self)

    def start(self) -> None:
        """Begin to deliver."""
        self._delivery.start()

    def offer(self, event: Event, event_id: str, frame: bytes) -> None:
        """Have an event delivered, if it has a target. Does not wait."""
        target = self._router.target(event)
        if target is not None and not self._stopped:
            self._delivery.offer(target, event_id, event.type, frame)

    def stop(self, timeout: float) -> None:
        """Stop within so many seconds. In durable mode what is undelivered waits for the next start."""
        if not self._stopped:
            self._delivery.stop(timeout)
            self._stopped = True
            self._poster.close()

    def abandon(self) -> None:
        """Let go of everything at once, as a crash would."""
        self._stopped = True
        self._delivery.abandon()
        self._poster.close()


class Durable:
    """From the outbox at `path`, a `Receiver` for each endpoint that has something to receive."""

    def __init__(self, settings: WebhookSettings, path: str, counts: Counts, poster: Poster) -> None:
        self._settings = settings
        self._poster = poster
        self._desk = Desk(path, settings.max_pending, counts, self._there_is_more)
        self._pool = Pool(MAX_REQUESTS)
        self._receivers: dict[str, tuple[Receiver, gevent.Greenlet]] = {}
        self._stopped = False

    def start(self) -> None:
        self._desk.start()

    def offer(self, target: Target, event_id: str, kind: str, frame: bytes) -> None:
        self._desk.take(target, event_id, kind, frame)

    def stop(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        self._stopped = True
        self._kill_receivers()
        self._pool.join(timeout=max(0.0, min(STOP_S, timeout - CLOSE_S)))
        self._pool.kill(block=False)
        self._desk.stop(max(0.2, deadline - time.monotonic()))

    def abandon(self) -> None:
        self._stopped = True
        self._kill_receivers()
        self._pool.kill(block=False)
        self._desk.abandon()

    def _kill_receivers(self) -> None:
        for receiver, greenlet in self._receivers.values():
            receiver.stop()
            greenlet.kill(block=False)

    def _there_is_more(self, endpoint: str) -> None:
        if self._stopped:
            return
        known = self._receivers.get(endpoint)
        if known is not None:
            known[0].there_is_more()
            return
        settings = self._settings
        receiver = Receiver(
            endpoint,
            self._desk,
            self._attempt,
            pool=self._pool,
            backoff=Backoff(settings.backoff_min, settings.backoff_max),
            give_up_after=settings.give_up_after,
        )
        self._receivers[endpoint] = receiver, gevent.spawn(self._serve, receiver)

    def _serve(self, receiver: Receiver) -> None:
        try:
            receiver.run()
        finally:
            del self._receivers[receiver.endpoint]
            self._poster.close(receiver.endpoint)

    def _attempt(self, row: Waiting) -> None:
        self._poster.post(row.endpoint, row.url, row.secret, row.event_id, row.frame)
