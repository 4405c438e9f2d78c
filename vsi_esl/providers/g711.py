"""Mu-law, as telephony has it (ITU-T G.711): 8,000 bytes a second."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 8000
_BIAS = 0x84
_CLIP = 32635


@cache
def _decoded() -> NDArray[np.int16]:
    """What each byte stands for."""
    code = ~np.arange(256) & 0xFF
    size = ((((code & 15) << 3) + _BIAS) << ((code >> 4) & 7)) - _BIAS
    return np.asarray(np.where(code & 0x80, -size, size), np.int16)


@cache
def _encoded() -> NDArray[np.uint8]:
    """The byte for each sample, by its 16 bits."""
    sample = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    size = np.minimum(np.abs(sample), _CLIP) + _BIAS
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    mantissa = (size >> (exponent + 3)) & 15
    code = (exponent << 4) | mantissa | np.where(sample < 0, 0x80, 0)
    return np.asarray(~code & 0xFF, np.uint8)


def decode(data: bytes) -> bytes:
    """16-bit little endian samples of mu-law."""
    return _bytes(_decoded()[np.frombuffer(data, np.uint8)].astype("<i2"))


def encode(pcm: bytes) -> bytes:
    """Mu-law of 16-bit little endian samples."""
    return _bytes(_encoded()[np.frombuffer(pcm, "<u2")])


def _bytes(samples: NDArray[Any]) -> bytes:
    return samples.tobytes()
