"""Audio that waits and is not needed: a stall of the network has built it, and what follows is late by it.

What waited at every moment of a second would have been missed by nobody: an uneven line would have used it
up at least once. Of that all but a frame is left out, in silence where there is any; of what sounds one frame
a second at most, cut out so that there is no click. A line that is well has nothing waiting when the next
message comes, and is left alone, as is one that sends in large pieces.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .tasks import FRAME_MS

WINDOW_S = 1.0
KEPT_MS = FRAME_MS
"""Of it: the next message may be late."""
BLEND_MS = 5
"""Over which one side of a cut becomes the other."""
SILENT = 100
"""Amplitude below which it is."""


class Surplus:
    """Of mono 16-bit audio of `rate`, whose pieces come as messages."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_of_ms = rate * 2 / 1000
        self._frame = rate * FRAME_MS // 1000 * 2
        self._blend = rate * BLEND_MS // 1000
        self._clock = clock
        self._until = 0.0
        """The end of this second."""
        self._least: float | None = None
        """What waited at its emptiest moment, in ms; None in a second in which nothing came."""
        self._excess = 0.0
        """ms that are to be left out."""
        self._cut = b""
        """The begin of what was cut out, which becomes that of the next message."""
        self.silence_ms = 0.0
        self.sound_ms = 0.0
        """Left out by the last `trim`."""

    def trim(self, pcm: bytes, waiting_ms: float) -> bytes:
        """What of a message is to be said, while so much waits."""
        self.silence_ms = self.sound_ms = 0.0
        now = self._clock()
        may_cut = False
        if now >= self._until:
            if self._least is not None and now < self._until + WINDOW_S:
                may_cut = self._excess >= FRAME_MS  # a second without silence
                self._excess = max(0.0, self._least - KEPT_MS)
            else:
                self._excess = 0.0  # it said nothing for a while
            self._least, self._until = None, now + WINDOW_S
        self._least = waiting_ms if self._least is None else min(self._least, waiting_ms)
        if self._cut:
            pcm, self._cut = self._blended(pcm), b""
        if self._excess < FRAME_MS:
            return pcm
        if is_silent(pcm):
            return self._without_silence(pcm)
        return self._without_a_frame(pcm) if may_cut else pcm

    def _without_silence(self, pcm: bytes) -> bytes:
        gone = min(len(pcm), int(self._excess * self._bytes_of_ms) & ~1)
        self.silence_ms = gone / self._bytes_of_ms
        self._left_out(self.silence_ms)
        return pcm[gone:]

    def _without_a_frame(self, pcm: bytes) -> bytes:
        cut, rest = pcm[: self._frame], pcm[self._frame :]
        self.sound_ms = len(cut) / self._bytes_of_ms
        self._left_out(self.sound_ms)
        self._cut = cut[: self._blend * 2]
        if rest:
            rest, self._cut = self._blended(rest), b""
        return rest

    def _left_out(self, ms: float) -> None:
        self._excess = max(0.0, self._excess - ms)
        if self._least is not None:
            self._least = max(0.0, self._least - ms)

    def _blended(self, pcm: bytes) -> bytes:
        """Begins as what was cut out, and goes on as it is."""
        count = min(len(self._cut), len(pcm)) // 2
        before = np.frombuffer(self._cut, "<i2", count).astype(np.float32)
        after = np.frombuffer(pcm, "<i2", count).astype(np.float32)
        share = np.linspace(0.0, 1.0, count, endpoint=False, dtype=np.float32)
        blended = before * (1 - share) + after * share
        return blended.astype("<i2").tobytes() + pcm[count * 2 :]


def is_silent(pcm: bytes) -> bool:
    """Whether nobody would hear anything of it."""
    if pcm.count(0) == len(pcm):
        return True  # as most of it is, and found in a tenth of the time
    return int(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max(initial=0)) < SILENT
