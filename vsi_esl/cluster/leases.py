"""Leases in Redis: which service has which switch, and which services there are.

A lease is a key that expires. Each turn of a switch has a fence, a number that only grows. What is promised
is what one Redis promises: after a failover to a replica the last moments may be missing, a lease among them;
the switch itself, which shows the fence, covers that (see `vsi_esl.ownership`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
import structlog

from .connection import RedisConnection

log = structlog.get_logger(__name__)

LEASE_S = 5.0
HEARTBEAT_S = 4.0
"""How long a service counts as there. Less than a lease: who is gone has no share any more when its leases
run out."""
HANDED_OVER_S = 60.0
"""How long a lease that was given up is known to have been."""


class Owners(Protocol):
    """Which service has which switch, as the parts of a service may ask it."""

    def owned(self, switch: str) -> bool:
        """Whether this service has it."""

    def owner_of(self, switch: str) -> str:
        """The name of the service that had it a moment ago; empty for none."""

    def fence(self, switch: str) -> int:
        """The fence of this service's turn; 0 when it is another's."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lease."""

    fence: int
    service: str
    id: str


@dataclass(frozen=True, slots=True)
class Peer:
    """A service that is there."""

    name: str
    id: str
    weight: int = 1
    leaving: bool = False
    """It stops: no switch is for it any more."""
    group: str = ""
    """The same of all that have the same switches in their settings."""
    grows: bool | None = None
    """Whether it lets groups become one; None of an older version, which knows nothing of that."""
    silent: float = field(default=0.0, compare=False)
    """For how many seconds it has not said that it is there."""


@dataclass(frozen=True, slots=True)
class View:
    """What a turn has found."""

    alone: bool = True
    """No other service has our name."""
    holders: dict[str, Holder] = field(default_factory=dict)
    """By switch; of those that nobody has there is none."""
    fences: dict[str, int] = field(default_factory=dict)
    """By switch, the highest that was given."""
    peers: dict[str, Peer] = field(default_factory=dict)
    """The services that are there, this one included, by name."""
    known: frozenset[str] = frozenset()
    """The names of those that were there within a day, and have not left: who was killed may be back soon."""
    kept: dict[str, bool] = field(default_factory=dict)
    """Whether each of our leases was renewed."""
    grown: dict[str, str] = field(default_factory=dict)
    """The notes of groups that are one for the moment, by their field; looked at behind the leases: of a
    switch that is free the notes of before are among them."""


class LeaseBook:
    """The leases of one deployment, as the service `name` uses them. `id` is its state database's: whoever
    has the same is a later process of the same service, since one process only has that file."""

    def __init__(self, redis: RedisConnection, name: str, id: str) -> None:
        self._redis = redis
        self.name, self.id = name, id
        self._holder = f"{name} {id}"

    def turn(self, switches: Sequence[str], mine: Mapping[str, int], told: Mapping[str, Any]) -> View:
        """Say that we are there (`told` beside name and id), renew our leases (switch -> fence), and look at
        all. Raises RedisUnavailable."""
        key = self._redis.key
        members = {"name": self.name, "id": self.id, **told}
        commands: list[Any] = [
            self._redis.words(
                "heartbeat",
                [key("service", self.name), key("services")],
                [self.name, self.id, orjson.dumps(members), round(HEARTBEAT_S * 1000)],
            ),
            ("ZRANGE", key("services"), 0, -1, "WITHSCORES"),
            ("TIME",),
            ("MGET", *(key("lease", one) for one in switches), *(key("fence", one) for one in switches)),
            ("HGETALL", key("grown")),
        ]
        if mine:
            keys = [key(kind, one) for one in mine for kind in ("lease", "fence")]
            args: list[str | bytes | int | float] = [self._holder, round(LEASE_S * 1000), *mine.values()]
            commands.insert(0, self._redis.words("renew", keys, args))
        answers = self._redis.pipeline(commands)
        kept = dict(zip(mine, map(bool, answers.pop(0)), strict=True)) if mine else {}
        alone, scored, time, found, grown = answers
        held, fences = found[: len(switches)], found[len(switches) :]
        moment = int(time[0]) + int(time[1]) / 1e6
        silent = {
            name.decode(): max(0.0, moment - float(score) / 1000)
            for name, score in zip(scored[::2], scored[1::2], strict=True)
        }
        known = list(silent)
        told_by = self._redis.command("MGET", *(key("service", name) for name in known)) if known else []
        return View(
            bool(alone),
            {one: holder for one, text in zip(switches, held, strict=True) if (holder := _holder(text))},
            {one: int(text or 0) for one, text in zip(switches, fences, strict=True)},
            {peer.name: peer for text in told_by if (peer := _peer(text, silent))},
            frozenset(known),
            kept,
            {pair.decode(): note.decode() for pair, note in grown.items()},
        )

    def take(self, above: Mapping[str, int]) -> dict[str, tuple[int, bool]]:
        """Take the leases of these switches, in one step: all of them or, when another has one, none, which
        is an empty answer. Of each its fence, which is above the number given and all before, and whether it
        was handed over: nobody acts any more who had it. Raises RedisUnavailable."""
        keys = [self._redis.key(kind, switch) for switch in above for kind in ("lease", "fence", "given")]
        found = self._redis.run("take", keys, [self._holder, round(LEASE_S * 1000), *above.values()])
        pairs = zip(found[::2], found[1::2], strict=True)
        return {
            switch: (int(fence), bool(clean)) for switch, (fence, clean) in zip(above, pairs, strict=False)
        }

    def give(self, switch: str, fence: int) -> bool:
        """Hand a lease over to whoever takes it: nothing is done with the switch any more. False when it was
        another's already. Raises RedisUnavailable."""
        keys = [self._redis.key(kind, switch) for kind in ("lease", "given")]
        return bool(self._redis.run("give", keys, [self._holder, fence, round(HANDED_OVER_S * 1000)]))

    def grow(self, pair: str, keeper: str) -> tuple[str, bool]:
        """Note of two groups that they are one, which the service `keeper` is to have. The note that there is
        now, and whether it is this one: an earlier one stays. Raises RedisUnavailable."""
        note, new = self._redis.run("grow", [self._redis.key("grown")], [pair, keeper])
        return note.decode(), bool(new)

    def part(self, pair: str, note: str) -> bool:
        """Take the note of two groups back; False when it is another one by now. Raises RedisUnavailable."""
        return bool(self._redis.run("part", [self._redis.key("grown")], [pair, note]))

    def farewell(self) -> None:
        """Be there no more. Raises RedisUnavailable."""
        keys = [self._redis.key("service", self.name), self._redis.key("services")]
        self._redis.run("farewell", keys, [self.name, self.id])

    def ours(self, holder: Holder) -> bool:
        """Whether a process of this service has it: this one or the one before."""
        return (holder.service, holder.id) == (self.name, self.id)


def holder_of(redis: RedisConnection, switch: str) -> Holder | None:
    """Who has a switch now; None for nobody. Raises RedisUnavailable."""
    return _holder(redis.command("GET", redis.key("lease", switch)))


def holders_of(redis: RedisConnection, switches: Sequence[str]) -> dict[str, Holder | None]:
    """Who has each of these switches now, None for nobody. Raises RedisUnavailable."""
    found = redis.command("MGET", *(redis.key("lease", switch) for switch in switches))
    return {switch: _holder(text) for switch, text in zip(switches, found, strict=True)}


def _holder(text: bytes | None) -> Holder | None:
    fence, _, rest = (text or b"").decode(errors="replace").partition(" ")
    service, _, id = rest.partition(" ")
    return Holder(int(fence), service, id) if fence.isdecimal() and service else None


def _peer(text: bytes | None, silent: Mapping[str, float]) -> Peer | None:
    if text is None:
        return None
    try:
        members = orjson.loads(text)
        return Peer(
            members["name"],
            members["id"],
            int(members["weight"]),
            bool(members["leaving"]),
            str(members["group"]),
            None if members.get("grows") is None else bool(members["grows"]),
            silent.get(members["name"], 0.0),
        )
    except (ValueError, KeyError, TypeError):
        log.error("what a service says of itself cannot be read")
        return None
