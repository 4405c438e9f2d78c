"""Recognition by pocketsphinx, of what flite says."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import wave
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import soxr

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import Scripted
from vsi_esl.providers import recogniser
from vsi_esl.providers.stt import local

from .support import collect, refusal, said, transcriber

WORDS = "hello world please call the doctor tomorrow morning"


def spoken(folder: Path) -> bytes:
    """At 16 kHz, as it comes from a telephone, with silence around it."""
    if shutil.which("flite") is None:
        pytest.skip("there is no flite")
    file = folder / "speech.wav"
    subprocess.run(["flite", "-voice", "slt", "-t", WORDS, "-o", str(file)], check=True)
    with wave.open(str(file)) as audio:
        samples = np.frombuffer(audio.readframes(audio.getnframes()), "<i2")
        narrow = soxr.resample(samples, audio.getframerate(), 8000)
    return bytes(16000) + soxr.resample(narrow, 8000, 16000).astype("<i2").tobytes() + bytes(32000)


@in_asyncio
async def test_it_understands_some_words(tmp_path):
    pytest.importorskip("pocketsphinx")
    pcm = spoken(tmp_path)
    async with transcriber("local", Scripted()) as one:
        await one.open()
        texts = asyncio.create_task(collect(one))
        for at in range(0, len(pcm), 640):
            await one.send(pcm[at : at + 640])
        await one.finish()
        async with asyncio.timeout(70):
            found = await texts
    final = " ".join(text for text, is_final in found if is_final)
    assert len(set(final.split()) & set(WORDS.split())) >= 4, found
    assert any(not is_final for _, is_final in found)


@in_asyncio
async def test_silence_is_no_text():
    pytest.importorskip("pocketsphinx")
    async with transcriber("local", Scripted()) as one:
        assert await said(one, 20) == []


@in_asyncio
async def test_other_languages():
    async with transcriber("local", Scripted(), language="de") as one:
        assert await refusal(one.open) == ("permanent_input", "local: understands English only")


@in_asyncio
async def test_a_limited_number_at_a_time():
    with patch.object(local.Local, "_running", local.MOST):
        async with transcriber("local", Scripted()) as one:
            assert (await refusal(one.open))[0] == "rate_limited"


@in_asyncio
async def test_a_recogniser_that_ends():
    pytest.importorskip("pocketsphinx")
    async with transcriber("local", Scripted()) as one:
        await one.open()
        one._process.kill()
        async with asyncio.timeout(20):
            assert await collect(one) == []

            async def talk() -> None:
                while True:
                    await one.send(bytes(640))
                    await asyncio.sleep(0.01)

            assert await refusal(talk) == ("retryable", "local: the recogniser ended")
    assert local.Local._running == 0


def test_what_it_says_when_pocketsphinx_is_missing():
    """In a process that cannot import it."""
    code = (
        "import sys; sys.modules['pocketsphinx'] = None\n"
        "from vsi_esl.providers import recogniser; recogniser.main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], input=b"", capture_output=True, timeout=30, check=True
    ).stdout.decode()
    assert recogniser.NOT_INSTALLED in told
    assert len(told.splitlines()) == 1


@in_asyncio
async def test_a_recogniser_that_stands_still_does_not_hold_the_session_up():
    pytest.importorskip("pocketsphinx")
    async with transcriber("local", Scripted()) as one:
        await one.open()
        os.kill(one._process.pid, signal.SIGSTOP)

        async def speak() -> None:
            async with asyncio.timeout(20):
                while True:
                    await one.send(bytes(64_000))

        with patch.object(local, "SEND_S", 0.2):
            assert await refusal(speak) == ("retryable", "local: the recogniser takes nothing for 0.2 s")
