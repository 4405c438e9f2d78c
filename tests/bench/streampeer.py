"""The other ends of WebSocket legs, for `tests.bench.streams`, in a process of their own.

`python -m tests.bench.streampeer ADDRESS LEGS SECONDS`: two legs a room. The first of a room says a click
twice a second and silence meanwhile, a message each 20 ms; the second returns what it hears. Prints a line of
JSON when all are connected, and one with the figures at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aiohttp
import numpy as np
import uvloop

RATE = 16000
FRAME_S = 0.02
SILENCE = bytes(640)
CLICK = (np.sin(2 * np.pi * 1000 * np.arange(320) / RATE) * 16000).astype("<i2").tobytes()
LOUD = 4000
BETWEEN = 25
"""Frames from one click to the next."""
LATE_S = 0.04
"""From one message to the next: one frame late."""


class Leg:
    """One connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, returns: bool) -> None:
        self._socket = socket
        self._returns = returns
        self._said_at = 0.0
        self.delays: list[float] = []
        self.came: list[float] = []

    async def listen(self) -> None:
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            now = time.monotonic()
            self.came.append(now)
            if self._returns:
                await self._socket.send_bytes(message.data)
            elif self._said_at and np.abs(np.frombuffer(message.data, "<i2").astype(int)).max() > LOUD:
                self.delays.append(now - self._said_at)
                self._said_at = 0.0

    async def speak(self, offset: float) -> None:
        if self._returns:
            return
        begun, number = time.monotonic() + offset, 0
        while True:
            await asyncio.sleep(max(0.0, begun + number * FRAME_S - time.monotonic()))
            click = number % BETWEEN == BETWEEN - 1
            if click:
                self._said_at = time.monotonic()
            await self._socket.send_bytes(CLICK if click else SILENCE)
            number += 1


async def run(address: str, count: int, seconds: float) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        legs, took = [], []
        for number in range(count):
            began = time.monotonic()
            url = f"ws://{address}/v1/legs/websocket?room_id=room-{number // 2}"
            socket = await http.ws_connect(url, compress=0)
            await socket.receive_str()
            took.append(time.monotonic() - began)
            legs.append(Leg(socket, returns=bool(number % 2)))
        parts = [asyncio.create_task(leg.listen()) for leg in legs]
        parts += [asyncio.create_task(leg.speak(number * FRAME_S / count)) for number, leg in enumerate(legs)]
        await asyncio.sleep(2)
        for leg in legs:
            leg.came.clear()
            leg.delays.clear()
        print(json.dumps({"connected_ms": sorted(round(one * 1000, 1) for one in took)}), flush=True)
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        elapsed = time.monotonic() - begun
        gaps = np.concatenate([np.diff(leg.came) for leg in legs])
        delays = np.array([one for leg in legs for one in leg.delays]) * 1000
        figures = {
            "frames": sum(len(leg.came) for leg in legs),
            "expected": round(count * elapsed / FRAME_S),
            "late": float((gaps > LATE_S).mean()),
            "gap_p99_ms": float(np.percentile(gaps, 99) * 1000),
            "gap_max_ms": float(gaps.max() * 1000),
            "delays": len(delays),
            "delay_p50_ms": float(np.percentile(delays, 50)) if len(delays) else -1,
            "delay_p95_ms": float(np.percentile(delays, 95)) if len(delays) else -1,
        }
        print(json.dumps(figures), flush=True)
        for part in parts:
            part.cancel()
        for leg in legs:
            await leg._socket.close()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
