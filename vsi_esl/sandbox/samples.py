"""Samples of the sandbox's live audio: 16 bits, one channel, in frames of 20 ms. What people say of them."""

from __future__ import annotations

import time
from math import ceil, gcd

import numpy as np
import numpy.typing as npt

FRAMES_PER_SECOND = 50
FRAME_S = 1 / FRAMES_PER_SECOND
LOUDNESS = 8000
"""Amplitude of the tones that people say here."""
HALF_WIDTH = 12
"""Of the filter that goes with a change of rate, in samples of the lower rate."""
MOST_STEPS = 12
"""Rates that share less are read between the samples, without a filter."""

Samples = npt.NDArray[np.int16]


def tick_now() -> int:
    """The number of the frame of 20 ms that passes now."""
    return int(time.monotonic() * FRAMES_PER_SECOND)


def frame_size(rate: int) -> int:
    """Samples in a frame."""
    return rate // FRAMES_PER_SECOND


def silence(rate: int) -> Samples:
    """A frame of it."""
    return np.zeros(frame_size(rate), np.int16)


def clip(sums: npt.NDArray[np.generic]) -> Samples:
    """Sums of samples as samples."""
    samples: Samples = np.clip(np.rint(sums), -32768, 32767).astype(np.int16)
    return samples


def added(*frames: Samples | None) -> Samples | None:
    """Frames of one size on top of each other; None is nobody."""
    there = [one for one in frames if one is not None]
    if len(there) < 2:
        return there[0] if there else None
    return clip(np.sum(there, axis=0, dtype=np.int32))


def louder(frame: Samples, decibels: float) -> Samples:
    """The same by so many dB."""
    return clip(frame * 10 ** (decibels / 20)) if decibels else frame


class Resampler:
    """Changes the rate of a stream, frame by frame."""

    def __init__(self, rate: int, wanted: int) -> None:
        common = gcd(rate, wanted)
        self._up, self._down = wanted // common, rate // common
        steps = max(self._up, self._down)
        self._filtered = steps <= MOST_STEPS
        if self._filtered:
            reach = HALF_WIDTH * steps
            places = np.arange(-reach, reach + 1) / steps
            self._filter = self._up / steps * np.sinc(places) * np.hanning(2 * reach + 3)[1:-1]
            self._before = np.zeros(2 * reach)

    def feed(self, frame: Samples) -> Samples:
        """The next frame, or several, a millisecond or two later, at the rate that is wanted."""
        if not self._filtered:
            places = np.linspace(0, len(frame) - 1, len(frame) * self._up // self._down)
            return clip(np.interp(places, np.arange(len(frame)), frame))
        spread = np.zeros(len(frame) * self._up)
        spread[:: self._up] = frame
        stream = np.concatenate((self._before, spread))
        self._before = stream[len(spread) :]
        return clip(np.convolve(stream, self._filter, "valid")[:: self._down])


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """A whole sound at another rate."""
    if rate == wanted:
        return samples
    late = round(HALF_WIDTH * max(1.0, wanted / rate))
    size = frame_size(rate)
    padded = np.pad(samples, (0, -len(samples) % size + size))
    # without what the filter holds back, so that it begins where it began
    return Resampler(rate, wanted).feed(padded)[late : late + len(samples) * wanted // rate]


class Voice:
    """What somebody says: a sound, once or for ever.

    It runs from the frame in which it `began`; None if it has not.
    """

    def __init__(self, samples: Samples, rate: int, endless: bool = False) -> None:
        self.samples = np.asarray(samples, dtype=np.int16)
        self.rate = rate
        self.endless = endless
        self.began: int | None = None
        self._at: dict[tuple[int, int], Samples] = {}

    @property
    def seconds_left(self) -> float:
        """Until it is over."""
        gone = 0 if self.began is None else max(0, tick_now() - self.began)
        return max(0.0, len(self.samples) / self.rate - gone * FRAME_S)

    @property
    def last_tick(self) -> int:
        """The frame with the end of it, once it has begun."""
        return (self.began or 0) + ceil(len(self.samples) / self.rate * FRAMES_PER_SECOND) - 1

    def followed_by(self, other: Voice) -> Voice:
        """This one as far as it has come, and then the other."""
        samples = np.concatenate((self.samples, resampled(other.samples, other.rate, self.rate)))
        both = Voice(samples, self.rate)
        both.began = self.began
        return both

    def frame(self, tick: int, band: int, rate: int) -> Samples:
        """What is said in a frame, by a codec of the rate `band`, at another rate."""
        size = frame_size(rate)
        at = self._at.get((band, rate))
        if at is None:
            at = self._at[band, rate] = self._render(band, rate)
        start = (tick - (self.began or 0)) * size
        if self.endless:
            start %= len(at) // size * size
        elif self.began is None or start < 0 or start >= len(at):
            return np.zeros(size, np.int16)
        frame = at[start : start + size]
        return frame if len(frame) == size else np.pad(frame, (0, size - len(frame)))

    def _render(self, band: int, rate: int) -> Samples:
        if not self.endless:
            return resampled(resampled(self.samples, self.rate, band), band, rate)
        # a turn between two others, so that its ends fit
        thrice = resampled(resampled(np.tile(self.samples, 3), self.rate, band), band, rate)
        turn = len(self.samples) * rate // self.rate
        return thrice[turn : 2 * turn]


def tone(frequency: float, loudness: float = LOUDNESS) -> Voice:
    """A tone of so many Hz (whole ones, below 4000), for ever."""
    rate = 8000
    turn = loudness * np.sin(2 * np.pi * round(frequency) / rate * np.arange(rate))
    return Voice(clip(turn), rate, endless=True)


def tones(pieces: list[tuple[int, int, list[int]]]) -> Voice:
    """Pieces one after the other: how long in ms, the pause after it, and the frequencies that are in it."""
    rate = 8000
    parts: list[Samples] = []
    for on, off, frequencies in pieces:
        places = np.arange(on * rate // 1000) / rate
        waves = [LOUDNESS * np.sin(2 * np.pi * hz * places) for hz in frequencies]
        parts += [clip(np.sum([0 * places, *waves], axis=0)), np.zeros(off * rate // 1000, np.int16)]
    return Voice(np.concatenate([np.zeros(0, np.int16), *parts]), rate)
