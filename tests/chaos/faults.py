"""What is done to a run, and when: drawn from a seed before anything begins."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

KILL, STOP, NETWORK, CLOCK, DISK, RECONNECT = "kill", "stop", "network", "clock", "disk", "reconnect"
SLOW_BYTES = 16_000
"""A second, of a slow network."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what is done to whom, when (seconds after the load began), and for how long."""

    at: float
    kind: str
    on: tuple[str, ...]
    seconds: float
    how: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        how = "".join(f" {name}={value:g}" for name, value in self.how.items())
        return f"{self.kind} {' and '.join(self.on)}{how} for {self.seconds:.1f} s"

    @property
    def ends(self) -> float:
        return self.at + self.seconds


Kind = tuple[str, tuple[str, ...], dict[str, Any]]


def kinds(
    services: list[str], switches: list[str], redis: list[str], companions: Sequence[str] = ()
) -> list[Kind]:
    """Everything that can be done, once each."""
    found: list[Kind] = []
    for one in (*services, *switches, *redis):
        found += [(KILL, (one,), {}), (STOP, (one,), {})]
    for service in services:
        others = [*switches, *redis, "receiver", "clients"]
        for other in others:
            found += [
                (NETWORK, (service, other), {"cut": True}),
                (NETWORK, (service, other), {"loss": 0.2, "delay": 0.05}),
                (NETWORK, (service, other), {"rate": SLOW_BYTES}),
            ]
        found += [(CLOCK, (service,), {"by": by}) for by in (HOUR, -HOUR, 1.5, -1.5)]
        found.append((DISK, (service,), {}))
    found += [(RECONNECT, (client,), {}) for client in ("one", "two", "shop")]
    for one in companions:
        found += [(KILL, (one,), {}), (STOP, (one,), {})]
    return found


def plan(
    seed: int,
    seconds: float,
    services: list[str],
    switches: list[str],
    redis: list[str] | None = None,
    only: str = "",
    companions: Sequence[str] = (),
) -> list[Fault]:
    """The faults of a run whose load lasts so long. Each kind comes before any comes twice. `only` is a
    regular expression that has to be found in what is done (`Fault.__str__`)."""
    drawn = random.Random(seed)
    wanted = [
        one
        for one in kinds(services, switches, redis or [], companions)
        if re.search(only, str(Fault(0.0, one[0], one[1], 0.0, one[2])))
    ]
    return sorted(_drawn(drawn, seconds, wanted), key=lambda one: one.at) if wanted else []


def _drawn(drawn: random.Random, seconds: float, all_kinds: list[Kind]) -> Iterator[Fault]:
    at, bag = drawn.uniform(1.0, 2.0), []
    busy: dict[str, float] = {}
    """Until when something is being done to somebody: nobody is killed while he is stopped."""
    while at < seconds:
        if not bag:
            bag = list(all_kinds)
            drawn.shuffle(bag)
        kind, on, how = bag.pop()
        lasts = _lasts(drawn, kind, seconds)
        at = max(at, *(busy.get(_key(kind, one), 0.0) for one in on))
        if kind == DISK:
            at = max(at, *busy.values(), 0.0)
        if at + lasts > seconds:
            return
        fault = Fault(round(at, 2), kind, on, round(lasts, 2), how)
        for one in on:
            busy[_key(kind, one)] = fault.ends + 0.5
        yield fault
        # now and then the next one begins before this one is over; a full disk is alone, since what was told
        # meanwhile is nowhere but in the process
        alone = kind == DISK or drawn.random() < 0.7
        at = (fault.ends if alone else fault.at) + drawn.uniform(0.3, 8.0 if kind == KILL else 2.5)


def _key(kind: str, one: str) -> str:
    return one if kind in (KILL, STOP) else f"{kind} {one}"


def _lasts(drawn: random.Random, kind: str, seconds: float) -> float:
    if kind in (CLOCK, RECONNECT):
        return 0.0
    if kind == KILL:
        return drawn.uniform(0.0, 2.0)
    if seconds > 120 and drawn.random() < 0.1:
        return drawn.uniform(10.0, 30.0)
    return drawn.uniform(1.0, min(8.0, seconds / 6))
