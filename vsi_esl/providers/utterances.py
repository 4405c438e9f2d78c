"""Where somebody begins and ends to speak, by how loud it is: for recognisers that take one utterance."""

from __future__ import annotations

from collections import deque

import numpy as np

from .base import RATE

FRAME_BYTES = RATE * 2 // 50
LOUD = 300.0
"""RMS of a frame that is taken for speech."""
BEFORE, QUIET, SHORTEST, LONGEST = 15, 35, 5, 1000
"""In frames of 20 ms: what is kept from before the first loud one, silence that ends an utterance, loud ones
that make one, and how long it may be."""


class Utterances:
    """Cuts audio into utterances."""

    def __init__(self) -> None:
        self._rest = b""
        self._before: deque[bytes] = deque(maxlen=BEFORE)
        self._frames: list[bytes] = []
        self._loud = 0
        self._quiet = 0

    def take(self, pcm: bytes) -> list[bytes]:
        """More audio, mono 16 bit at `RATE`, of any length; the utterances that ended with it."""
        self._rest += pcm
        ended = []
        while len(self._rest) >= FRAME_BYTES:
            frame, self._rest = self._rest[:FRAME_BYTES], self._rest[FRAME_BYTES:]
            if (utterance := self._frame(frame)) is not None:
                ended.append(utterance)
        return ended

    def _frame(self, frame: bytes) -> bytes | None:
        loud = _rms(frame) >= LOUD
        if not self._frames:
            self._before.append(frame)
            if not loud:
                return None
            self._frames = list(self._before)
            self._before.clear()
        else:
            self._frames.append(frame)
        self._loud += loud
        self._quiet = 0 if loud else self._quiet + 1
        return self.end() if self._quiet >= QUIET or len(self._frames) >= LONGEST else None

    def end(self) -> bytes | None:
        """The utterance under way, when the audio ends within it."""
        frames, enough = self._frames, self._loud >= SHORTEST
        self._frames, self._loud, self._quiet = [], 0, 0
        return b"".join(frames) if enough else None


def _rms(frame: bytes) -> float:
    samples = np.frombuffer(frame, "<i2").astype(np.float32)
    return float(np.sqrt(np.mean(samples * samples)))
