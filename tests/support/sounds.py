"""What people and machines say, as samples at 8 kHz: tones in the place of speech."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE = 8000
FADE_S = 0.005


def tone(frequency: float, seconds: float, amplitude: float = 8000) -> npt.NDArray[np.int16]:
    """A tone, without clicks at its ends."""
    at = np.arange(round(seconds * RATE)) / RATE
    fade = np.clip(np.minimum(at, seconds - at) / FADE_S, 0, 1)
    return np.rint(amplitude * fade * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def silence(seconds: float) -> npt.NDArray[np.int16]:
    return np.zeros(round(seconds * RATE), np.int16)


def sequence(*parts: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """One after the other."""
    return np.concatenate(parts)
