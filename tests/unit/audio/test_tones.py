"""The 41 tones: frequencies, cadence, loudness, loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from vsi_esl.audio import MediaError
from vsi_esl.audio.tones import TONES, find, render

RATE = 8000


def envelope(samples: np.ndarray, window_ms: int = 5) -> np.ndarray:
    """The loudest sample of every window."""
    width = RATE * window_ms // 1000
    return np.abs(samples[: len(samples) // width * width].astype(int)).reshape(-1, width).max(axis=1)


def test_there_are_41():
    assert len(TONES) == 41
    assert [name for name in TONES if name.startswith("pl_")] == ["pl_ringback"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("us_dial", "us_dial"),
        ("  Busy\n", "us_busy"),
        ("ringback", "us_ringback"),
        ("uk_Congestion", "gb_congestion"),
        ("PL_RINGBACK", "pl_ringback"),
    ],
)
def test_names(name, found):
    assert find(name).name == found


@pytest.mark.parametrize("name", ["", "pl_busy", "uk", "xx_busy", "us_", "uk_uk_busy"])
def test_unknown_names(name):
    with pytest.raises(MediaError) as caught:
        find(name)
    available = ", ".join(sorted(TONES))
    assert caught.value.message == f'unknown tone "{name}", available: {available}'


@pytest.mark.parametrize("name", TONES)
def test_frequencies(name):
    tone = TONES[name]
    on_ms = tone.cadence[0] if tone.cadence else 1000
    samples = render(tone, RATE, 1)[: on_ms * RATE // 1000] / 32768
    size = 1 << 17
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size))
    hertz = np.arange(len(spectrum)) * RATE / size
    for expected in tone.frequencies:
        near = np.abs(hertz - expected) < 12
        peak = hertz[near][np.argmax(spectrum[near])]
        assert abs(peak - expected) < expected * 0.01
        assert spectrum[near].max() > 0.5 * spectrum.max()
    reach = tone.modulation + 4000 / on_ms + 1
    far = np.all([np.abs(hertz - each) > reach for each in tone.frequencies], axis=0)
    assert spectrum[far].max() < 0.1 * spectrum.max()


@pytest.mark.parametrize("name", TONES)
def test_cadence(name):
    tone = TONES[name]
    samples = render(tone, RATE, 1)
    loud = envelope(samples) > 0
    if tone.modulation:  # it is silent for an instant sixteen times a second
        loud = np.convolve(loud, np.ones(3), mode="same") > 0
    if not tone.cadence:
        assert loud.all()
        return
    edges = (np.flatnonzero(np.diff(loud.astype(int))) + 1) * 5
    expected = list(itertools.accumulate(itertools.islice(itertools.cycle(tone.cadence), len(edges))))
    assert len(edges) == len(samples) * 1000 // RATE // sum(tone.cadence) * len(tone.cadence) - 1
    assert np.abs(edges - np.array(expected)).max() <= 20


@pytest.mark.parametrize("name", TONES)
def test_loudness_and_ramps(name):
    tone = TONES[name]
    samples = render(tone, RATE, 1).astype(int)
    assert 0.9 * 23000 < np.abs(samples).max() <= 23000
    # no step larger than a full-scale sine of the highest frequency makes, at the loop's seam neither
    steepest = 23000 * 2 * math.pi * (max(tone.frequencies) + tone.modulation) / RATE * 1.1
    steps = np.abs(np.diff(np.append(samples, samples[0])))
    assert steps.max() <= steepest


@pytest.mark.parametrize("name", TONES)
def test_loops(name):
    tone = TONES[name]
    samples = render(tone, RATE, 3)
    milliseconds = len(samples) * 1000 // RATE
    assert milliseconds >= 3000
    assert milliseconds % 1000 == 0
    assert milliseconds % (sum(tone.cadence) or 1) == 0
    time = np.arange(len(samples), len(samples) + 5 * RATE // 1000) / RATE
    wave = np.mean([np.sin(2 * np.pi * hertz * time) for hertz in tone.frequencies], axis=0)
    wave *= 0.5 + 0.5 * np.sin(2 * np.pi * tone.modulation * time) if tone.modulation else 1
    skip = 2 * RATE // 1000 if tone.cadence else 0
    assert np.abs(wave * 23000 - samples[: len(time)])[skip:].max() < 2


def test_modulation_goes_down_to_silence():
    tone = TONES["jp_ringback"]
    loudness = envelope(render(tone, RATE, 1)[: RATE * 9 // 10])
    assert loudness.min() < 1500
    assert loudness.max() > 20000
    quiet = loudness < 6000
    assert 13 <= np.count_nonzero(np.diff(quiet.astype(int)) == 1) <= 15


def test_length_and_rate():
    assert len(render(TONES["us_dial"])) == 600 * 8000
    assert len(render(TONES["ru_busy"], 16000, 600)) == 602 * 16000
    assert render(TONES["us_dial"], 8000, 1).dtype == np.int16
