"""The command path: get_leg and mute_leg over VSI beside a relay without any logic, over the same switch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import psutil
import websocket

from tests.support.vsi import VsiClient

from .processes import Sandbox, Service

TURNS = 11
COMMANDS = 300
"""Of each kind in one turn."""

Row = tuple[str, str, str]


def command_path() -> list[Row]:
    """In turns, so that what else the machine does falls on all of them."""
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    relay = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.relay", str(sandbox.port)], stdout=subprocess.PIPE, text=True
    )
    try:
        esl, client = sandbox.client(), VsiClient(service.address)
        leg = esl.send('api sandbox {"do":"call"}').split()[1]
        client.event("leg.ringing")
        client.ok("add_leg_to_room", room_id="r", leg_id=leg)
        client.event("leg.joined_room")
        client.close()
        (conference,) = json.loads(esl.send("api conference json_list"))
        line = f"api conference {conference['conference_name']} mute {conference['members'][0]['id']} quiet"
        assert relay.stdout is not None
        bare = websocket.create_connection(f"ws://127.0.0.1:{relay.stdout.readline().strip()}/", timeout=10)
        ws = websocket.create_connection(f"ws://{service.address}/v1/vsi?app_id=none", timeout=10)
        ws.recv()
        asked = {
            name: json.dumps({"type": name, "request_id": "1", "payload": {"id": leg}})
            for name in ("get_leg", "mute_leg")
        }

        def over_vsi(request: str) -> None:
            ws.send(request)
            while '"request_id"' not in ws.recv():
                pass

        def over_relay() -> None:
            bare.send(line)
            bare.recv()

        ways: dict[str, Callable[[], Any]] = {
            "relay": over_relay,
            "raw": lambda: esl.send(line),
            "get_leg": lambda: over_vsi(asked["get_leg"]),
            "mute_leg": lambda: over_vsi(asked["mute_leg"]),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        busy: dict[str, float] = dict.fromkeys(ways, 0.0)
        behind = {"relay": psutil.Process(relay.pid)}
        for _ in range(TURNS):
            for name, way in ways.items():
                process = behind.get(name, service.info)
                before = sum(process.cpu_times()[:2])
                times[name].append(_p50(way))
                busy[name] += sum(process.cpu_times()[:2]) - before
        for one in (bare, ws):
            one.close()
            one.shutdown()
        esl.stop()
        p50 = {name: median(found) for name, found in times.items()}
        cpu = {name: spent * 1e6 / TURNS / COMMANDS for name, spent in busy.items()}
        return [
            (
                f"{name} over VSI, sandbox",
                f"p50 {p50[name]:.3f} ms, {cpu[name]:.0f} us CPU of the service",
                f"relay p50 {p50['relay']:.3f}, {cpu['relay']:.0f} us CPU: {p50[name] / p50['relay']:.2f} x;"
                f" raw {p50['raw']:.3f}",
            )
            for name in ("get_leg", "mute_leg")
        ]
    finally:
        relay.kill()
        relay.wait()
        service.end()
        sandbox.end()


def _p50(action: Callable[[], Any]) -> float:
    """In ms, of one turn."""
    times = []
    for _ in range(COMMANDS):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return median(times) * 1000
