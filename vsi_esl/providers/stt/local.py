"""Recognition on this machine, without a key or a download: pocketsphinx and the model that comes with it.

It understands English, and not much of it: good for trying things out, for tests, and for a few words.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import orjson

from ..base import PERMANENT_INPUT, RATE_LIMITED, RETRYABLE, ProviderError, Transcriber, Transcript

START_S = 20.0
SEND_S = 20.0
"""How long it may take none of what it is sent: it is on our machine, and that may be busy."""
MOST = 2 * (os.cpu_count() or 1)
"""Processes of one worker; each takes a third of a core while somebody speaks."""


class Local(Transcriber):
    """A process of `providers.recogniser` for each session."""

    NEEDS_KEY = False
    _running = 0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._process: Process | None = None

    async def open(self) -> None:
        language = str(self.settings.get("language") or "en").lower()
        if language.partition("-")[0] != "en":
            raise ProviderError("local: understands English only", PERMANENT_INPUT)
        if Local._running >= MOST:
            raise ProviderError(f"local: understands no more than {MOST} at a time", RATE_LIMITED)
        Local._running += 1
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vsi_esl.providers.recogniser", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
            )
        except OSError as error:
            raise ProviderError(f"local: cannot be started: {error.strerror}", RETRYABLE) from None
        finally:
            if self._process is None:
                Local._running -= 1
        try:
            async with asyncio.timeout(START_S):
                line = await self._line()
        except TimeoutError:
            raise ProviderError(f"local: not ready within {START_S:g} s", RETRYABLE) from None
        if line is None or "ready" not in line:
            raise ProviderError(f"local: {(line or {}).get('error', 'does not start')}", PERMANENT_INPUT)

    async def _line(self) -> dict[str, Any] | None:
        """The next one it tells; None when there are no more."""
        process = self._process
        if process is None or process.stdout is None:
            return None
        line = await process.stdout.readline()
        told: dict[str, Any] | None = orjson.loads(line) if line else None
        return told

    async def send(self, pcm: bytes) -> None:
        try:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(pcm)
                async with asyncio.timeout(SEND_S):
                    await self._process.stdin.drain()
        except TimeoutError:
            raise ProviderError(f"local: the recogniser takes nothing for {SEND_S:g} s", RETRYABLE) from None
        except (OSError, RuntimeError):  # uvloop's, of a pipe that is closed
            raise ProviderError("local: the recogniser ended", RETRYABLE) from None

    async def finish(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def texts(self) -> AsyncIterator[Transcript]:
        while (line := await self._line()) is not None:
            yield Transcript(str(line["text"]), bool(line["final"]))

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        Local._running -= 1
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


PROVIDER = Local
