"""What may go from the stream of events: it is bounded in number, bytes and age, for the deployment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gevent
import structlog

from ..cluster.connection import RedisConnection
from ..config.web import ReplaySettings
from ..errors import VsiError
from .entries import Keys, Mark

log = structlog.get_logger(__name__)

EVERY_S = 1.0
AT_ONCE = 256
ROUNDS = 40
FORGET_MARKS_S = 60.0


class Trimming:
    """By every service, each second. `marks()` are those of all origins, waits; `also()` is done as often."""

    def __init__(
        self,
        redis: RedisConnection,
        keys: Keys,
        keep: ReplaySettings,
        marks: Callable[[], Sequence[Mark]],
        also: Callable[[], None],
    ) -> None:
        self._redis, self._keys, self._keep = redis, keys, keep
        self._marks, self._also = marks, also

    def run(self) -> None:
        """Until it is killed."""
        waited = 0.0
        while True:
            gevent.sleep(EVERY_S)
            waited += EVERY_S
            self._also()
            try:
                self._trim()
                if waited >= FORGET_MARKS_S:
                    waited = 0.0
                    self._forget_marks()
            except VsiError as error:
                log.debug("stream of events not trimmed", reason=error.message)
            except Exception:
                log.exception("stream of events not trimmed")

    def _trim(self) -> None:
        keep = self._keep
        limits = (keep.max_events, keep.max_bytes, int(keep.max_age * 1000), AT_ONCE)
        for _ in range(ROUNDS):
            if self._redis.run("trim events", [self._keys.stream, self._keys.bytes], limits) < AT_ONCE:
                break

    def _forget_marks(self) -> None:
        """Those from before everything that is kept."""
        seconds, _ = self._redis.command("TIME")
        before = (int(seconds) - 2 * self._keep.max_age) * 1000
        old = [f"{mark.origin}:{mark.first}" for mark in self._marks() if mark.at < before]
        if old:
            self._redis.command("HDEL", self._keys.apart, *old)
