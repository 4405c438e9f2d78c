"""VSI clients in a process of their own, one that sees everything and many that see one app_id each, over
several services: `python -m tests.bench.tenants TENANTS ADDRESS ...`. They only count. For each line of
its input it prints what has come since it began: of the one and of the others, how many were dropped, and
how late they were (ms from their timestamps, of each `EACH`th of the one's, since the line before)."""

from __future__ import annotations

import json
import selectors
import sys
import time
from datetime import datetime
from statistics import quantiles

from .watchers import Watcher

EACH = 20


class Seeing(Watcher):
    """Looks how late events are."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.late: list[float] = []

    def seen(self, payload: bytes) -> None:
        if self.events % EACH == 0:
            # RFC 3339 with up to nine digits of a fraction
            stamp = json.loads(payload)["timestamp"].rstrip("Z")[:26]
            then = datetime.fromisoformat(stamp + "+00:00").timestamp()
            self.late.append((time.time() - then) * 1000)


def app_of(tenant: int) -> str:
    """What the calls of a tenant have."""
    return f"tenant-{tenant}"


def main() -> None:
    count, addresses = int(sys.argv[1]), sys.argv[2:]
    whole = Seeing(addresses[0])
    tenants = [
        Watcher(addresses[number % len(addresses)], f"?app_id=%5E{app_of(number)}%24")
        for number in range(count)
    ]
    selector = selectors.DefaultSelector()
    for watcher in (whole, *tenants):
        selector.register(watcher.sock, selectors.EVENT_READ, watcher.read)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print('"ready"', flush=True)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                key.data()
            elif not sys.stdin.readline():
                return
            else:
                late, whole.late = whole.late, []
                cuts = quantiles(late, n=100) if len(late) > 1 else [0.0] * 99
                counts = {
                    "whole": whole.events,
                    "tenants": sum(one.events for one in tenants),
                    "dropped": whole.dropped + sum(one.dropped for one in tenants),
                    "p50": cuts[49],
                    "p99": cuts[98],
                }
                print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
