"""What the tests of synthesis share: what is asked for, and what is heard of it."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest

from vsi_esl.providers import TTS, find
from vsi_esl.providers.base import ProviderError

KEY = "key-0123456789-abcdef"
TEXT = 'Your PIN is 4711 & <no> "more", Jürgen.'
PCM = np.arange(-16000, 16000, dtype="<i2").tobytes()
"""A second and more, in which every sample is another one."""


@asynccontextmanager
async def provider(name: str, **settings: Any) -> AsyncIterator[Any]:
    asked = {"provider": name, "text": TEXT, "voice": "v1", "api_key": KEY, **settings}
    async with aiohttp.ClientSession() as http:
        one = find(TTS, name)(http, asked)
        yield one
        await one.close()


async def spoken(name: str, **settings: Any) -> bytes:
    """All that it says."""
    async with provider(name, **settings) as one:
        return b"".join([piece async for piece in one.speak()])


async def failure(name: str, **settings: Any) -> ProviderError:
    """How it fails, without the key or the text."""
    with pytest.raises(ProviderError) as caught:
        await spoken(name, **settings)
    message = caught.value.message
    assert KEY not in message and KEY[:10] not in message and KEY[-10:] not in message
    for word in ("4711", "Jürgen", "J\\u00fcrgen"):
        assert word not in message
    return caught.value


def wav(pcm: bytes, rate: int = 16000, channels: int = 1, extra: bytes = b"") -> bytes:
    """A file of samples, with a chunk before them that nobody needs."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    note = struct.pack("<4sI", b"LIST", len(extra)) + extra + b"\0" * (len(extra) & 1) if extra else b""
    body = b"WAVE" + form + note + struct.pack("<4sI", b"data", len(pcm)) + pcm
    return b"RIFF" + struct.pack("<I", len(body)) + body


def loudest_hz(pcm: bytes) -> float:
    """The frequency with the most energy, of audio at 16 kHz."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 16000 / len(samples)


def sine(hz: float, rate: int, seconds: float) -> bytes:
    times = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * hz * times) * 12000).astype("<i2").tobytes()
