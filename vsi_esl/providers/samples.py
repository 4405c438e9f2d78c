"""Audio as providers send it, made what is heard: mono, 16 bit, little endian at `RATE`."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import soxr

from .base import RATE

LONGEST_HEADER = 1 << 16
"""Bytes before the samples of a WAV file."""
PCM, EXTENSIBLE = 1, 0xFFFE
ENDLESS = 1 << 62


class NotAudio(ValueError):
    """What came is not what was asked for; the text says what it is."""


class Samples:
    """A stream of them in pieces of any length, at any rate."""

    def __init__(self, rate: int = RATE) -> None:
        self._odd = b""
        self._resampler: soxr.ResampleStream | None = None
        if rate != RATE:
            self._resampler = soxr.ResampleStream(rate, RATE, 1, dtype="int16")

    def feed(self, piece: bytes) -> bytes:
        """What is complete of it; perhaps nothing."""
        piece = self._odd + piece if self._odd else piece
        whole = len(piece) & ~1
        self._odd, piece = piece[whole:], piece[:whole]
        if self._resampler is None:
            return piece
        resampled: bytes = self._resampler.resample_chunk(np.frombuffer(piece, "<i2")).tobytes()
        return resampled

    def rest(self) -> bytes:
        """What was kept back, at the end."""
        if self._resampler is None:
            return b""
        last: bytes = self._resampler.resample_chunk(np.empty(0, np.int16), last=True).tobytes()
        return last


@dataclass(slots=True, frozen=True)
class _Header:
    rate: int
    size: int
    """Where the samples begin."""
    samples: int
    """How many bytes of them there are; a file that was written while it was read has more than there are."""


class WavSamples:
    """The same of a WAV file; one without a header is taken for samples at `RATE`."""

    def __init__(self) -> None:
        self._head = b""
        self._samples: Samples | None = None
        self._left = 0

    def feed(self, piece: bytes) -> bytes:
        """What is complete of it. NotAudio when it is a WAV file of another kind."""
        if self._samples is None:
            self._head += piece
            piece = self._begin()
        if self._samples is None:
            return b""
        piece = piece[: self._left]
        self._left -= len(piece)
        return self._samples.feed(piece)

    def _begin(self) -> bytes:
        """What there is of the samples, when the header is complete."""
        head = self._head
        if not b"RIFF".startswith(head[:4]):
            self._samples, self._left, self._head = Samples(), ENDLESS, b""
            return head
        header = _header(head)
        if header is None:
            if len(head) > LONGEST_HEADER:
                raise NotAudio("a WAV file without samples")
            return b""
        self._samples, self._left, self._head = Samples(header.rate), header.samples, b""
        return head[header.size :]

    def rest(self) -> bytes:
        """What was kept back, at the end."""
        return self._samples.rest() if self._samples is not None else b""


def _header(head: bytes) -> _Header | None:
    """The header of a WAV file; None when it is not complete. NotAudio for another format."""
    at, rate = 12, 0
    while at + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            if not rate:
                raise NotAudio("a WAV file without a format")
            return _Header(rate, at, size or ENDLESS)
        if name == b"fmt ":
            if at + 16 > len(head):
                return None
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head, at)
            if kind not in (PCM, EXTENSIBLE) or channels != 1 or bits != 16 or not 4000 <= rate <= 192000:
                raise NotAudio(f"a WAV file of format {kind}, {channels} channels, {bits} bits, {rate} Hz")
        at += size + (size & 1)
    return None
