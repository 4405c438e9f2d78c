"""Webhooks: events by HTTP POST, in one of two modes.

`durable`: an event is on disk when publishing it has returned, and stays there until it was delivered or
given up. `best_effort`: three attempts, from memory, as the reference server.
"""

from __future__ import annotations

from typing import Protocol

import structlog

from ...config.web import WebhookSettings
from ...events.base import Event
from ...net.connect import Resolver, resolve
from ...net.guard import AddressGuard
from .best_effort import BestEffort
from .counts import Counts
from .durable import Durable
from .outbox import Listing
from .post import Poster
from .targets import Router, Target

log = structlog.get_logger(__name__)


class Delivery(Protocol):
    """One of the two modes."""

    def start(self) -> None: ...
    def offer(self, target: Target, event_id: str, kind: str, frame: bytes) -> None: ...
    def listing(self, limit: int) -> Listing | None: ...
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

    @property
    def durable(self) -> Durable | None:
        """The delivery from an outbox; None for one from memory."""
        return self._delivery if isinstance(self._delivery, Durable) else None

    def start(self) -> None:
        """Begin to deliver."""
        self._delivery.start()

    def reload(self, settings: WebhookSettings) -> None:
        """Where the global webhook is and how it signs, and whom requests may name, from now on."""
        self.guard.allow(settings.allow_private_urls)
        self._router.has_global = bool(settings.url)
        self._poster.reload(settings)

    def offer(self, event: Event, event_id: str, frame: bytes) -> None:
        """Have an event delivered, if it has a target. Does not wait."""
        target = self._router.target(event)
        if target is not None and not self._stopped:
            self._delivery.offer(target, event_id, event.type, frame)

    def listing(self, limit: int) -> Listing | None:
        """What waits, and what was given up; None when they are in no file. Waits for the disk. Raises
        sqlite3.Error."""
        return self._delivery.listing(limit)

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
