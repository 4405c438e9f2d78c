"""What a session hears, in frames of 20 ms at 16 kHz."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.support.inasyncio import in_asyncio
from vsi_esl.media.figures import Figures
from vsi_esl.media.heard import LONGEST_S, Heard
from vsi_esl.media.pcm import Framer
from vsi_esl.media.tasks import FRAME_BYTES


def audio(frames: int) -> bytes:
    return np.arange(frames * FRAME_BYTES // 2, dtype=np.int16).tobytes()


@pytest.mark.parametrize("size", [1, 2, 319, 640, 641, 1280, 5000])
def test_pieces_of_any_size_become_frames(size):
    framer, pcm = Framer(16000), audio(10)
    frames = [frame for at in range(0, len(pcm), size) for frame in framer.feed(pcm[at : at + size])]
    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    assert b"".join(frames) == pcm


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
@pytest.mark.parametrize("size", [1, 320, 333, 960])
def test_other_rates_are_made_16_khz(rate, size):
    tone = (9000 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)).astype(np.int16).tobytes()
    framer = Framer(rate)
    heard = b"".join(frame for at in range(0, len(tone), size) for frame in framer.feed(tone[at : at + size]))
    samples = np.frombuffer(heard, np.int16)
    wanted = 9000 * np.sin(2 * np.pi * 300 * np.arange(len(samples)) / 16000)
    assert 0.9 <= len(samples) / 16000 <= 1.0
    assert np.abs(samples - wanted)[200:-200].max() < 100


@in_asyncio
async def test_frames_are_had_in_order_and_then_the_end():
    heard = Heard(16000, Figures())
    waiting = asyncio.create_task(heard.get())
    await asyncio.sleep(0)
    heard.feed(audio(3))
    heard.end()
    assert await waiting == audio(3)[:FRAME_BYTES]
    assert heard.take_all() == audio(3)[FRAME_BYTES:]
    assert await heard.get() is None
    assert await heard.get() is None


@in_asyncio
async def test_who_waits_and_is_cancelled_takes_no_frame():
    heard = Heard(16000, Figures())
    waiting = asyncio.create_task(heard.get())
    await asyncio.sleep(0)
    heard.feed(audio(1))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await heard.get() == audio(1)


def test_of_what_nobody_takes_the_oldest_is_dropped():
    figures = Figures()
    heard = Heard(16000, figures)
    most = int(LONGEST_S * 50)
    for number in range(most + 7):
        heard.feed(bytes([number % 256]) * FRAME_BYTES)
    assert heard.take_all()[0] == 7
    assert figures.all()["frames_missed"] == 7
    assert figures.all()["frames_in"] == most + 7
