"""Choice of the format, raw PCM, MP3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wavfile import RAMP, chunk, fmt, riff
from vsi_esl.audio import MediaError
from vsi_esl.audio.decode import Kind, decode, kind_of

DATA = Path(__file__).parents[2] / "data"
MP3 = (DATA / "tone-1000hz-16k.mp3").read_bytes()
MP3_STEREO = (DATA / "tone-1000hz-16k-stereo.mp3").read_bytes()
WAV = riff(fmt(), chunk(b"data", RAMP.tobytes()))
URL = "http://h/audio"


@pytest.mark.parametrize(
    ("data", "url", "mime_type", "content_type", "kind"),
    [
        (WAV, URL, "audio/pcm", "", Kind("pcm", 16000)),
        (WAV, URL, "audio/L16; channels=1; Rate=8000", "", Kind("pcm", 8000)),
        (WAV, URL, "audio/l16;rate=fast", "", Kind("pcm", 16000)),
        (WAV, URL + ".wav", " Audio/MPEG ", "", Kind("mp3")),
        (WAV, URL, "audio/mp3", "", Kind("mp3")),
        (MP3, URL + ".mp3", "audio/wav", "", Kind("wav")),
        (MP3, URL, "audio/x-wav", "", Kind("wav")),
        (MP3, URL, "audio/wave", "", Kind("wav")),
        (WAV, URL + ".MP3?a=b.wav", "audio/ogg", "", Kind("mp3")),
        (MP3, URL + ".wav#x.mp3", "", "audio/mpeg", Kind("wav")),
        (MP3, "http://h/?f=a.wav", "", "", Kind("mp3")),
        (MP3, "http://[/a.wav", "", "", Kind("mp3")),
        (WAV, URL, "", "audio/mpeg", Kind("wav")),
        (b"ID3\x04", URL, "", "audio/wav", Kind("mp3")),
        (b"\xff\xfb\x90", URL, "", "", Kind("mp3")),
        (b"\xff\xf1\x90", URL, "", "", Kind("wav")),  # AAC
        (b"????", URL, "nonsense", "audio/mpeg; x=y", Kind("mp3")),
        (b"????", URL, "", "audio/l16;rate=24000", Kind("pcm", 24000)),
        (b"????", URL, "", "application/octet-stream", Kind("wav")),
        (b"", URL, "", "", Kind("wav")),
    ],
)
def test_choice(data, url, mime_type, content_type, kind):
    assert kind_of(data, url, mime_type, content_type) == kind


def test_raw_pcm():
    rate, samples = decode(RAMP.tobytes() + b"x", URL, "audio/l16;rate=8000", "")
    assert rate == 8000
    assert (samples == RAMP).all()


@pytest.mark.parametrize("rate", [0, 4000, 500_000])
def test_raw_pcm_of_a_strange_rate(rate):
    with pytest.raises(MediaError, match=f"^unsupported sample rate: {rate}$"):
        decode(b"1234", URL, f"audio/pcm;rate={rate}", "")


def test_wav():
    rate, samples = decode(WAV, URL, "", "")
    assert rate == 8000
    assert (samples == RAMP).all()


@pytest.mark.parametrize("data", [MP3, MP3_STEREO])
def test_mp3(data):
    rate, samples = decode(data, URL, "", "")
    assert (rate, samples.dtype) == (16000, np.int16)
    assert 1.0 <= len(samples) / rate <= 1.15  # an encoder adds some silence
    spectrum = np.abs(np.fft.rfft(samples[4000:12000]))
    assert abs(np.argmax(spectrum) * 2 - 1000) < 10
    assert 8500 < np.abs(samples[4000:12000].astype(int)).max() < 11500


@pytest.mark.parametrize("data", [b"", b"no music", b"ID3", MP3[:30], b"\xff\xfb" * 50, WAV])
def test_what_is_no_mp3(data):
    with pytest.raises(MediaError, match=r"^mp3 decode: "):
        decode(data, URL, "audio/mpeg", "")


@pytest.mark.parametrize(
    ("data", "kind"), [(MP3, "audio/mp3"), (WAV, "audio/wav"), (b"12" * 999, "audio/pcm")]
)
def test_too_long(data, kind):
    with pytest.raises(MediaError, match=r"^audio longer than 0\.05 s$"):
        decode(data, URL, kind, "", max_seconds=0.05)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(MP3)), st.binary(max_size=40), st.integers(0, len(MP3)))
def test_damaged_mp3(at, noise, length):
    data = (MP3[:at] + noise + MP3[at + len(noise) :])[:length]
    try:
        rate, samples = decode(data, URL, "audio/mpeg", "")
    except MediaError as error:
        assert error.message.startswith(("mp3 decode: ", "unsupported sample rate"))
        return
    assert rate >= 8000
    assert len(samples) > 0
