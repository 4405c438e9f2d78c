"""How long is waited for something in a media worker.

A worker that has stood still (an overloaded machine, a paused virtual one) finds its timers due and its
sockets full at once, and uvloop has timers go first: what came in time would be too late, since nobody was
there to read it. So the end of a wait is a moment of its own, in which the loop goes round and audio is read
(`ears`); when the worker stands still in that, it has another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

READ_S = 0.25
"""That moment: in 25 beats four seconds of audio are read."""
LATE_S = 0.05
"""What a timer of a worker that stands still is late at least."""


class Timer:
    """`loop.call_later(seconds, action, *args)`, and not before what has come by then is read."""

    def __init__(self, seconds: float, action: Callable[..., Any], *args: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._action, self._args = action, args
        self._moments = 2
        self._handle = self._loop.call_later(max(0.0, seconds - READ_S), self._read, min(seconds, READ_S))

    def cancel(self) -> None:
        """Nothing is done then. May be repeated."""
        self._handle.cancel()

    def _read(self, seconds: float) -> None:
        self._moments -= 1
        self._handle = self._loop.call_later(seconds, self._over, time.monotonic() + seconds)

    def _over(self, due: float) -> None:
        if self._moments and time.monotonic() - due > LATE_S:
            self._read(READ_S)
        else:
            self._action(*self._args)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """`asyncio.timeout`, likewise."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        timer = Timer(seconds, lambda: limit.reschedule(loop.time()))
        try:
            yield
        finally:
            timer.cancel()
