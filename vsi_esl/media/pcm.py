"""Mono 16-bit audio: from one rate to another without losing a sample, cut into frames, louder."""

from __future__ import annotations

import numpy as np
import soxr

from .tasks import FRAME_MS, TASK_RATE

QUALITY = "HQ"
"""Of soxr. It keeps up to 40 ms back, which `Resampler.rest` gives out."""
IN_BLOCKS = ({8000, 16000},)
"""Between these rates soxr works in blocks of 104 ms: the first sample of one is as late. Its other way, for
rates that vary, gives what comes as it comes, for 4 to 13 us a frame more; of 48 kHz it would be 100."""


def bytes_of_frame(rate: int) -> int:
    """Of 20 ms."""
    return rate * FRAME_MS // 1000 * 2


class Resampler:
    """A stream from one rate to another. Pieces have whole samples."""

    def __init__(self, rate: int, to: int) -> None:
        self._stream = soxr.ResampleStream(
            rate, to, 1, dtype="int16", quality=QUALITY, vr={rate, to} in IN_BLOCKS
        )

    def feed(self, pcm: bytes | memoryview) -> bytes:
        changed: bytes = self._stream.resample_chunk(np.frombuffer(pcm, np.int16)).tobytes()
        return changed

    def rest(self) -> bytes:
        """What is kept back; the stream is at its end."""
        changed: bytes = self._stream.resample_chunk(np.empty(0, np.int16), last=True).tobytes()
        return changed


class Framer:
    """Audio that comes in pieces of any length, odd ones too, in frames of 20 ms at the rate `to`."""

    def __init__(self, rate: int, to: int = TASK_RATE) -> None:
        self._resampler = None if rate == to else Resampler(rate, to)
        self._bytes = bytes_of_frame(to)
        self._odd = b""
        self._waiting = b""

    def feed(self, pcm: bytes) -> list[bytes]:
        """The frames that are complete now."""
        if self._resampler is not None:
            pcm = self._odd + pcm if self._odd else pcm
            whole = len(pcm) & ~1
            self._odd = pcm[whole:]
            pcm = self._resampler.feed(pcm[:whole])
        elif len(pcm) == self._bytes and not self._waiting:
            return [pcm]
        pcm = self._waiting + pcm
        whole = len(pcm) // self._bytes * self._bytes
        self._waiting = pcm[whole:]
        return [pcm[at : at + self._bytes] for at in range(0, whole, self._bytes)]


def louder(pcm: bytes, factor: float) -> bytes:
    """Multiplied; what does not fit is clipped."""
    samples = np.frombuffer(pcm, np.int16) * np.float32(factor)
    clipped: bytes = np.clip(samples, -32768, 32767).astype(np.int16).tobytes()
    return clipped
