"""Many VSI clients in a process of their own, that do nothing but count: `python -m tests.bench.watchers
ADDRESS CLIENTS`. Prints `ready`, and at the end of its input one line of JSON."""

from __future__ import annotations

import json
import selectors
import socket
import sys

UPGRADE = (
    "GET /v1/vsi{query} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def connect(address: str, query: str = "") -> tuple[socket.socket, bytes]:
    """A VSI connection, and what was read behind its first frame."""
    host, _, port = address.partition(":")
    sock = socket.create_connection((host, int(port)), timeout=60)
    sock.sendall(UPGRADE.format(address=address, query=query).encode())
    data = b""
    while b'"connected"}' not in data:
        data += sock.recv(4096)
    return sock, data.partition(b'"connected"}')[2]


class Watcher:
    """One connection; `events` and `dropped` count what came."""

    def __init__(self, address: str, query: str = "") -> None:
        self.sock, self._data = connect(address, query)
        self.sock.setblocking(False)
        self.events = self.dropped = 0

    def read(self) -> None:
        """Take what is there."""
        self._data += self.sock.recv(1 << 18)
        while (size := _frame(self._data)) is not None:
            head, length = size
            if len(self._data) < head + length:
                return
            payload, self._data = self._data[head : head + length], self._data[head + length :]
            if b'"events_dropped"' in payload:
                self.dropped += int(json.loads(payload)["count"])
            elif b'"event_id"' in payload and b'"ping"' not in payload:
                self.events += 1
                self.seen(payload)

    def seen(self, payload: bytes) -> None:
        """An event has come."""


def _frame(data: bytes) -> tuple[int, int] | None:
    """Length of the head and of the payload of the first frame (RFC 6455, 5.2; a server does not mask)."""
    if len(data) < 2:
        return None
    length = data[1] & 0x7F
    if length < 126:
        return 2, length
    size = 4 if length == 126 else 10
    return (size, int.from_bytes(data[2:size], "big")) if len(data) >= size else None


def main() -> None:
    watchers = [Watcher(sys.argv[1]) for _ in range(int(sys.argv[2]))]
    selector = selectors.DefaultSelector()
    for watcher in watchers:
        selector.register(watcher.sock, selectors.EVENT_READ, watcher.read)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print("ready", flush=True)
    asked = False
    while True:
        for key, _ in selector.select(0.5):
            if key.data is None:
                asked = True
                selector.unregister(sys.stdin)
            else:
                key.data()
        if asked and not any(key.data for key, _ in selector.select(0.5)):
            break
    counts = [watcher.events for watcher in watchers]
    print(
        json.dumps({"least": min(counts), "most": max(counts), "dropped": sum(w.dropped for w in watchers)})
    )


if __name__ == "__main__":
    main()
