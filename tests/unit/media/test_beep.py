"""Which sounds are a beep."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vsi_esl.media.beep import FREQUENCIES, Beep, is_tonal

RATE, SIZE = 16000, 320
NOISE = np.random.default_rng(7)


def tone(frequency: float, amplitude: float = 8000, count: int = SIZE, start: int = 0) -> np.ndarray:
    return amplitude * np.sin((start + np.arange(count)) * 2 * np.pi * frequency / RATE)


def pcm(samples: np.ndarray) -> bytes:
    return samples.round().astype("<i2").tobytes()


def heard(sound: np.ndarray) -> int:
    """How many frames it took; 0 when there was no beep."""
    beep = Beep()
    for number, at in enumerate(range(0, len(sound), SIZE), 1):
        if beep.hear(pcm(sound[at : at + SIZE])):
            return number
    return 0


@pytest.mark.parametrize("frequency", [800, 850, 940, 1000, 1024, 1180, 1200])
def test_a_tone_is_a_beep_in_its_fourth_frame(frequency):
    assert heard(tone(frequency, count=4 * SIZE)) == 4
    assert heard(tone(frequency, count=3 * SIZE)) == 0


@pytest.mark.parametrize("frequency", [350, 440, 600, 740, 1260, 1400, 2000])
def test_a_tone_beside_the_band_is_none(frequency):
    assert heard(tone(frequency, count=20 * SIZE)) == 0


def test_neither_is_silence_nor_noise():
    assert heard(np.zeros(20 * SIZE)) == 0
    assert heard(NOISE.normal(0, 2000, 50 * SIZE)) == 0


def test_a_quiet_beep_is_one():
    assert heard(tone(1000, amplitude=30, count=4 * SIZE)) == 4


def test_the_frames_are_in_a_row():
    gap = np.zeros(SIZE)
    three = tone(1000, count=3 * SIZE)
    assert heard(np.concatenate([three, gap, three, gap])) == 0
    assert heard(np.concatenate([three, gap, three, tone(1000)])) == 8


def test_a_beep_in_noise_counts_by_its_share_of_the_energy():
    """The strongest frequency of a pure tone has half of the energy: another tone beside the band, of 1.5
    times its energy, leaves it 0.2."""
    beside = tone(3000, amplitude=8000 * math.sqrt(1.45))
    assert is_tonal(pcm(tone(1000) + beside))
    beside = tone(3000, amplitude=8000 * math.sqrt(1.55))
    assert not is_tonal(pcm(tone(1000) + beside))


def test_the_shares_are_those_of_goertzels_recursion():
    for _ in range(50):
        samples = NOISE.normal(0, 500, SIZE) + tone(NOISE.uniform(700, 1300), amplitude=NOISE.uniform(0, 900))
        samples = samples.round()
        strongest = max(goertzel(samples, frequency) for frequency in FREQUENCIES)
        share = strongest / SIZE / float(samples @ samples)
        assert is_tonal(pcm(samples)) is (share >= 0.2)


def goertzel(samples: np.ndarray, frequency: float) -> float:
    turns = round(len(samples) * frequency / RATE)
    factor = 2 * math.cos(2 * math.pi * turns / len(samples))
    before = last = 0.0
    for sample in samples:
        before, last = last, float(sample) + factor * last - before
    return last * last + before * before - factor * last * before
