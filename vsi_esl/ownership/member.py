"""The parts that have switches one after the other, put together."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import structlog

from ..calls.context import Context
from ..cluster import series
from ..cluster.connection import RedisConnection
from ..cluster.leases import LeaseBook
from ..cluster.shipping import Shipping
from . import showing
from .owning import Ownership
from .taking import Taking
from .units import units_of

log = structlog.get_logger(__name__)

IDENTITY = "service id"
"""The fact that tells one state database from another."""
SHIP_S = 3.0


class Member:
    """What has switches, put together. What the state has is restored switch by switch, as they come;
    `flush_events` waits until what was told is in Redis, for so many seconds at most."""

    def __init__(
        self, ctx: Context, redis: RedisConnection, name: str, flush_events: Callable[[float], None]
    ) -> None:
        taking = Taking(ctx)
        taking.flush_events = flush_events
        book = LeaseBook(redis, name, _identity(ctx))
        units = units_of(node.share for node in ctx.nodes)
        self.ownership = Ownership(redis, book, ctx.config.service.weight, units, taking)
        self.ownership.growing.allowed = ctx.config.service.grow_groups
        self.shipping = taking.shipping = Shipping(ctx.state, redis, taking.place, self._refused)
        self._taking = taking
        redis.on_change(self.ownership.redis_changed)
        redis.on_change(self._redis_changed)
        for node in ctx.nodes:
            node.last_error = "this service does not have it"
        ctx.provide(redis)
        ctx.metrics.show(lambda: showing.series(self.ownership))
        ctx.metrics.show(lambda: series.of_shipping(self.shipping))

    def restore(self) -> None:
        """Once the features are there: what is no switch's."""
        self._taking.restore_own()

    def start(self) -> None:
        """Take part."""
        self.shipping.start()
        self.ownership.start()

    def leave(self) -> None:
        """The service is about to stop: it takes no switch any more."""
        self.ownership.leave()

    def hand_over(self, limit: float) -> None:
        """Nothing is done on the switches any more: whoever takes them finds all that is known of them."""
        if not self.shipping.stop(min(limit, SHIP_S)):
            log.warning("not all that is known of the switches is in Redis", rows=len(self.shipping))
        self.ownership.stop()

    def _redis_changed(self, available: bool) -> None:
        if available:
            self.shipping.check_server()

    def _refused(self, switch: str) -> None:
        self.ownership.refused(switch)


def _identity(ctx: Context) -> str:
    known = ctx.state.fact(IDENTITY)
    if not known:
        known = uuid.uuid4().hex
        ctx.state.save_fact(IDENTITY, known)
    return known
