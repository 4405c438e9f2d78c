"""The switch's side of many live audio sessions, a process of its own, and the least that could serve them.

`python -m tests.bench.mediapeer switch` reads a line of JSON: where each session's audio goes, how many
seconds. Each gets a frame of 20 ms at 16 kHz every 20 ms over its fork, and one as a datagram, as an internal
channel sends them. It reads the datagrams that come back, and writes a line of JSON: what came, and when.

`python -m tests.bench.mediapeer echo N` is a bare aiohttp server that sends back by UDP what its WebSockets
bring.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from itertools import pairwise
from typing import Any

RATE = 16000
FRAME_S = LATE_S = 0.02
FRAME_BYTES = 640
MASK = 0x04030201
KEY = struct.pack("<I", MASK)
WARM_UP = 25
"""Frames of a session before it is measured."""


class Session:
    """One fork and one internal channel."""

    def __init__(self, url: str, port: int) -> None:
        address = url.removeprefix("ws://")
        host, _, path = address.partition("/")
        name, _, number = host.partition(":")
        self.fork = socket.create_connection((name, int(number)))
        key = base64.b64encode(os.urandom(16)).decode()
        self.fork.sendall(
            f"GET /{path} HTTP/1.1\r\nHost: {name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: audio.drachtio.org\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.fork.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        self.fork.setblocking(False)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.connect(("127.0.0.1", port))
        self.udp.setblocking(False)
        head = b"\x82\xfe" + struct.pack(">H", FRAME_BYTES) + KEY
        silence = KEY * (FRAME_BYTES // 4 - 1)
        self.parts = head, silence
        self.silence = bytes(FRAME_BYTES)
        self.udp.send(self.silence)
        self.number = 0
        self.at: list[float] = []
        """When each frame was sent."""
        self.delays: list[float] = []
        """Of those that came back."""

    def send(self, now: float) -> None:
        head, rest = self.parts
        self.at.append(now)
        self.fork.send(head + struct.pack("<I", self.number ^ MASK) + rest)
        self.udp.send(self.silence)
        self.number += 1


def switch() -> None:
    """Be the switch for sessions of stdin."""
    told = json.loads(sys.stdin.readline())
    sessions = [Session(url, port) for url, port in told["sessions"]]
    print("{}", flush=True)
    frames = int(told["seconds"] / FRAME_S)
    epoll = select.epoll()
    by_number = {}
    for one in sessions:
        epoll.register(one.udp, select.EPOLLIN)
        by_number[one.udp.fileno()] = one
    step = FRAME_S / len(sessions)
    begun = time.monotonic()
    due, number, total = begun, 0, frames * len(sessions)
    slowest = 0.0
    while number < total or time.monotonic() < due + 0.3:
        now = time.monotonic()
        while number < total and due <= now:
            slowest = max(slowest, now - due)
            sessions[number % len(sessions)].send(time.monotonic())
            number += 1
            due = begun + number * step
        wait = due - time.monotonic() if number < total else 0.05
        for ready, _ in epoll.poll(max(0.0, wait)):
            session = by_number[ready]
            try:
                datagram = session.udp.recv(2048)
            except BlockingIOError:
                continue
            (came,) = struct.unpack_from("<I", datagram)
            if came >= WARM_UP:
                session.delays.append(time.monotonic() - session.at[came])
    delays = sorted(delay for one in sessions for delay in one.delays)
    expected = (frames - WARM_UP) * len(sessions)
    result = {
        "expected": expected,
        "came": len(delays),
        "late": sum(late_frames(one.delays) for one in sessions),
        "p50_ms": round(delays[len(delays) // 2] * 1000, 2) if delays else -1,
        "p99_ms": round(delays[int(len(delays) * 0.99)] * 1000, 2) if delays else -1,
        "max_ms": round(delays[-1] * 1000, 2) if delays else -1,
        "own_lag_ms": round(slowest * 1000, 1),
    }
    print(json.dumps(result), flush=True)


def late_frames(delays: list[float]) -> int:
    """How many frames were not there when they were due: a delay that grows by 100 ms is a gap of five. What
    comes behind it in time is not late, though its delay may be the same."""
    return sum(int(max(0.0, now - before) / LATE_S) for before, now in pairwise(delays))


async def echo() -> None:
    """The floor: nothing but a WebSocket in and a datagram out."""
    from aiohttp import WSMsgType, web

    loop = asyncio.get_running_loop()
    sockets: dict[str, socket.socket] = {}

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        connection = web.WebSocketResponse(protocols=["audio.drachtio.org"], compress=False)
        await connection.prepare(request)
        udp = sockets[request.path]
        async for message in connection:
            if message.type is WSMsgType.BINARY:
                with suppress(OSError):
                    udp.send(message.data)
        return connection

    def learn(udp: socket.socket) -> None:
        udp.connect(udp.recvfrom(2048)[1])
        loop.remove_reader(udp.fileno())

    server = await loop.create_server(web.Server(handle, access_log=None), "127.0.0.1", 0, backlog=512)
    port = server.sockets[0].getsockname()[1]
    reply: list[Any] = []
    for number in range(int(sys.argv[2])):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setblocking(False)
        udp.bind(("127.0.0.1", 0))
        loop.add_reader(udp.fileno(), learn, udp)
        sockets[f"/{number}"] = udp
        reply.append((f"ws://127.0.0.1:{port}/{number}", udp.getsockname()[1]))
    print(json.dumps(reply), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    if sys.argv[1] == "switch":
        switch()
    else:
        import uvloop

        uvloop.run(echo())


if __name__ == "__main__":
    main()
