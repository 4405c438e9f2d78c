"""What a session hears: frames that wait for its task."""

from __future__ import annotations

import asyncio
from collections import deque

from .figures import Figures
from .pcm import Framer
from .tasks import FRAME_MS, TASK_RATE

LONGEST_S = 10.0
"""How much may wait for the task; of more the oldest is dropped."""


class Heard:
    """`tasks.Audio`, and where its source brings what comes."""

    def __init__(self, rate: int, figures: Figures, heard_at: int = TASK_RATE) -> None:
        self._framer = Framer(rate, heard_at)
        self._heard_at = heard_at
        self._figures = figures
        self._frames: deque[bytes] = deque()
        self._longest = int(LONGEST_S * 1000 / FRAME_MS)
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None

    # -- the source ----------------------------------------------------------------------------------------

    def feed(self, pcm: bytes) -> None:
        """Audio as it came from the switch."""
        frames = self._framer.feed(pcm)
        self._frames.extend(frames)
        self._figures.frames_in += len(frames)
        while len(self._frames) > self._longest:
            self._frames.popleft()
            self._figures.count("frames_missed")
        self._wake()

    def change(self, rate: int) -> None:
        """What comes from now on is at this rate."""
        self._framer = Framer(rate, self._heard_at)

    def end(self) -> None:
        """No more comes; what waits can still be had."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # -- the task ------------------------------------------------------------------------------------------

    async def get(self) -> bytes | None:
        while not self._frames:
            if self._ended:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return self._frames.popleft()

    def take_all(self) -> bytes:
        taken = b"".join(self._frames)
        self._frames.clear()
        return taken
