"""Legs over WebSockets on a real switch: how long sound takes there and back, what comes late, what it costs.

Two legs a room, of which one returns what it hears: the way of a click is client, worker, switch, worker,
client, and the same again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.support.freeswitch import PASSWORD, PrivateSwitch, find_binary
from tests.support.ports import free_port

from .processes import Process

LEGS = (2, 100)
SECONDS = 10.0

Row = tuple[str, str, str]


def streams() -> list[Row]:
    if find_binary() is None:
        return [("WebSocket legs", "not measured", "there is no FreeSWITCH here")]
    return [row for count in LEGS for row in _measured(count)]


def _measured(count: int) -> list[Row]:
    directory = Path(tempfile.mkdtemp(prefix="vsi-bench-"))
    switch = PrivateSwitch(directory)
    switch.start()
    port = free_port()
    service = Process(
        "serve",
        HTTP_ADDR=f"127.0.0.1:{port}",
        VSI_ESL_SWITCH_PORT=str(switch.esl_port),
        VSI_ESL_SWITCH_PASSWORD=PASSWORD,
        VSI_ESL_STATE_PATH=str(directory / "state.sqlite3"),
        VSI_ESL_SPOOL_DIR=str(directory / "spool"),
        RECORDING_DIR=str(directory / "recordings"),
        LOG_LEVEL="warn",
        VSI_ESL_LOG_FORMAT="json",
    )
    try:
        switch.make_first_conference()
        _ready(port)
        peer = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.streampeer", f"127.0.0.1:{port}", str(count), str(SECONDS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert peer.stdout is not None
        connected = json.loads(peer.stdout.readline())["connected_ms"]
        parties = {
            "switch": [psutil.Process(switch.pid)],
            "workers": service.info.children(),
            "service": [service.info],
        }
        before = {name: _cpu(some) for name, some in parties.items()}
        found = json.loads(peer.stdout.readline())
        used = {name: (_cpu(some) - before[name]) / SECONDS / count for name, some in parties.items()}
        peer.wait(30)
        peer.stdout.close()
    finally:
        service.end()
        switch.stop()
    legs = f"{count} WebSocket legs"
    half = connected[len(connected) // 2]
    return [
        (f"{legs}: upgrade to `connected`, p50, max", f"{half}, {connected[-1]} ms", "one after the other"),
        (
            f"{legs}: there and back, p50, p95",
            f"{found['delay_p50_ms']:.0f}, {found['delay_p95_ms']:.0f} ms",
            f"{found['delays']} clicks",
        ),
        (
            f"{legs}: frames late by 20 ms or more, lost; longest gap",
            f"{found['late']:.2%}, {max(0, 1 - found['frames'] / found['expected']):.2%};"
            f" {found['gap_max_ms']:.0f} ms",
            f"p99 {found['gap_p99_ms']:.0f} ms",
        ),
        (
            f"{legs}: CPU per leg of the switch, the workers, the service",
            ", ".join(f"{used[name]:.4f}" for name in parties),
            "cores",
        ),
    ]


def _cpu(processes: list[psutil.Process]) -> float:
    """Seconds."""
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def _ready(port: int) -> None:
    from tests.support.http import HttpClient
    from tests.support.waiting import eventually

    def ready() -> bool:
        try:
            return HttpClient(f"127.0.0.1:{port}")("GET", "/readyz").status == 200
        except OSError:
            return False

    eventually(ready, "the service is ready", 30)
