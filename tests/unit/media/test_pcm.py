"""Audio from one rate to another: nothing is lost, and it comes as it goes in."""

from __future__ import annotations

import numpy as np
import pytest

from vsi_esl.media.pcm import Framer, Resampler, bytes_of_frame

RATES = [(8000, 16000), (16000, 8000), (48000, 16000), (16000, 48000), (24000, 16000)]


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_what_is_heard_is_not_kept_back(rate, to):
    """A call is late by all that is kept back, and uneven by what then comes at once."""
    framer = Framer(rate, to)
    silence, sound = bytes(bytes_of_frame(rate)), b"\x00\x30" * (rate // 50)
    waiting = 0
    for number in range(200):
        waiting += 1 - len(framer.feed(silence))
        if number > 10:
            assert waiting <= 3, "frames that went in and did not come out"
    came = [np.abs(np.frombuffer(b"".join(framer.feed(sound)), np.int16)).max(initial=0) for _ in range(5)]
    assert max(came[:3]) > 6000, "within 60 ms"


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_nothing_is_lost_and_a_tone_is_the_same(rate, to):
    tone = (10_000 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)).astype(np.int16)
    stream = Resampler(rate, to)
    pieces = [stream.feed(tone[at : at + rate // 50].tobytes()) for at in range(0, rate, rate // 50)]
    said = np.frombuffer(b"".join(pieces) + stream.rest(), np.int16)
    assert len(said) == to
    spectrum = np.abs(np.fft.rfft(said[to // 4 : to // 4 * 3] * np.hanning(to // 2))) ** 2
    peak = int(spectrum.argmax())
    assert peak == 500, "of 2 Hz each"
    loud = spectrum[peak - 4 : peak + 5].sum()
    assert loud / (spectrum.sum() - loud) > 10**7
