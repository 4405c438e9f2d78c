"""The other services: who is there, and how much each has to do. Each tells so every second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

import gevent
import orjson
import structlog

from .. import lasting
from ..cluster.connection import RedisConnection
from ..errors import VsiError

log = structlog.get_logger(__name__)

EVERY_S = 1.0
STALE_S = 3.0
GONE_MS = 5000
"""A service that has told nothing for so long is not there."""


@dataclass(frozen=True, slots=True)
class Load:
    """One switch of a service. `why_not` is why it takes no new calls, or empty."""

    name: str
    legs: int
    weight: int
    why_not: str
    trunks: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.legs / self.weight


@dataclass(frozen=True, slots=True)
class Peer:
    """One service as it told of itself."""

    name: str
    origin: int
    switches: list[Load]

    def best(self, trunk: str = "") -> Load | None:
        """Its switch that would have the next call; None when none takes one. A `trunk` must be there."""
        able = [one for one in self.switches if not one.why_not and (not trunk or trunk in one.trunks)]
        return min(able, key=lambda one: one.share, default=None)


class Peers:
    """`look()` tells what this service has, as a Peer."""

    def __init__(self, redis: RedisConnection, look: Callable[[], Peer]) -> None:
        self._redis, self._look = redis, look
        self._keys = [redis.key("here"), redis.key("loads")]
        self._others: dict[str, Peer] = {}
        self._greenlet: gevent.Greenlet | None = None
        self._leaving = False
        self._looked = -STALE_S
        self._began = time.monotonic()
        self._had: dict[str, float] = {}
        """Switch -> when a service was last seen to have it."""

    def start(self) -> None:
        self._greenlet = lasting.keep(self._tell_on)

    def stop(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()

    def leave(self) -> None:
        """Tell the others that this service is not there any more."""
        self._leaving = True
        try:
            self._redis.run("leave", self._keys, [self._look().name])
        except VsiError as error:
            log.debug("not told that we leave", reason=error.message)

    @property
    def others(self) -> Mapping[str, Peer]:
        """Those that were there at the last look, by name."""
        return self._others

    @property
    def fresh(self) -> bool:
        """Whether it is known who is there."""
        return time.monotonic() - self._looked < STALE_S

    @property
    def own(self) -> Peer:
        """This service, as it is now."""
        return self._look()

    def find(self, name: str) -> Peer | None:
        return self._others.get(name)

    def having(self, switch: str) -> str:
        """The one that had a switch when it told last; empty for none."""
        for peer in self._others.values():
            if any(one.name == switch for one in peer.switches):
                return peer.name
        return ""

    def had(self, switch: str) -> float:
        """When a service was last seen to have a switch (time.monotonic). What was before this service began
        it does not know: one may have."""
        return self._had.get(switch, self._began)

    def tell(self) -> None:
        """Tell of this service, and look who else is there. Raises RedisUnavailable."""
        if self._leaving:
            return
        own = self._look()
        found = self._redis.run("present", self._keys, [own.name, orjson.dumps(asdict(own)), GONE_MS])
        self._looked = time.monotonic()
        self._others = {peer.name: peer for peer in _peers(found) if peer.name != own.name}
        for peer in (own, *self._others.values()):
            self._had.update((one.name, self._looked) for one in peer.switches)

    def _tell_on(self) -> None:
        self._redis.wait_available(EVERY_S)
        while True:
            try:
                self.tell()
            except VsiError as error:
                log.debug("others not seen", reason=error.message)
            except Exception:  # such as what a service of another version tells
                log.exception("others not seen")
            gevent.sleep(EVERY_S)


def _peers(found: Iterable[bytes]) -> list[Peer]:
    peers = []
    for text in found:
        told = orjson.loads(text)
        peers.append(Peer(told["name"], told["origin"], [Load(**one) for one in told["switches"]]))
    return peers
