"""mute_leg over VSI against the same command sent to the switch directly."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import websocket

from tests.support.freeswitch import PrivateSwitch, find_binary
from tests.support.sipua import UserAgent
from tests.support.vsi import VsiClient
from vsi_esl.switch.esl.client import EslClient

from .processes import Sandbox, Service

TRIES = 2000


def measure(action: Callable[[], Any]) -> tuple[float, float]:
    """p50 and p99 in ms."""
    times = []
    for _ in range(TRIES):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    times.sort()
    return times[TRIES // 2] * 1000, times[int(TRIES * 0.99)] * 1000


def _compare(name: str, service: Service, esl: EslClient, leg: str) -> list[tuple[str, str, str]]:
    members = json.loads(esl.send("api conference json_list"))
    conference = next(c for c in members if any(m["uuid"] == leg for m in c["members"]))
    member = next(m["id"] for m in conference["members"] if m["uuid"] == leg)
    line = f"api conference {conference['conference_name']} mute {member} quiet"
    ws = websocket.create_connection(f"ws://{service.address}/v1/vsi?app_id=none", timeout=10)
    ws.recv()
    request = json.dumps({"type": "mute_leg", "request_id": "1", "payload": {"id": leg}})

    def over_vsi() -> None:
        ws.send(request)
        while '"request_id"' not in ws.recv():
            pass

    for _ in range(200):
        over_vsi()
        esl.send(line)
    raw, vsi = measure(lambda: esl.send(line)), measure(over_vsi)
    ws.close()
    ws.shutdown()
    return [
        (
            f"mute_leg over VSI, {name}",
            f"p50 {vsi[0]:.2f} ms, p99 {vsi[1]:.2f} ms",
            f"raw p50 {raw[0]:.2f}, p99 {raw[1]:.2f}: {vsi[0] / raw[0]:.2f} x, {vsi[1] / raw[1]:.2f} x",
        )
    ]


def mute() -> list[tuple[str, str, str]]:
    """On the sandbox, and on a real switch if there is one."""
    rows = []
    sandbox = Sandbox()
    service = Service(sandbox.port, sandbox.directory / "state.sqlite3")
    try:
        esl, client = sandbox.client(), VsiClient(service.address)
        leg = esl.send('api sandbox {"do":"call"}').split()[1]
        client.event("leg.ringing")
        rows += _on(client, esl, service, "sandbox", leg)
    finally:
        service.end()
        sandbox.end()
    if find_binary() is not None:
        rows += _on_freeswitch()
    return rows


def _on(
    client: VsiClient, esl: EslClient, service: Service, name: str, leg: str
) -> list[tuple[str, str, str]]:
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room")
    client.close()
    rows = _compare(name, service, esl, leg)
    esl.stop()
    return rows


def _on_freeswitch() -> list[tuple[str, str, str]]:
    switch = PrivateSwitch(Path(tempfile.mkdtemp(prefix="vsi-bench-")))
    switch.start()
    agent = UserAgent(("127.0.0.1", switch.sip_port))
    service = Service(switch.esl_port, Path(tempfile.mkdtemp()) / "s.sqlite3", switch.password)
    try:
        client = VsiClient(service.address)
        agent.call(codecs=["PCMU"])
        leg = client.event("leg.ringing")["leg_id"]
        return _on(client, switch.client(timeout=30), service, "FreeSWITCH", leg)
    finally:
        service.end()
        agent.stop()
        switch.stop()
