"""The program that carries packets between places: `python -m tests.chaos.cable SEED ADDRESS=DESCRIPTOR ...`.

It is told by lines of JSON what to do to a pair of places, in both directions, until it is told otherwise:
{"between": [address, address], "cut": bool, "loss": 0.2, "delay": seconds, "rate": bytes per second}
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

PACKET_BYTES = 65536
DESTINATION = slice(16, 20)
SOURCE = slice(12, 16)
MOST_WAITING = 2000
"""Packets under way of one direction. More are lost, as in any router."""


@dataclass(slots=True)
class Way:
    """From one place to another."""

    cut: bool = False
    loss: float = 0.0
    delay: float = 0.0
    rate: float = 0.0
    free_at: float = 0.0
    """When what was sent before has passed, if there is a rate."""
    waiting: int = 0

    def due(self, size: int, now: float, drawn: float) -> float | None:
        """When a packet arrives; None for one that is lost."""
        if self.cut or drawn < self.loss or self.waiting >= MOST_WAITING:
            return None
        if not self.rate:
            return now + self.delay
        self.free_at = max(now, self.free_at) + size / self.rate
        return self.free_at + self.delay


class Cable:
    """Carries until its input ends."""

    def __init__(self, seed: int, places: dict[bytes, int]) -> None:
        self._places = places
        self._ways: dict[tuple[bytes, bytes], Way] = {}
        self._random = random.Random(seed)
        self._heap: list[tuple[float, int, Way, int, bytes]] = []
        self._number = 0

    def order(self, line: bytes) -> None:
        """Do something to a pair of places."""
        order = json.loads(line)
        one, other = (socket.inet_aton(address) for address in order.pop("between"))
        for pair in ((one, other), (other, one)):
            way = self._ways.setdefault(pair, Way())
            way.cut, way.loss = order.get("cut", False), order.get("loss", 0.0)
            way.delay, way.rate = order.get("delay", 0.0), order.get("rate", 0.0)

    def run(self) -> None:
        """Until the end of standard input."""
        poll = select.epoll()
        for descriptor in (0, *self._places.values()):
            poll.register(descriptor, select.EPOLLIN)
        rest = b""
        while True:
            wait = self._heap[0][0] - time.monotonic() if self._heap else -1.0
            for descriptor, _ in poll.poll(max(0.0, wait) if self._heap else -1):
                if descriptor == 0:
                    data = os.read(0, PACKET_BYTES)
                    if not data:
                        return
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self.order(line)
                else:
                    self._take(descriptor)
            self._deliver(time.monotonic())

    def _take(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            while True:
                self._send(os.read(descriptor, PACKET_BYTES))

    def _send(self, packet: bytes) -> None:
        target = self._places.get(packet[DESTINATION])
        if packet[0] >> 4 != 4 or target is None:
            return
        way = self._ways.get((packet[SOURCE], packet[DESTINATION]))
        if way is None:
            _write(target, packet)
            return
        due = way.due(len(packet), now := time.monotonic(), self._random.random())
        if due is None:
            return
        if due <= now and not way.waiting:
            _write(target, packet)
            return
        way.waiting += 1
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, way, target, packet))

    def _deliver(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            _, _, way, target, packet = heapq.heappop(self._heap)
            way.waiting -= 1
            _write(target, packet)


def _write(target: int, packet: bytes) -> None:
    with suppress(BlockingIOError):  # as full as any queue
        os.write(target, packet)


def main(arguments: list[str]) -> None:
    places = (one.partition("=") for one in arguments[1:])
    Cable(int(arguments[0]), {socket.inet_aton(at): int(descriptor) for at, _, descriptor in places}).run()


if __name__ == "__main__":
    main(sys.argv[1:])
