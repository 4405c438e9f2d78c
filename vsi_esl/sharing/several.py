"""This service as one of several on one Redis: what `app.py` builds when the settings name one.

The parts are those that share commands, events and webhooks (`deployment`), and those that have switches one
after the other (`ownership`). They are begun and ended in one order: what a switch's turn has brought about
is in Redis before the turn is given to another.
"""

from __future__ import annotations

import structlog

from ..calls.context import Context
from ..cluster.connection import RedisConnection
from ..config import Config, ConfigError
from ..config.cluster import service_name
from ..ownership.member import Member
from . import deployment
from .deployment import Deployment

log = structlog.get_logger(__name__)


def check(config: Config) -> None:
    """ConfigError for what services cannot share, and for a service without a name."""
    problems = deployment.problems(config)
    if not service_name(config.service, config.http.port):
        problems.append("service.name: is needed with `redis:` where http.addr takes any free port")
    if problems:
        raise ConfigError(problems)


class Several:
    """Made before the features register, and told when they have (`restore`); then `start`, `take_part`,
    `leave` and `stop`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        name = service_name(ctx.config.service, ctx.config.http.port)
        self.redis = RedisConnection(ctx.config.redis)
        self.deployment = ctx.elsewhere = Deployment(ctx, self.redis, name)
        self.member = Member(ctx, self.redis, name, self.deployment.events.flush)
        ownership = ctx.cluster = self.member.ownership
        self.deployment.fence_of = lambda switch: ownership.fence(switch) or None
        self.deployment.has = ownership.owned
        withdrawing = self.deployment.events.withdrawing
        withdrawing.doubtful = ownership.in_doubt
        withdrawing.lost = lambda mark: ownership.doubts.was_lost(*_turn_of(mark))
        withdrawing.losses = lambda: ownership.lost
        shipping = self.member.shipping
        shipping.all_told = lambda: not self.deployment.events.waiting
        self.deployment.events.along = shipping.along
        self.deployment.commands.unowned = ownership.unowned

    def restore(self) -> None:
        """What is no switch's; the rest comes with the switches."""
        self.member.restore()

    def start(self) -> None:
        """Connect to Redis, in the background, and hear of the others."""
        self.deployment.start()

    def take_part(self) -> None:
        """Have switches, and deliver their webhooks. Clients can connect by now."""
        self.deployment.deliver()
        self.member.start()

    def leave(self) -> None:
        """Take nothing new, from others or of theirs."""
        self.deployment.leave()
        self.member.leave()

    def stop(self, limit: float) -> None:
        """Nothing is done on the switches any more: hand them over, within so many seconds."""
        self.deployment.stop()
        self.member.hand_over(limit)
        self.redis.stop()


def _turn_of(mark: str) -> tuple[str, int]:
    """The switch and the fence that an event was published with."""
    switch, _, fence = mark.rpartition(" ")
    return switch, int(fence)
