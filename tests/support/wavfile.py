"""WAV files byte by byte."""

from __future__ import annotations

import struct

import numpy as np

RAMP = np.arange(-400, 400, dtype=np.int16)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def fmt(kind: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, more: bytes = b"") -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits) + more)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def killed(samples: np.ndarray, *, channels: int = 1, extra: bytes = b"") -> bytes:
    """What a recorder leaves that is killed: no lengths."""
    listed = chunk(b"LIST", b"INFOISFT\x05\0\0\0hello\0")
    return b"RIFF\x08\0\0\0WAVE" + fmt(1, channels) + listed + b"data\0\0\0\0" + samples.tobytes() + extra
