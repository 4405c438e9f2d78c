"""Speech: a text is synthesised by a provider and said as it comes, or it was synthesised before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from typing import IO, Any, TypeVar

import structlog

from ...providers import TTS, find
from ...providers.base import RATE, TRANSIENT, UNKNOWN, ProviderError, Synthesiser
from ..spoken import Spoken, Writing, name_of
from . import Task, Work

log = structlog.get_logger(__name__)

T = TypeVar("T")

PIECE_BYTES = RATE
"""What is said at a time: half a second."""
ATTEMPTS = 3
FIRST_PAUSE_S, FACTOR, LONGEST_PAUSE_S = 0.1, 4.0, 1.6
JITTER = 0.25
TRYING_S = 5.0
"""No attempt begins later than this after the first."""
DISK_S = 2.0
"""For one step of the cache."""


class Speech(Task):
    """`parameters`: provider, text, and what else the provider is to be told (see its module); `gain`, a
    factor; `cache`, with `directory`, `bytes` and `with_key`, or nothing.

    It reports `started` at the first audio, when the switch can take it, and `finished` with `played_ms` at
    the end, whatever that was. `Tell("gain", factor)` changes the volume.
    """

    def __init__(self, work: Work, parameters: Mapping[str, Any]) -> None:
        super().__init__(work, parameters)
        work.voice.set_gain(float(parameters.get("gain", 1.0)))

    def told(self, what: str, value: Any) -> None:
        if what == "gain":
            self.work.voice.set_gain(float(value))

    async def run(self) -> None:
        started = False
        try:
            async with closing(self._speech()) as pieces:
                async for pcm in pieces:
                    if not started:
                        await self.work.attached()
                        self.work.report("started")
                        started = True
                    self.work.voice.say(pcm, RATE)
                    await self.work.voice.room()
            if not started:
                raise ProviderError(f"{self.parameters['provider']}: an answer without audio", UNKNOWN)
            await self.work.voice.said()
        finally:
            if started:
                self.work.report("finished", played_ms=self.work.voice.said_ms)

    async def _speech(self) -> AsyncIterator[bytes]:
        """Pieces of no more than half a second."""
        kept = self.parameters.get("cache")
        if not kept:
            async with closing(self._synthesised()) as pieces:
                async for pcm in pieces:
                    yield pcm
            return
        spoken = Spoken(kept["directory"], kept["bytes"])
        name = name_of(self.parameters, kept["with_key"])
        file = await self._spoken_before(spoken, name)
        async with closing(self._kept(spoken, name) if file is None else self._read(file)) as pieces:
            async for pcm in pieces:
                yield pcm

    async def _spoken_before(self, spoken: Spoken, name: str) -> IO[bytes] | None:
        try:
            file = await _in_thread(spoken.open, name)
        except OSError:
            file = None
        self.work.count("cache_hits" if file is not None else "cache_misses")
        return file

    async def _read(self, file: IO[bytes]) -> AsyncIterator[bytes]:
        try:
            while pcm := await _in_thread(file.read, PIECE_BYTES):
                yield pcm
        except OSError as error:
            raise ProviderError(f"cache: {error.strerror or 'no answer in time'}", UNKNOWN) from None
        finally:
            file.close()

    async def _kept(self, spoken: Spoken, name: str) -> AsyncIterator[bytes]:
        """What is synthesised, and written into a file on its way. One that cannot be written is done
        without."""
        writing: Writing | None = Writing(spoken)
        try:
            async with closing(self._synthesised()) as pieces:
                async for pcm in pieces:
                    writing = await self._try(writing, Writing.write, pcm)
                    yield pcm
            writing = await self._try(writing, Writing.finish, name)
        finally:
            if writing is not None:
                _threads().submit(writing.drop)

    async def _try(
        self, writing: Writing | None, what: Callable[[Writing, T], None], value: T
    ) -> Writing | None:
        if writing is None:
            return None
        try:
            await _in_thread(what, writing, value)
        except OSError as error:
            self.work.count("cache_failures")
            log.warning("speech not kept", error=error.strerror or "no answer in time")
            _threads().submit(writing.drop)
            return None
        return writing

    async def _synthesised(self) -> AsyncIterator[bytes]:
        """What the provider says; tried again while nothing has come."""
        loop = asyncio.get_running_loop()
        kind = await asyncio.to_thread(find, TTS, str(self.parameters["provider"]))  # may import much
        last = loop.time() + TRYING_S
        for attempt in range(1, ATTEMPTS + 1):
            provider: Synthesiser = kind(self.work.http, self.parameters)
            begun = False
            try:
                async with closing(provider.speak()) as pieces:
                    async for pcm in pieces:
                        for at in range(0, len(pcm), PIECE_BYTES):
                            begun = True
                            yield pcm[at : at + PIECE_BYTES]
                return
            except ProviderError as error:
                pause = pause_before(attempt)
                final = begun or attempt == ATTEMPTS or error.category not in TRANSIENT
                if final or loop.time() + pause > last:
                    raise
            finally:
                await provider.close()
            self.work.count("retries")
            await asyncio.sleep(pause)


def pause_before(attempt: int) -> float:
    """How long to wait before this attempt; the first again is 1. Seconds."""
    pause = min(FIRST_PAUSE_S * FACTOR ** (attempt - 1), LONGEST_PAUSE_S)
    return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


@asynccontextmanager
async def closing(pieces: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Whatever becomes of who takes the pieces: what makes them lets go of its connection now, not when it is
    collected."""
    try:
        yield pieces
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


@cache
def _threads() -> ThreadPoolExecutor:
    """For the disk: the loop's own look up names."""
    return ThreadPoolExecutor(4, "cache")


async def _in_thread(work: Callable[..., T], *given: Any) -> T:
    """OSError, a TimeoutError among them."""
    async with asyncio.timeout(DISK_S):
        return await asyncio.get_running_loop().run_in_executor(_threads(), work, *given)


TASK = Speech
