"""Samples in pieces of any length, at any rate, with a header or without."""

from __future__ import annotations

import pytest

from vsi_esl.providers.samples import LONGEST_HEADER, NotAudio, Samples, WavSamples

from .ttssupport import PCM, loudest_hz, sine, wav


def fed(samples: Samples | WavSamples, data: bytes, size: int) -> bytes:
    got = [samples.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert all(len(piece) % 2 == 0 for piece in got)
    return b"".join([*got, samples.rest()])


@pytest.mark.parametrize("size", [1, 3, 640, 1 << 20])
def test_pieces_become_whole_samples(size):
    assert fed(Samples(), PCM, size) == PCM


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 48000])
def test_any_rate_becomes_ours(rate):
    pcm = fed(Samples(rate), sine(440, rate, 1.0), 777)
    assert abs(len(pcm) - 32000) <= 4 and abs(loudest_hz(pcm) - 440) < 2


@pytest.mark.parametrize("size", [1, 7, 44, 1 << 20])
def test_a_header_is_taken_off(size):
    assert fed(WavSamples(), wav(PCM), size) == PCM
    assert fed(WavSamples(), wav(PCM, extra=b"odd"), size) == PCM
    assert fed(WavSamples(), wav(PCM) + b"LIST\4\0\0\0tail", size) == PCM
    assert fed(WavSamples(), PCM, size) == PCM
    assert abs(loudest_hz(fed(WavSamples(), wav(sine(440, 22050, 1.0), 22050), size)) - 440) < 2


def test_a_header_that_was_written_before_the_length_was_known():
    for length in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        data = wav(PCM)
        assert fed(WavSamples(), data[:40] + length + data[44:], 1000) == PCM


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (wav(PCM, channels=2), "a WAV file of format 1, 2 channels, 16 bits, 16000 Hz"),
        (wav(PCM, rate=1), "a WAV file of format 1, 1 channels, 16 bits, 1 Hz"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", "a WAV file without a format"),
        (b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\0" + bytes(LONGEST_HEADER), "a WAV file without samples"),
    ],
)
def test_other_files_are_not_heard(data, text):
    with pytest.raises(NotAudio, match=text):
        fed(WavSamples(), data, 1 << 20)
