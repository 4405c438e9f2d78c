"""Many switches with many legs under several services: how many events a second until the first is dropped,
and what one event and one command cost, of which process.

`python -m tests.bench.load --switches 20 --legs 500 --services 1 2 4` is the large one (some minutes on
two cores); without options, as in `make bench`, it is a small one of about a minute. One client sees
everything, and each of the tenants' its own calls. With `--profile py-spy` the stacks of each service are
taken while events come at `--profile-rate`.
"""

from __future__ import annotations

import gevent.monkey

if __name__ == "__main__":
    gevent.monkey.patch_all()

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import gevent
from rich.console import Console
from rich.table import Table

from tests.support.redisserver import RedisServer
from tests.support.services import OneOfSeveral
from tests.support.vsi import VsiClient
from tests.support.waiting import eventually
from vsi_esl.ops import logs

from .cluster import Cpu, calls_of
from .party import Party
from .tenants import app_of

Rows = list[tuple[str, str, str]]

PER_PROCESS = 10
"""Switches of one process."""
SETTLE_S = 1.0
QUIET_S = 3.0
"""Nothing has come for so long: nothing more will."""
COMMANDS = 400
READY_S = 120
ANSWER_S = 180


@dataclass(frozen=True)
class Options:
    """How much of it."""

    switches: int = 4
    legs: int = 50
    """Of each switch."""
    services: tuple[int, ...] = (1, 2)
    tenants: int = 40
    rates: tuple[int, ...] = (250, 500, 1000, 2000)
    """Events a second, one after the other, until one is dropped."""
    seconds: float = 3.0
    profile: str = ""
    profile_rate: int = 1000
    profile_dir: Path = field(default_factory=Path)


@dataclass
class Step:
    """What came of one rate."""

    rate: int
    reached: float
    """Events a second, from the first press to the last delivery."""
    dropped: int
    missing: int
    late: tuple[float, float]
    """ms, the median and the 99th percentile, from when the service made it."""
    cpu: dict[str, float]
    """µs for each event, by whose they are."""
    asked: float
    """Commands to Redis for each event."""


class Deployment:
    """Switches, services, Redis and clients, as processes; with all legs up."""

    def __init__(self, options: Options, services: int, ending: ExitStack) -> None:
        self.options = options
        home = Path(tempfile.mkdtemp(prefix="vsi-bench-"))
        self.redis = RedisServer(home / "redis")
        ending.callback(self.redis.close)
        self.parties: list[Party] = []
        switches: dict[str, Any] = {}
        self._at: dict[str, tuple[Party, int]] = {}
        while (left := options.switches - len(switches)) > 0:
            party = Party("switches", min(left, PER_PROCESS))
            ending.callback(party.close)
            self.parties.append(party)
            for number, port in enumerate(party.hear()):
                name = f"s{len(switches)}"
                switches[name] = SimpleNamespace(host="127.0.0.1", port=port, password="ClueCon")
                self._at[name] = party, number
        self.services = [
            OneOfSeveral(f"load{number}", home, self.redis, switches, hurried=False, log={"level": "info"})
            for number in range(services)
        ]
        for one in self.services:
            ending.callback(one.close)
        for one in self.services:
            one.listening()
        eventually(self._shared, "each has its share of the switches", READY_S)
        self.commanding = [VsiClient(one.address, "?app_id=none") for one in self.services]
        for client in self.commanding:
            ending.callback(client.close)
        self.owner = {name: at for at, one in enumerate(self.services) for name in one.owned()}
        self.legs: dict[str, int] = {}
        """Each, and at which of the services."""
        self.cpu = Cpu(
            redis=self.redis.pid,
            **{f"switches {at}": party.pid for at, party in enumerate(self.parties)},
            **{f"service {at}": one.pid for at, one in enumerate(self.services)},
        )
        self.setting_up = self._call()
        self.clients = Party("tenants", options.tenants, *(one.address for one in self.services))
        ending.callback(self.clients.close)
        assert self.clients.hear() == "ready"

    def _shared(self) -> bool:
        owned = [len(one.owned()) for one in self.services]
        return sum(owned) == self.options.switches and max(owned) - min(owned) <= 1

    def _call(self) -> dict[str, float]:
        """Have all callers call, and answer them. CPU by process, µs for each call."""
        self.cpu.spent()
        number = 0
        for name, (party, switch) in self._at.items():
            apps = [app_of((number + one) % self.options.tenants) for one in range(self.options.legs)]
            number += len(apps)
            legs = party.ask(ANSWER_S, do="call", switch=switch, apps=apps)
            at = self.owner[name]
            client = self.commanding[at]
            eventually(lambda client=client, leg=legs[-1]: _knows(client, leg), f"calls of {name}", ANSWER_S)
            for leg in legs:
                client.send("answer_leg", id=leg)
            eventually(
                lambda client=client, leg=legs[-1]: client.ok("get_leg", id=leg)["state"] == "connected",
                f"answered calls of {name}",
                ANSWER_S,
            )
            self.legs.update(dict.fromkeys(legs, at))
        return by_kind(self.cpu.spent(), number)

    def step(self, rate: int, seconds: float = 0.0) -> Step:
        """So many events a second, and what came of them."""
        before = self.clients.ask()
        self.cpu.spent()
        asked = calls_of(self.redis)
        each = rate / len(self.parties)
        began = time.monotonic()
        for party in self.parties:
            party.tell(do="digits", rate=each, seconds=seconds or self.options.seconds)
        pressed = sum(party.hear(120)["pressed"] for party in self.parties)
        expected, now = before["whole"] + pressed, before
        came_at = time.monotonic()
        while now["whole"] + now["dropped"] - before["dropped"] < expected:
            found = self.clients.ask()
            if found["whole"] == now["whole"] and time.monotonic() > came_at + QUIET_S:
                break
            if found["whole"] != now["whole"]:
                came_at = time.monotonic()
            now = {**found, "p50": found["p50"] or now["p50"], "p99": max(found["p99"], now["p99"])}
            gevent.sleep(0.1)
        took = came_at - began
        return Step(
            rate,
            (now["whole"] - before["whole"]) / took,
            now["dropped"] - before["dropped"],
            expected - now["whole"],
            (now["p50"], now["p99"]),
            by_kind(self.cpu.spent(), pressed),
            (calls_of(self.redis) - asked) / pressed,
        )

    def command(self, name: str, *, elsewhere: bool) -> tuple[float, dict[str, float], float]:
        """One command after the other, of legs of the service that is asked or of another: the median (ms),
        CPU (µs for each), and commands to Redis for each."""
        legs = list(self.legs.items())[:: max(1, len(self.legs) // COMMANDS)][:COMMANDS]
        self.cpu.spent()
        asked, took = calls_of(self.redis), []
        for leg, at in legs:
            client = self.commanding[(at + elsewhere) % len(self.commanding)]
            began = time.perf_counter()
            client.ok(name, id=leg)
            took.append(time.perf_counter() - began)
        each = (calls_of(self.redis) - asked) / len(legs)
        return median(took) * 1000, by_kind(self.cpu.spent(), len(legs)), each

    def profile(self) -> None:
        """Have each service's stacks taken while events come."""
        seconds = 10
        takers = [
            subprocess.Popen(
                [
                    *(self.options.profile, "record", "-d", str(seconds), "-r", "200", "-f", "raw"),
                    *("-o", str(self.options.profile_dir / f"{len(self.services)}-{one.name}.folded")),
                    *("--pid", str(one.pid)),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for one in self.services
        ]
        self.step(self.options.profile_rate, seconds + 2)
        for taker in takers:
            taker.wait(60)


def _knows(client: VsiClient, leg: str) -> bool:
    return client.reply(client.send("get_leg", id=leg))["type"] != "error"


def by_kind(spent: dict[str, float], count: int) -> dict[str, float]:
    """µs for each of `count`, of all services together, and so on."""
    found: dict[str, float] = {}
    for name, seconds in spent.items():
        kind = name.partition(" ")[0]
        found[kind] = found.get(kind, 0.0) + seconds / count * 1e6
    return found


def told(cpu: dict[str, float]) -> str:
    return ", ".join(f"{kind} {us:.0f}" for kind, us in sorted(cpu.items())) + " µs of CPU"


def measured(options: Options, services: int) -> Iterator[tuple[str, str, str]]:
    """With so many services."""
    with ExitStack() as ending:
        there = Deployment(options, services, ending)
        what = f"{services} services, {options.switches} switches, {len(there.legs):,} legs"
        yield f"{what}: a call set up and answered", "", told(there.setting_up)
        gevent.sleep(SETTLE_S)
        there.cpu.spent()
        asked = calls_of(there.redis)
        gevent.sleep(options.seconds)
        idle = {kind: us / 1e4 for kind, us in by_kind(there.cpu.spent(), 1).items()}
        shares = ", ".join(f"{kind} {share / options.seconds:.1f}" for kind, share in sorted(idle.items()))
        each = (calls_of(there.redis) - asked) / options.seconds
        yield f"{what}: nothing happens", f"{each:.0f} commands to Redis a second", f"{shares} % of a core"
        for name in ("get_leg", "mute_leg"):
            for elsewhere in (False, True)[: min(2, services)]:
                took, cpu, each = there.command(name, elsewhere=elsewhere)
                where = "at another" if elsewhere else "at the owner"
                yield f"{name} {where}", f"{took:.2f} ms", f"{told(cpu)}; {each:.1f} commands to Redis"
        for rate in options.rates:
            one = there.step(rate)
            lost = f"{one.dropped} dropped" + (f", {one.missing} missing" if one.missing else "")
            yield (
                f"{rate:,} events/s asked for",
                f"{one.reached:,.0f} events/s, {lost}, late {one.late[0]:.0f} ms, p99 {one.late[1]:.0f}",
                f"{told(one.cpu)}; {one.asked:.2f} commands to Redis per event",
            )
            if one.dropped or one.reached < 0.7 * rate:
                break
        if options.profile:  # behind the rates: each filter has seen each app_id by now
            there.profile()


def load(options: Options | None = None) -> Rows:
    """With each number of services."""
    chosen = options or Options()
    return [row for count in chosen.services for row in measured(chosen, count)]


def main() -> None:
    plain = Options()
    parser = argparse.ArgumentParser("python -m tests.bench.load", description=__doc__)
    parser.add_argument("--switches", type=int, default=plain.switches)
    parser.add_argument("--legs", type=int, default=plain.legs, help="of each switch")
    parser.add_argument("--services", type=int, nargs="+", default=plain.services)
    parser.add_argument("--tenants", type=int, default=plain.tenants)
    parser.add_argument("--rates", type=int, nargs="+", default=plain.rates, help="events/s, rising")
    parser.add_argument("--seconds", type=float, default=plain.seconds, help="of each rate")
    parser.add_argument("--profile", default="", metavar="PROGRAM", help="py-spy, if stacks are to be taken")
    parser.add_argument("--profile-rate", type=int, default=plain.profile_rate)
    parser.add_argument("--profile-dir", type=Path, default=Path())
    options = Options(**vars(parser.parse_args()))
    logs.setup("error", "json", sys.stderr)
    table = Table("what", "figure", "of which")
    for row in (row for count in options.services for row in measured(options, count)):
        print(" | ".join(row), flush=True)
        table.add_row(*row)
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
