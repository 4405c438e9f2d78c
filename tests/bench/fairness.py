"""How long a client's command waits while other clients are busy, or stand still."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

import gevent
import websocket

from tests.support.vsi import VsiClient
from vsi_esl.switch.esl.client import EslClient

from .processes import Sandbox, Service

Row = tuple[str, str, str]

REPLAYED = 100_000
REPLAYERS = (1, 20)
STALLED = 200_000
COMMAND_EVERY_S = 0.005
ALONE_S = 8.0


class Commander:
    """A client that gives a command every 5 ms, and no events; `waits` are the seconds each took."""

    def __init__(self, address: str) -> None:
        self._ws = websocket.create_connection(f"ws://{address}/v1/vsi?app_id=none", timeout=120)
        self._ws.recv()
        self.waits: list[float] = []

    def while_not(self, over: Callable[[], bool]) -> None:
        """Give commands until something is over."""
        request = json.dumps({"type": "list_rooms", "request_id": "1"})
        while not over():
            started = time.perf_counter()
            self._ws.send(request)
            while '"request_id"' not in self._ws.recv():
                pass
            self.waits.append(time.perf_counter() - started)
            gevent.sleep(COMMAND_EVERY_S)

    def close(self) -> None:
        self._ws.close()
        self._ws.shutdown()

    @property
    def worst(self) -> str:
        waits = sorted(self.waits)
        return f"worst {waits[-1] * 1000:.0f} ms"

    @property
    def usual(self) -> str:
        waits = sorted(self.waits)
        p50, p99 = waits[len(waits) // 2] * 1000, waits[int(len(waits) * 0.99)] * 1000
        return f"p50 {p50:.1f}, p99 {p99:.1f} ms of {len(waits)} commands"


def _call(esl: EslClient, address: str) -> tuple[str, str]:
    """A leg, and the id of its last event."""
    client = VsiClient(address)
    leg = esl.send('api sandbox {"do":"call"}').split()[1]
    client.event("leg.ringing")
    client.ok("answer_leg", id=leg)
    last = client.event("leg.connected")["event_id"]
    client.close()
    return leg, last


def _burst(esl: EslClient, leg: str, events: int) -> None:
    esl.send("api sandbox " + json.dumps({"do": "burst", "uuid": leg, "events": events}))


def _published(address: str) -> int:
    """How many events the service has published."""
    text = urllib.request.urlopen(f"http://{address}/metrics", timeout=60).read().decode()
    return int(float(text.partition("\nvsi_esl_events_published_total ")[2].partition("\n")[0]))


def _until(address: str, published: int) -> None:
    while _published(address) < published:
        gevent.sleep(0.5)


def _alone(service: Service) -> tuple[str, str]:
    """What the machine itself makes a command wait."""
    commander = Commander(service.address)
    end = time.monotonic() + ALONE_S
    commander.while_not(lambda: time.monotonic() > end)
    commander.close()
    return commander.worst, commander.usual


def replays() -> list[Row]:
    """Clients that come back at once after 100,000 events, beside one that gives commands."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    try:
        esl = sandbox.client()
        leg, last = _call(esl, service.address)
        watcher = VsiClient(service.address)
        for number in range(1, 11):
            _burst(esl, leg, REPLAYED // 10)
            watcher.event("dtmf.received", timeout=60, seq=REPLAYED // 10 * number)
        watcher.close()
        rows = [("a command beside nobody", *_alone(service))]
        for clients in REPLAYERS:
            commander = Commander(service.address)
            command = [sys.executable, "-m", "tests.bench.replayers", service.address]
            replayers = subprocess.Popen(
                [*command, str(clients), last, str(REPLAYED)], stdout=subprocess.PIPE, text=True
            )
            commander.while_not(lambda: replayers.poll() is not None)  # noqa: B023
            commander.close()
            assert replayers.stdout is not None
            told = json.loads(replayers.stdout.read().splitlines()[-1])
            rows.append(
                (
                    f"a command while {clients} replay {REPLAYED:,} events each",
                    commander.worst,
                    f"goal: at most 100 ms; {commander.usual}; {told['done']} of {clients} done in "
                    f"{told['seconds']:.1f} s, {told['events'] / told['seconds']:,.0f} events/s",
                )
            )
        esl.stop()
        return rows
    finally:
        service.end()
        sandbox.end()


def stalled() -> list[Row]:
    """A client that reads nothing while 200,000 events come, beside one that gives commands."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    try:
        esl = sandbox.client()
        leg, _ = _call(esl, service.address)
        rows = []
        for clients in (0, 1):
            stuck = [
                websocket.create_connection(f"ws://{service.address}/v1/vsi", timeout=10)
                for _ in range(clients)
            ]
            commander = Commander(service.address)
            expected = _published(service.address) + STALLED
            _burst(esl, leg, STALLED)
            burst = gevent.spawn(_until, service.address, expected)
            commander.while_not(burst.ready)
            commander.close()
            for one in stuck:
                one.shutdown()
            rows.append(
                (
                    f"a command while {STALLED:,} events come, {clients} stalled clients",
                    commander.worst,
                    f"goal: at most 100 ms; {commander.usual}",
                )
            )
        esl.stop()
        return rows
    finally:
        service.end()
        sandbox.end()
