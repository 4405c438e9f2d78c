"""The beep behind which a machine records: a tone between 800 and 1,200 Hz, for 80 ms at least.

Frames of 20 ms come in, mono 16-bit little endian at 16 kHz.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from .tasks import TASK_RATE

FREQUENCIES = range(800, 1201, 50)
TONAL_SHARE = 0.2
"""Of a frame's energy, in the strongest of the frequencies."""
TONAL_FRAMES = 4
"""In a row that are a beep."""


class Beep:
    """Whether there was one."""

    def __init__(self) -> None:
        self._tonal = 0

    def hear(self, frame: bytes) -> bool:
        """Take one frame; whether it completes a beep."""
        self._tonal = self._tonal + 1 if is_tonal(frame) else 0
        return self._tonal >= TONAL_FRAMES


def is_tonal(frame: bytes) -> bool:
    """Whether much of the frame's energy is in one of the frequencies."""
    samples = np.frombuffer(frame, "<i2").astype(np.float64)
    energy = float(samples @ samples)
    if not energy:
        return False
    # what Goertzel's recursion gives for each of them, all at once
    parts = _waves(len(samples)) @ samples
    strongest = float((parts.real**2 + parts.imag**2).max())
    return strongest / len(samples) >= TONAL_SHARE * energy


@cache
def _waves(length: int) -> npt.NDArray[np.complex128]:
    """One turn of each frequency a row, at the nearest that has whole turns in a frame of this length."""
    turns = np.round(np.array(FREQUENCIES) * length / TASK_RATE)
    waves: npt.NDArray[np.complex128] = np.exp(-2j * np.pi * np.outer(turns, np.arange(length)) / length)
    return waves
