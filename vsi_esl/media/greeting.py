"""What answered a call, by its first seconds: a person greets shortly and waits, a machine goes on.

Frames of 20 ms come in, mono 16-bit little endian at 16 kHz, and a verdict comes out. Time is that of the
frames: whoever has a deadline of their own, for audio that does not come, says when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .tasks import FRAME_MS

VOICED_RMS = 300
SPEECH_ON_FRAMES = 2
"""Voiced frames in a row that begin speech."""
SPEECH_OFF_FRAMES = 4
"""Unvoiced frames in a row that end it; until then they are part of it."""

Result = Literal["human", "machine", "no_speech", "not_sure"]


@dataclass(slots=True, frozen=True, kw_only=True)
class Thresholds:
    """In milliseconds, all above 0."""

    initial_silence_timeout: int
    greeting_duration: int
    after_greeting_silence: int
    total_analysis_time: int
    minimum_word_length: int


@dataclass(slots=True, frozen=True)
class Verdict:
    """What it was, and the times in milliseconds, multiples of 20."""

    result: Result
    initial_silence_ms: int
    greeting_duration_ms: int
    total_analysis_ms: int


def is_voiced(frame: bytes) -> bool:
    """Whether the frame is as loud as speech."""
    samples = np.frombuffer(frame, "<i2").astype(np.int64)
    return int(samples @ samples) >= VOICED_RMS**2 * len(samples) > 0


class Voice:
    """Whether somebody speaks: it takes a few frames to begin, and to end."""

    def __init__(self) -> None:
        self.speaking = False
        self._run = 0
        """Frames in a row that speak for the other state."""

    def hear(self, voiced: bool) -> bool:
        """Take one frame; whether somebody speaks now."""
        self._run = 0 if voiced is self.speaking else self._run + 1
        if self._run == (SPEECH_OFF_FRAMES if self.speaking else SPEECH_ON_FRAMES):
            self.speaking, self._run = not self.speaking, 0
        return self.speaking


class Greeting:
    """One analysis."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._voice = Voice()
        self._elapsed = 0
        self._initial_silence = 0
        self._greeting = 0
        """Speech so far, without what was too short to be a word."""
        self._greeted = False
        """Speech has begun; the silence that counts is the one behind it."""
        self._burst = 0
        self._silence = 0

    def hear(self, frame: bytes) -> Verdict | None:
        """Take one frame. To be called no more after a verdict."""
        return self.step(is_voiced(frame))

    def step(self, voiced: bool) -> Verdict | None:
        """The same, of a frame of which it is known whether it is voiced."""
        self._elapsed += FRAME_MS
        speaking = self._voice.hear(voiced)
        if self._elapsed >= self._thresholds.total_analysis_time:
            return self.broken_off()
        if speaking:
            return self._speech()
        return self._silence_behind_speech() if self._greeted else self._silence_at_first()

    def broken_off(self) -> Verdict:
        """The verdict when there is no more to hear: the call has ended, or enough time has passed."""
        return self._verdict("not_sure")

    def out_of_time(self) -> Verdict:
        """The verdict when the audio took longer than it lasts: nothing is as good as silence."""
        return self._verdict("not_sure" if self._greeted else "no_speech")

    def _verdict(self, result: Result) -> Verdict:
        return Verdict(result, self._initial_silence, self._greeting, self._elapsed)

    def _speech(self) -> Verdict | None:
        began, self._greeted = not self._greeted, True
        self._greeting += FRAME_MS
        self._burst += FRAME_MS
        self._silence = 0
        # its first frame is no greeting yet, however little would do
        if self._greeting >= self._thresholds.greeting_duration and not began:
            return self._verdict("machine")
        return None

    def _silence_behind_speech(self) -> Verdict | None:
        if self._burst < self._thresholds.minimum_word_length:
            self._greeting -= self._burst
        self._burst = 0
        self._silence += FRAME_MS
        if self._silence < self._thresholds.after_greeting_silence:
            return None
        if self._greeting:
            return self._verdict("human")
        # it was noise, in what has been silence from the start
        self._initial_silence += self._silence
        self._silence, self._greeted = 0, False
        return None

    def _silence_at_first(self) -> Verdict | None:
        self._initial_silence += FRAME_MS
        if self._initial_silence < self._thresholds.initial_silence_timeout:
            return None
        return self._verdict("no_speech")
