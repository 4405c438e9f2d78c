"""Transcription: what is heard goes to a provider, and its texts to the service.

A provider that is lost is connected to again, and gets what was said meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ...providers import STT, find
from ...providers.base import RETRYABLE, TRANSIENT, ProviderError, Transcriber
from ..beside import beside
from ..patience import within
from . import FRAME_MS, Task, Work

KEPT_FRAMES = 5000 // FRAME_MS
"""Audio that waits for a provider: 5 s."""
PAUSES_S = (0.2, 0.8, 2.0)
"""Before each try to connect again; a quarter more or less."""
STEADY_S = 10.0
"""A connection that lasted so long was a good one, and the tries are counted anew."""
LAST_S = 2.0
"""For the texts of what was said last, when the audio has ended."""
MOST_TEXTS = 50
"""Of one provider in a second; the rest is read later."""


class Transcription(Task):
    """`parameters`: provider, what it is to be told (see its module), whether `partial` texts are wanted."""

    def __init__(self, work: Work, parameters: Mapping[str, Any]) -> None:
        super().__init__(work, parameters)
        self._frames: deque[bytes] = deque()
        self._more = asyncio.Event()
        """There is something in `_frames`, or no more comes."""
        self._no_more = False
        self._ended = asyncio.Event()
        self._began: float | None = None
        self._last = False
        """The provider has all of the audio."""

    async def run(self) -> None:
        try:
            await beside(self._transcribe(), self._listen())
        finally:
            self._ended.set()

    async def finish(self) -> None:
        self._stop()
        await self._ended.wait()

    def _stop(self) -> None:
        self._no_more = True
        self._more.set()

    async def _listen(self) -> None:
        """Take what is heard, also while there is nobody who takes it."""
        while not self._no_more and (frame := await self.work.audio.get()) is not None:
            if self._began is None:
                self._began = time.monotonic()
            if len(self._frames) >= KEPT_FRAMES:
                self._frames.popleft()
                self.work.count("frames_dropped")
            self._frames.append(frame)
            self._more.set()
        self._stop()

    async def _transcribe(self) -> None:
        kind, tries = find(STT, str(self.parameters["provider"])), 0
        while True:
            provider: Transcriber = kind(self.work.http, self.parameters)
            opened = asyncio.get_running_loop().time()
            try:
                await provider.open()
                await self._converse(provider)
                return
            except ProviderError as error:
                if self._last:
                    return  # it has all that was said, and whoever asked to end does not wait for more
                if asyncio.get_running_loop().time() - opened > STEADY_S:
                    tries = 0
                if error.category not in TRANSIENT or tries == len(PAUSES_S):
                    raise
            finally:
                await provider.close()
            self.work.count("reconnects")
            await asyncio.sleep(PAUSES_S[tries] * random.uniform(0.75, 1.25))  # noqa: S311
            tries += 1

    async def _converse(self, provider: Transcriber) -> None:
        """Both ways, until the audio has ended and its texts are there. ProviderError when it is lost."""
        texts = asyncio.create_task(self._hear(provider))
        audio = asyncio.create_task(self._feed(provider))
        try:
            await asyncio.wait({texts, audio}, return_when=asyncio.FIRST_COMPLETED)
            if texts.done():
                await texts
                if not self._last:
                    raise ProviderError(f"{self.parameters['provider']}: ended the connection", RETRYABLE)
            else:
                await audio
                with suppress(TimeoutError):
                    async with within(LAST_S):
                        await texts
        finally:
            for one in (texts, audio):
                one.cancel()
            await asyncio.gather(texts, audio, return_exceptions=True)

    async def _feed(self, provider: Transcriber) -> None:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                try:
                    await provider.send(frame)
                except ProviderError:
                    self._frames.appendleft(frame)
                    raise
            if self._no_more:
                break
            self._more.clear()
            await self._more.wait()
        self._last = True
        await provider.finish()

    async def _hear(self, provider: Transcriber) -> None:
        loop = asyncio.get_running_loop()
        since, count = loop.time(), 0
        async for one in provider.texts():
            if one.text:
                self._measure()
                if one.final or self.parameters.get("partial"):
                    self.work.report("text", text=one.text, final=one.final)
            count += 1
            if count == MOST_TEXTS:
                await asyncio.sleep(max(0.0, since + 1 - loop.time()))
                since, count = loop.time(), 0

    def _measure(self) -> None:
        if self._began is not None:
            # not by the loop's clock, which counts whole milliseconds
            self.work.measure("first_text_ms", round((time.monotonic() - self._began) * 1000, 1))


TASK = Transcription
