"""Speech of this machine, without a key or a download: flite or espeak-ng, as a process for each text.

Neither is linked to or shipped; the text goes to it by its standard input.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import IO

from ..answers import PIECE
from ..base import PERMANENT_INPUT, RETRYABLE, SERVICE_UNAVAILABLE, UNKNOWN, ProviderError, Synthesiser
from ..samples import NotAudio, WavSamples

FLITE, ESPEAK = "flite", "espeak-ng"
NEITHER = "local: neither flite nor espeak-ng is installed (apt-get install flite)"
DEFAULT = "default"
"""The voice that is there."""
FLITE_VOICES = ("slt", "rms", "awb", "kal", "kal16")
"""Those that it has in it. Any other name it takes for a file or a URL."""
ESPEAK_VOICE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,63}\Z")
ENGLISH = "en-us"
LONGEST_S = 60.0
"""For one text: either is a hundred times as fast as speech."""
END_S = 1.0


class Local(Synthesiser):
    """`settings`: text, voice (one of flite's, or one of espeak-ng's such as de or en-gb+f3, or "default"),
    language (of espeak-ng's default voice)."""

    NEEDS_KEY = False

    def speak(self) -> AsyncIterator[bytes]:
        program, path, voice = self._engine()
        return self._flite(path, voice) if program == FLITE else self._espeak(path, voice)

    @property
    def _text(self) -> bytes:
        return str(self.settings["text"]).encode() + b"\n"

    def _engine(self) -> tuple[str, str, str]:
        """Which program says it, where that is, and with which voice. ProviderError when there is none."""
        flite, espeak = shutil.which(FLITE), shutil.which(ESPEAK)
        voice, language = str(self.settings["voice"]), str(self.settings.get("language") or "")
        if not (flite or espeak):
            raise ProviderError(NEITHER, PERMANENT_INPUT)
        if flite and (voice in FLITE_VOICES or (voice == DEFAULT and language[:2].lower() in ("", "en"))):
            return FLITE, flite, FLITE_VOICES[0] if voice == DEFAULT else voice
        wanted = (language or ENGLISH) if voice in (DEFAULT, *FLITE_VOICES) else voice
        if espeak and ESPEAK_VOICE.match(wanted):
            return ESPEAK, espeak, wanted
        raise ProviderError(f"local: no such voice; flite has {', '.join(FLITE_VOICES)}", PERMANENT_INPUT)

    async def _flite(self, path: str, voice: str) -> AsyncIterator[bytes]:
        """It opens its input, and its output anew for every sentence: both have to be files."""
        with _nameless() as text, _nameless() as file:
            text.write(self._text)
            text.seek(0)
            output = file.fileno()
            process = await _start(
                path,
                "-voice",
                voice,
                "/dev/stdin",
                f"/dev/fd/{output}",
                stdin=text,
                stdout=DEVNULL,
                keep=output,
            )
            try:
                async with _patience(FLITE):
                    if await process.wait():
                        raise ProviderError("local: flite failed", SERVICE_UNAVAILABLE)
            finally:
                await _end(process)
            file.seek(0)
            samples = WavSamples()
            while piece := file.read(PIECE):
                yield _of(FLITE, samples, piece)
            yield samples.rest()

    async def _espeak(self, path: str, voice: str) -> AsyncIterator[bytes]:
        process = await _start(path, "-b", "1", "-v", voice, "--stdin", "--stdout", stdin=PIPE, stdout=PIPE)
        samples = WavSamples()
        telling = asyncio.create_task(self._tell(process))
        try:
            while piece := await self._read(process):
                yield _of(ESPEAK, samples, piece)
            async with _patience(ESPEAK):
                await telling
                if await process.wait():
                    raise ProviderError("local: espeak-ng failed: has it that voice?", PERMANENT_INPUT)
            yield samples.rest()
        finally:
            telling.cancel()
            await _end(process)

    @staticmethod
    async def _read(process: Process) -> bytes:
        async with _patience(ESPEAK):
            return await process.stdout.read(PIECE) if process.stdout is not None else b""

    async def _tell(self, process: Process) -> None:
        if process.stdin is None:
            return
        try:
            with suppress(OSError, RuntimeError):  # (uvloop's) it has ended, and `wait` says how
                process.stdin.write(self._text)
                await process.stdin.drain()
        finally:
            process.stdin.close()  # whatever went wrong: it ends then, and what it was is raised


@asynccontextmanager
async def _patience(program: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(LONGEST_S):
            yield
    except TimeoutError:
        raise ProviderError(f"local: {program} took longer than {LONGEST_S:g} s", RETRYABLE) from None


def _of(program: str, samples: WavSamples, piece: bytes) -> bytes:
    try:
        return samples.feed(piece)
    except NotAudio as error:
        raise ProviderError(f"local: {program}: {error}", UNKNOWN) from None


def _nameless() -> IO[bytes]:
    """A file that is on no disk, where that can be had."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("speech"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


async def _start(
    path: str, *arguments: str, stdin: int | IO[bytes], stdout: int, keep: int | None = None
) -> Process:
    """Without a shell, and with nothing of our environment: there are keys in it."""
    try:
        return await asyncio.create_subprocess_exec(
            path,
            *arguments,
            stdin=stdin,
            stdout=stdout,
            stderr=DEVNULL,
            pass_fds=() if keep is None else (keep,),
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"},
        )
    except OSError as error:
        raise ProviderError(f"local: cannot be started: {error.strerror}", RETRYABLE) from None


async def _end(process: Process) -> None:
    """End it. What it wrote and nobody read is read, or its end of the pipe would stay."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            while process.stdout is not None and await process.stdout.read(PIECE):
                pass
            await process.wait()


PROVIDER = Local
