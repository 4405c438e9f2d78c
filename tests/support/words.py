"""Words for callers to say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from vsi_esl.sandbox import speech


def spoken(text: str) -> tuple[npt.NDArray[np.int16], int]:
    """Samples of a text and their rate, as flite or espeak-ng speaks it; skips the test without either."""
    voice = speech.words(text)
    if voice is None:
        pytest.skip("nothing here can speak: install flite or espeak-ng")
    return voice.samples, voice.rate
