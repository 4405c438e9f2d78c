"""Live audio sessions in both directions: a fork in, datagrams out, at 16 kHz, in two media workers.

Media workers go before what can wait, where they may. Here everybody does: the switch's part and the bare
echo as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from tests.support.mediaworker import MediaWorker
from vsi_esl.live.pool import TOGETHER
from vsi_esl.media.__main__ import PRIORITY
from vsi_esl.media.messages import FORK, Close, Closed, Ear, Mouth, Open, Opened, Ping, Pong

SESSIONS = (10, 50, 100, 200)
WORKERS = 2
SECONDS = 10
MEASURED_S = 6

Row = tuple[str, str, str]
Place = tuple[str, int]


def media() -> list[Row]:
    rows = []
    for count in SESSIONS:
        workers = _measured(count, _workers)
        floor = _measured(count, _bare)
        rows += [
            (
                f"{count} live audio sessions, {WORKERS} workers: CPU per session",
                f"{workers['cpu']:.5f} cores",
                f"{floor['cpu']:.5f} of a bare aiohttp echo; goal 0.005",
            ),
            (
                f"{count} live audio sessions: frames late by 20 ms or more, lost",
                f"{workers['late']:.2%}, {workers['lost']:.2%}",
                f"{floor['late']:.2%}, {floor['lost']:.2%}; goal 0.5 %",
            ),
            (
                f"{count} live audio sessions: a frame's way through, p50, p99, max",
                f"{workers['p50_ms']}, {workers['p99_ms']}, {workers['max_ms']} ms",
                f"{floor['p50_ms']}, {floor['p99_ms']}, {floor['max_ms']} ms",
            ),
            (
                f"{count} live audio sessions: memory per session, beyond the workers' own",
                f"{workers['memory'] / 1024:.0f} KiB, {workers['base'] / 1024 / 1024:.0f} MiB a worker",
                f"{floor['memory'] / 1024:.0f} KiB, {floor['base'] / 1024 / 1024:.0f} MiB",
            ),
        ]
    return rows


Serving = Callable[[int], Any]


def _measured(count: int, serving: Serving) -> dict[str, float]:
    """Figures of so many sessions at whoever serves them."""
    with serving(count) as (places, processes, before):
        peer = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.mediapeer", "switch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            _first(peer.pid)
            print(json.dumps({"sessions": places, "seconds": SECONDS}), file=peer.stdin, flush=True)
            peer.stdout.readline()
            time.sleep((SECONDS - MEASURED_S) / 2)
            cpu, began = _cpu(processes), time.monotonic()
            time.sleep(MEASURED_S)
            used, took = _cpu(processes) - cpu, time.monotonic() - began
            memory = sum(one.memory_full_info().uss for one in processes)
            result: dict[str, float] = json.loads(peer.stdout.readline())
        finally:
            peer.stdin.close()
            peer.stdout.close()
            peer.wait()
    if result["own_lag_ms"] > 20:
        print(f"the peer itself was {result['own_lag_ms']} ms late", file=sys.stderr)
    return {
        **result,
        "cpu": used / took / count,
        "late": result["late"] / result["expected"],
        "lost": 1 - result["came"] / result["expected"],
        "memory": (memory - before) / count,
        "base": before / len(processes),
    }


def _first(number: int) -> None:
    """Let a process go before others, as a media worker lets itself."""
    with suppress(psutil.AccessDenied):
        psutil.Process(number).nice(PRIORITY)


def _cpu(processes: list[psutil.Process]) -> float:
    times = [one.cpu_times() for one in processes]
    return sum(one.user + one.system for one in times)


def _which(number: int) -> int:
    """The worker that a session is in, as `live.pool` has them."""
    return number // TOGETHER if number < WORKERS * TOGETHER else number % WORKERS


@contextmanager
def _workers(count: int) -> Iterator[tuple[list[Place], list[psutil.Process], int]]:
    """Media workers with so many sessions that say what they hear."""
    workers = [MediaWorker(VSI_ESL_LOG_LEVEL="error") for _ in range(WORKERS)]
    try:
        for worker in workers:
            worker.send(Ping(number=1))
            worker.expect(Pong)
        processes = [psutil.Process(worker.process.pid) for worker in workers]
        before = sum(one.memory_full_info().uss for one in processes)
        places = []
        for number in range(count):
            worker = workers[_which(number)]
            worker.send(
                Open(
                    session=f"S{number}",
                    task="echo",
                    ear=Ear(kind=FORK, rate=16000),
                    mouth=Mouth(rate=16000),
                    patience_s=30.0,
                )
            )
            opened: Opened = worker.expect(Opened, f"S{number}")
            places.append((opened.url, opened.port))
        yield places, processes, before
        late = 0.0
        for number in range(count):
            worker = workers[_which(number)]
            worker.send(Close(session=f"S{number}"))
            closed: Closed = worker.expect(Closed, f"S{number}")
            late += closed.figures.get("late_frames", 0)
        if late:
            print(f"{count} sessions: {late:.0f} frames late by the workers' account", file=sys.stderr)
    finally:
        for worker in workers:
            worker.end()


@contextmanager
def _bare(count: int) -> Iterator[tuple[list[Place], list[psutil.Process], int]]:
    """The bare echo, of as many processes."""
    processes = []
    places: list[Place] = []
    before = 0
    try:
        for number in range(WORKERS):
            mine = len(range(number, count, WORKERS))
            one = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.mediapeer", "echo", str(mine)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.append(one)
            _first(one.pid)
            places += [tuple(place) for place in json.loads(one.stdout.readline())]
        watched = [psutil.Process(one.pid) for one in processes]
        before = sum(one.memory_full_info().uss for one in watched)
        yield places, watched, before
    finally:
        for one in processes:
            one.stdin.close()
            one.wait()
            one.stdout.close()
