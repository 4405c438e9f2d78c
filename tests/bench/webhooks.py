"""Webhooks per second to one receiver, durable with fsync beside best_effort; and what publishing costs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gevent

from vsi_esl.config.web import WebhookSettings
from vsi_esl.delivery.bus import EventBus
from vsi_esl.delivery.webhooks.targets import Router
from vsi_esl.delivery.webhooks.webhooks import Webhooks
from vsi_esl.events.text import DtmfReceived
from vsi_esl.model.stores import Legs, Rooms

EVENTS = 10_000
LEGS = 50
WAITING = 900
"""Events that may wait: best_effort drops from 1000 on."""
ROUNDS = 2


def _run(mode: str, url: str, events: int) -> tuple[float, list[float]]:
    """Events per second from the first publish to the last answer, and the seconds each publish took."""
    with tempfile.TemporaryDirectory(prefix="vsi-bench-") as directory:
        settings = WebhookSettings(url=url, secret="secret", mode=mode)
        path = Path(directory) / "webhooks.sqlite3"
        webhooks = Webhooks(settings, str(path), Router(Legs(), Rooms(), True))
        bus = EventBus("bench")
        bus.add_sink(webhooks.offer)
        webhooks.start()
        taken = []
        started = time.perf_counter()
        for number in range(events):
            while webhooks.pending >= WAITING:
                gevent.sleep(0.001)
            before = time.perf_counter()
            bus.publish(DtmfReceived(leg_id=f"leg-{number % LEGS}", digit="5", seq=number))
            taken.append(time.perf_counter() - before)
        while webhooks.pending:
            gevent.sleep(0.001)
        elapsed = time.perf_counter() - started
        if (webhooks.delivered, webhooks.dropped) != (events, 0):
            raise RuntimeError(f"not all were delivered: {webhooks}")
        webhooks.stop(2)
        return events / elapsed, sorted(taken)


def delivered() -> list[tuple[str, str, str]]:
    """Alternating runs in one go; the better one of each mode."""
    receiver = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.fast_receiver"], stdout=subprocess.PIPE, text=True
    )
    try:
        url = f"http://127.0.0.1:{receiver.stdout.readline().strip()}/hook"
        modes = ("durable", "best_effort")
        for mode in modes:
            _run(mode, url, 500)
        runs = {mode: [] for mode in modes}
        for _ in range(ROUNDS):
            for mode in modes:
                runs[mode].append(_run(mode, url, EVENTS))
    finally:
        receiver.kill()
        receiver.wait()
    best = {mode: max(runs[mode]) for mode in modes}
    rates = {mode: best[mode][0] for mode in modes}
    publish = {mode: best[mode][1][EVENTS // 2] * 1e6 for mode in modes}
    slowest = {mode: best[mode][1][int(EVENTS * 0.999)] * 1e6 for mode in modes}
    return [
        (
            "webhooks delivered, durable (fsync on)",
            f"{rates['durable']:,.0f}/s",
            f"best_effort {rates['best_effort']:,.0f}/s: {rates['durable'] / rates['best_effort']:.2f} x",
        ),
        (
            "publishing an event, durable",
            f"p50 {publish['durable']:.0f} us, p99.9 {slowest['durable']:.0f} us",
            f"best_effort p50 {publish['best_effort']:.0f} us, p99.9 {slowest['best_effort']:.0f} us",
        ),
    ]
