"""What several services on one Redis cost: CPU per event and per command, and commands of Redis for each."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import gevent
import psutil
import redis

from tests.support.redisserver import RedisServer
from tests.support.services import OneOfSeveral
from tests.support.vsi import VsiClient
from tests.support.waiting import eventually

from .processes import Sandbox, Service

EVENTS = 20_000
COMMANDS = 2000
ASKERS = 8

Rows = list[tuple[str, str, str]]


class Cpu:
    """CPU seconds of processes since the last look, by their names."""

    def __init__(self, **processes: int) -> None:
        self._infos = {name: psutil.Process(pid) for name, pid in processes.items()}
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {name: sum(info.cpu_times()[:2]) for name, info in self._infos.items()}

    def spent(self) -> dict[str, float]:
        before, self._before = self._before, self._now()
        return {name: self._before[name] - before[name] for name in before}


def told(spent: dict[str, float], count: int) -> str:
    """So many µs each."""
    return ", ".join(f"{name} {seconds / count * 1e6:.0f}" for name, seconds in spent.items()) + " µs of CPU"


def alone() -> Rows:
    """One service, one switch, no Redis: what the others compare to."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    try:
        client = VsiClient(service.address)
        leg = _call(sandbox, client, client)
        cpu = Cpu(service=service.info.pid)
        seconds = _burst({leg: sandbox}, [client])
        rows = [
            ("events, one service, no Redis", f"{EVENTS / seconds:,.0f} events/s", told(cpu.spent(), EVENTS))
        ]
        rows.append(_commands("commands, one service, no Redis", client, leg, cpu, None))
        client.close()
        return rows
    finally:
        service.end()
        sandbox.end()


def one_service() -> Rows:
    """One service on Redis."""
    with _deployment(1) as (server, sandboxes, services, clients):
        leg = _call(sandboxes[0], clients[0], clients[0])
        cpu = Cpu(service=services[0].pid, redis=server.pid)
        calls = calls_of(server)
        seconds = _burst({leg: sandboxes[0]}, clients)
        each = (calls_of(server) - calls) / EVENTS
        return [
            (
                "events, one service on Redis",
                f"{EVENTS / seconds:,.0f} events/s",
                f"{told(cpu.spent(), EVENTS)}; {each:.3f} commands to Redis per event",
            )
        ]


def two_services() -> Rows:
    """Two services with a switch each; a client of each gets all events."""
    with _deployment(2) as (server, sandboxes, services, clients):
        owner = {box: service for service in services for box in sandboxes if _owns(service, sandboxes, box)}
        legs = {_call(box, clients[0], clients[services.index(owner[box])]): box for box in sandboxes}
        cpu = Cpu(a=services[0].pid, b=services[1].pid, redis=server.pid)
        calls = calls_of(server)
        seconds = _burst(legs, clients)
        count = EVENTS * len(legs)
        each = (calls_of(server) - calls) / count
        rows = [
            (
                "events of two services, each told all",
                f"{count / seconds:,.0f} events/s",
                f"{told(cpu.spent(), count)}; {each:.3f} commands to Redis per event",
            )
        ]
        at_a = next(leg for leg, box in legs.items() if owner[box] is services[0])
        rows.append(_commands("commands at the owner", clients[0], at_a, cpu, server))
        rows.append(_commands("commands at the other service", clients[1], at_a, cpu, server))
        rows.append(_steady(server, legs, clients, cpu))
        return rows


def cluster() -> Rows:
    """All of it."""
    return alone() + one_service() + two_services()


def _steady(
    server: RedisServer, legs: dict[str, Sandbox], clients: list[VsiClient], cpu: Cpu
) -> tuple[str, str, str]:
    """Events that come one by one, 100 a second, which is the dearest way."""
    cpu.spent()
    calls, count, began = calls_of(server), 1000, time.perf_counter()
    leg, box = next(iter(legs.items()))
    esl = box.client()
    for number in range(count):
        esl.send(_do("burst", uuid=leg, events=1))
        gevent.sleep(max(0, began + number / 100 - time.perf_counter()))
    esl.stop()
    each = (calls_of(server) - calls) / count
    return (
        "events one by one, 100/s",
        "of one switch of two",
        f"{told(cpu.spent(), count)}; {each:.1f} commands to Redis per event",
    )


@contextmanager
def _deployment(
    count: int,
) -> Iterator[tuple[RedisServer, list[Sandbox], list[Any], list[VsiClient]]]:
    with ExitStack() as ending:
        home = Path(tempfile.mkdtemp(prefix="vsi-bench-"))
        server = RedisServer(home / "redis")
        ending.callback(server.close)
        sandboxes = [Sandbox() for _ in range(count)]
        for box in sandboxes:
            ending.callback(box.end)
        switches = {
            _name(at, count): SimpleNamespace(host="127.0.0.1", port=box.port, password="ClueCon")
            for at, box in enumerate(sandboxes)
        }
        services = [
            OneOfSeveral(
                name,
                home,
                server,
                switches,
                log={"level": "info"},
                vsi={"event_buffer_size": 200_000},
            )
            for name in "ab"[:count]
        ]
        for one in services:
            ending.callback(one.close)
        for one in services:
            one.listening()
        eventually(lambda: all(len(one.owned()) == 1 for one in services), "each has one switch", 60)
        clients = [one.connect() for one in services]
        for client in clients:
            ending.callback(client.close)
        yield server, sandboxes, services, clients


def _name(at: int, count: int) -> str:
    return f"s{at}" if count > 1 else "default"


def _owns(service: OneOfSeveral, sandboxes: list[Sandbox], box: Sandbox) -> bool:
    return service.owned() == {_name(sandboxes.index(box), len(sandboxes))}


def _do(what: str, **members: Any) -> str:
    return "api sandbox " + json.dumps({"do": what, **members})


def _call(box: Sandbox, seeing: VsiClient, commanding: VsiClient) -> str:
    """An answered call."""
    esl = box.client()
    leg = str(esl.send(_do("call"))).split()[1]
    esl.stop()
    seeing.event("leg.ringing", leg_id=leg, timeout=20)
    commanding.ok("answer_leg", id=leg)
    seeing.rewind()
    seeing.event("leg.connected", leg_id=leg, timeout=20)
    return leg


def _burst(legs: dict[str, Sandbox], clients: list[VsiClient]) -> float:
    """Digits on each of the legs at once; how long it takes until every client has all of them."""
    links = [(leg, box.client()) for leg, box in legs.items()]
    started = time.perf_counter()
    for leg, esl in links:
        esl.send(_do("burst", uuid=leg, events=EVENTS))
    for client in clients:
        for leg in legs:
            client.rewind()
            client.event("dtmf.received", timeout=120, leg_id=leg, seq=EVENTS)
    seconds = time.perf_counter() - started
    for _, esl in links:
        esl.stop()
    return seconds


def _commands(
    name: str, client: VsiClient, leg: str, cpu: Cpu, server: RedisServer | None
) -> tuple[str, str, str]:
    cpu.spent()
    calls = calls_of(server) if server is not None else 0
    took = []
    for _ in range(COMMANDS):
        began = time.perf_counter()
        client.ok("get_leg", id=leg)
        took.append(time.perf_counter() - began)
    told_of_redis = ""
    if server is not None:
        told_of_redis = f"; {(calls_of(server) - calls) / COMMANDS:.1f} commands to Redis per command"
    return (
        name,
        f"{median(took) * 1000:.2f} ms, p99 {sorted(took)[len(took) * 99 // 100] * 1000:.2f}",
        told(cpu.spent(), COMMANDS) + told_of_redis,
    )


def calls_of(server: RedisServer) -> int:
    """Commands that clients have sent; what a script does inside does not count."""
    client = redis.Redis(port=server.port)
    try:
        stats: dict[str, dict[str, int]] = client.info("commandstats")  # type: ignore[assignment]
    finally:
        client.close()
    outside = ("evalsha", "xread", "blpop", "lpop", "getdel", "xrange", "hgetall", "ping", "del")
    return sum(stats.get(f"cmdstat_{one}", {}).get("calls", 0) for one in outside)
