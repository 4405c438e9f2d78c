"""The faces to clients: REST beside VSI, many VSI clients, replay."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
import websocket

from tests.support.vsi import VsiClient
from vsi_esl.switch.esl.client import EslClient

from .commands import measure
from .processes import Sandbox, Service

CLIENTS = 200
EVENTS_PER_SECOND = 100
SECONDS = 10
REPLAYED = 10_000

Row = tuple[str, str, str]


def rest() -> list[Row]:
    """get_leg and mute_leg over a kept HTTP connection and over VSI."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    try:
        esl, client = sandbox.client(), VsiClient(service.address)
        leg = _leg(esl, client)
        client.close()
        kept = http.client.HTTPConnection(service.address, timeout=10)
        ws = websocket.create_connection(f"ws://{service.address}/v1/vsi?app_id=none", timeout=10)
        ws.recv()

        def over_rest(method: str, path: str) -> Callable[[], None]:
            def ask() -> None:
                kept.request(method, path)
                assert kept.getresponse().read()

            return ask

        def over_vsi(name: str) -> Callable[[], None]:
            request = json.dumps({"type": name, "request_id": "1", "payload": {"id": leg}})

            def ask() -> None:
                ws.send(request)
                while '"request_id"' not in ws.recv():
                    pass

            return ask

        rows = []
        for name, method, path in (
            ("get_leg", "GET", f"/v1/legs/{leg}"),
            ("mute_leg", "POST", f"/v1/legs/{leg}/mute"),
        ):
            vsi, http_ = measure(over_vsi(name)), measure(over_rest(method, path))
            rows.append(
                (
                    f"{name} over REST",
                    f"p50 {http_[0]:.2f} ms, p99 {http_[1]:.2f} ms",
                    f"VSI p50 {vsi[0]:.2f}, p99 {vsi[1]:.2f}: "
                    f"{http_[0] / vsi[0]:.2f} x, {http_[1] / vsi[1]:.2f} x",
                )
            )
        kept.close()
        ws.close()
        ws.shutdown()
        esl.stop()
        return rows
    finally:
        service.end()
        sandbox.end()


def _leg(esl: EslClient, client: VsiClient) -> str:
    leg = esl.send('api sandbox {"do":"call"}').split()[1]
    client.event("leg.ringing")
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    return leg


def fan_out() -> list[Row]:
    """Many VSI clients that all see the same busy calls."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3", VSI_EVENT_BUFFER_SIZE="256")
    try:
        esl, client = sandbox.client(), VsiClient(service.address)
        leg = _leg(esl, client)
        client.close()
        watchers = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.watchers", service.address, str(CLIENTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watchers.stdin is not None and watchers.stdout is not None
        assert watchers.stdout.readline() == "ready\n"
        before, started = service.info.cpu_times(), time.perf_counter()
        request = "api sandbox " + json.dumps({"do": "burst", "uuid": leg, "events": 1})
        for number in range(EVENTS_PER_SECOND * SECONDS):
            gevent.sleep(max(0.0, started + number / EVENTS_PER_SECOND - time.perf_counter()))
            esl.send(request)
        seconds, after = time.perf_counter() - started, service.info.cpu_times()
        counted: dict[str, Any] = json.loads(watchers.communicate("", timeout=30)[0])
        cpu = after.user + after.system - before.user - before.system
        esl.stop()
        return [
            (
                f"{CLIENTS} VSI clients, {EVENTS_PER_SECOND} events/s each",
                f"{counted['least']} to {counted['most']} of {EVENTS_PER_SECOND * SECONDS} received by each, "
                f"{counted['dropped']} dropped",
                f"service CPU {cpu / seconds:.0%} of a core: "
                f"{cpu / CLIENTS / EVENTS_PER_SECOND / SECONDS * 1e6:.0f} us per event and client",
            )
        ]
    finally:
        service.end()
        sandbox.end()


def replay() -> list[Row]:
    """A client that was away for 10,000 events."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    try:
        esl, client = sandbox.client(), VsiClient(service.address)
        leg = _leg(esl, client)
        last = client.events[-1]["event_id"]
        esl.send("api sandbox " + json.dumps({"do": "burst", "uuid": leg, "events": REPLAYED}))
        client.event("dtmf.received", timeout=60, seq=REPLAYED)
        client.close()
        times = []
        for _ in range(5):
            started = time.perf_counter()
            again = websocket.create_connection(f"ws://{service.address}/v1/vsi?since={last}", timeout=30)
            count = 0
            while count < REPLAYED:
                count += '"event_id"' in again.recv()
            times.append(time.perf_counter() - started)
            again.close()
            again.shutdown()
        esl.stop()
        median = sorted(times)[2]
        return [
            (
                f"{REPLAYED:,} events replayed (?since=)",
                f"{median:.2f} s, {REPLAYED / median:,.0f} events/s",
                f"goal: under 1 s; best {min(times):.2f}, worst {max(times):.2f} of 5",
            )
        ]
    finally:
        service.end()
        sandbox.end()
