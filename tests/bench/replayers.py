"""VSI clients in a process of their own that all come back at once: `python -m tests.bench.replayers ADDRESS
CLIENTS EVENT_ID EVENTS`. They only count. Prints `ready` when all are connected, and when each has had so
many events, or SECONDS have passed, one line of JSON."""

from __future__ import annotations

import json
import selectors
import sys
import time

from .watchers import connect

SECONDS = 60.0
MARK = b'"event_id":'


class Replayer:
    """One connection; `events` counts what came."""

    def __init__(self, address: str, since: str) -> None:
        self.sock, rest = connect(address, f"?since={since}")
        self.sock.setblocking(False)
        self.events = rest.count(MARK)
        self._end = rest[-len(MARK) + 1 :]

    def read(self) -> None:
        """Count what is there."""
        data = self._end + self.sock.recv(1 << 18)
        self.events += data.count(MARK)
        self._end = data[-len(MARK) + 1 :]


def main() -> None:
    address, clients, since, events = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    replayers = [Replayer(address, since) for _ in range(clients)]
    selector = selectors.DefaultSelector()
    for one in replayers:
        selector.register(one.sock, selectors.EVENT_READ, one)
    print("ready", flush=True)
    started = time.monotonic()
    while selector.get_map() and time.monotonic() < started + SECONDS:
        for key, _ in selector.select(0.5):
            key.data.read()
            if key.data.events >= events:
                selector.unregister(key.data.sock)
    done = sum(one.events >= events for one in replayers)
    seconds = time.monotonic() - started
    print(json.dumps({"done": done, "seconds": seconds, "events": sum(one.events for one in replayers)}))


if __name__ == "__main__":
    main()
