"""Listening to audio: tones and their levels, in what a peer received and in what was recorded."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .rtp import DECODED

FRAME_MS = 20
ULAW = np.array(DECODED, dtype=np.int16)

Samples = np.ndarray


def heard(packets: Sequence[bytes]) -> Samples:
    """The samples of received u-law packets, 8 kHz."""
    return ULAW[np.frombuffer(b"".join(packets), dtype=np.uint8)]


def read(path: str) -> tuple[int, Samples]:
    """Sample rate, and the samples of a WAV file as (frames, channels)."""
    with wave.open(path) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return file.getframerate(), data.reshape(-1, file.getnchannels())


def levels(samples: Samples, rate: int, frequency: float, frame_ms: float = FRAME_MS) -> Samples:
    """The amplitude of a frequency in each frame."""
    size = round(rate * frame_ms / 1000)
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(float)
    wave_ = np.exp(-2j * np.pi * frequency * np.arange(size) / rate)
    return 2 * np.abs(frames @ wave_) / size


def loudness(samples: Samples, rate: int, frame_ms: float = FRAME_MS) -> Samples:
    """The root mean square of each frame."""
    size = round(rate * frame_ms / 1000)
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(float)
    return np.sqrt((frames**2).mean(axis=1))


def spans(on: Samples, frame_ms: float = FRAME_MS) -> list[tuple[bool, float]]:
    """Runs of the same truth value as (value, length in ms)."""
    edges = [0, *(np.flatnonzero(np.diff(on.astype(int))) + 1), len(on)]
    return [(bool(on[a]), (b - a) * frame_ms) for a, b in pairwise(edges) if b > a]


def runs(on: Samples, at_least_ms: float, frame_ms: float = FRAME_MS) -> list[tuple[bool, float]]:
    """Like `spans`, but nothing shorter interrupts: each counts as its neighbours, the shortest first."""
    found = spans(on, frame_ms)
    while len(found) > 1 and (shortest := min(found, key=lambda one: one[1]))[1] <= at_least_ms:
        at = found.index(shortest)
        beside = found[max(0, at - 1) : at + 2]
        value = not shortest[0]
        found[max(0, at - 1) : at + 2] = [(value, sum(length for _, length in beside))]
    return found


def strongest(samples: Samples, rate: int, count: int = 1) -> list[float]:
    """The `count` strongest frequencies in Hz, to a fraction of the resolution, in rising order."""
    window = np.hanning(len(samples))
    spectrum = np.abs(np.fft.rfft(samples * window))
    found: list[float] = []
    for _ in range(count):
        peak = int(spectrum.argmax())
        left, middle, right = np.log(spectrum[peak - 1 : peak + 2] + 1e-9)
        shift = 0.5 * (left - right) / (left - 2 * middle + right)
        found.append((peak + shift) * rate / len(samples))
        spectrum[max(0, peak - 8) : peak + 9] = 0
    return sorted(found)
