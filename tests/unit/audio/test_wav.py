"""WAV files: reading what clients send, writing, mending."""

from __future__ import annotations

import os
import stat
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wavfile import RAMP, chunk, fmt, killed, riff
from vsi_esl.audio import MediaError, wav

GUID = wav.GUID_TAIL


def refused(data: bytes) -> str:
    with pytest.raises(MediaError) as caught:
        wav.decode_wav(data)
    return caught.value.message


# -- reading --


def test_pcm():
    rate, samples = wav.decode_wav(riff(fmt(), chunk(b"data", RAMP.tobytes())))
    assert rate == 8000
    assert samples.dtype == np.int16
    assert (samples == RAMP).all()


def test_stereo_is_averaged_without_overflow():
    pairs = np.array([[32767, 32767], [-32768, -32768], [100, -100], [1, 3], [1, 2]], dtype=np.int16)
    _, samples = wav.decode_wav(riff(fmt(channels=2), chunk(b"data", pairs.tobytes())))
    assert samples.tolist() == [32767, -32768, 0, 2, 1]


# from the tables of ITU-T G.711
@pytest.mark.parametrize(
    ("kind", "code", "value"),
    [
        (6, 0xD5, 8),
        (6, 0x55, -8),
        (6, 0xAA, 32256),
        (6, 0x2A, -32256),
        (6, 0xC5, 264),
        (6, 0xF5, 528),
        (7, 0xFF, 0),
        (7, 0x7F, 0),
        (7, 0x80, 32124),
        (7, 0x00, -32124),
        (7, 0xFE, 8),
        (7, 0xEF, 132),
    ],
)
def test_g711(kind, code, value):
    _, samples = wav.decode_wav(riff(fmt(kind, bits=8), chunk(b"data", bytes([code]))))
    assert samples.tolist() == [value]


@pytest.mark.parametrize("table", [wav.ALAW_TABLE, wav.MULAW_TABLE])
def test_g711_is_symmetric(table):
    assert sorted(table[:128].tolist()) == sorted((-table[128:]).tolist())


def test_g711_stereo():
    data = bytes([0xD5, 0x55, 0xAA, 0xAA])
    assert wav.decode_wav(riff(fmt(6, 2, bits=8), chunk(b"data", data)))[1].tolist() == [0, 32256]


@pytest.mark.parametrize("kind", [1, 6, 7])
def test_extensible(kind):
    bits = 16 if kind == 1 else 8
    more = struct.pack("<HHIH", 22, bits, 4, kind) + GUID
    _, samples = wav.decode_wav(riff(fmt(0xFFFE, bits=bits, more=more), chunk(b"data", b"\xd5" * 4)))
    assert len(samples) == 32 // bits


def test_chunks_before_the_data_may_have_any_order_and_odd_lengths():
    noise = chunk(b"LIST", b"odd") + chunk(b"junk", b"")
    _, samples = wav.decode_wav(riff(noise, fmt(), noise, chunk(b"data", RAMP.tobytes()), noise))
    assert (samples == RAMP).all()


@pytest.mark.parametrize("declared", [0, 5000, 0xFFFFFFFF])
def test_a_data_length_that_lies(declared):
    data = b"RIFF\0\0\0\0WAVE" + fmt() + b"data" + struct.pack("<I", declared) + RAMP.tobytes() + b"x"
    assert (wav.decode_wav(data)[1] == RAMP).all()


def test_no_audio():
    assert len(wav.decode_wav(riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"abcd")))[1]) == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a valid WAV file"),
        (b"RIFF\0\0\0\0WAVX" + fmt(), "not a valid WAV file"),
        (riff(fmt()), "not a valid WAV file"),
        (riff(chunk(b"data", b"1234")), "not a valid WAV file"),
        (riff(chunk(b"fmt ", b"short"), chunk(b"data", b"1234")), "not a valid WAV file"),
        (
            riff(fmt(3, bits=32), chunk(b"data", b"1234")),
            "unsupported WAV format: 3 (supported: PCM=1, A-law=6, mu-law=7)",
        ),
        (
            riff(fmt(0xFFFE), chunk(b"data", b"1234")),
            "unsupported WAV format: 65534 (supported: PCM=1, A-law=6, mu-law=7)",
        ),
        (
            riff(fmt(bits=24), chunk(b"data", b"1234")),
            "unsupported PCM bits per sample: 24 (only 16-bit supported)",
        ),
        (riff(fmt(channels=3), chunk(b"data", b"1234")), "unsupported channel count: 3"),
        (riff(fmt(channels=0), chunk(b"data", b"1234")), "unsupported channel count: 0"),
        (riff(fmt(rate=7999), chunk(b"data", b"1234")), "unsupported sample rate: 7999"),
        (riff(fmt(rate=192001), chunk(b"data", b"1234")), "unsupported sample rate: 192001"),
        (riff(fmt(rate=0), chunk(b"data", b"1234")), "unsupported sample rate: 0"),
    ],
)
def test_refusals(data, message):
    assert refused(data) == message


def test_a_file_of_nothing_but_chunks_ends():
    assert refused(riff(chunk(b"junk", b"") * 100_000)) == "not a valid WAV file"


WHOLE = riff(chunk(b"LIST", b"odd"), fmt(channels=2), chunk(b"data", RAMP.tobytes()))


@settings(max_examples=400)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=200).map(lambda tail: b"RIFF\0\0\0\0WAVE" + tail),
        st.integers(0, len(WHOLE)).map(lambda length: WHOLE[:length]),
        st.tuples(st.integers(0, 80), st.binary(min_size=1, max_size=8)).map(
            lambda change: WHOLE[: change[0]] + change[1] + WHOLE[change[0] + len(change[1]) :]
        ),
    )
)
def test_arbitrary_bytes_give_samples_or_an_error(data):
    try:
        rate, samples = wav.decode_wav(data)
    except MediaError:
        return
    assert 8000 <= rate <= 192_000
    assert len(samples) <= len(data)


# -- writing --


def test_what_is_written_is_read(tmp_path):
    path = str(tmp_path / "a.wav")
    old = os.umask(0o077)
    try:
        wav.write_wav(path, 16000, RAMP)
    finally:
        os.umask(old)
    assert os.listdir(tmp_path) == ["a.wav"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    info = wav.read_info(path)
    assert info == wav.WavInfo(path, 16000, 1, 800, 44)
    assert info.duration_ms == 50
    assert (wav.read_samples(info) == RAMP).all()
    rate, samples = wav.decode_wav((tmp_path / "a.wav").read_bytes())
    assert rate == 16000
    assert (samples == RAMP).all()
    assert wav.intact(path)


@pytest.mark.parametrize(("length", "copies"), [(0, 3), (1, 200_001), (3, 7), (70_000, 3), (800, 1)])
def test_copies(tmp_path, length, copies):
    samples = np.arange(length, dtype=np.uint16).astype(np.int16)
    path = str(tmp_path / "a.wav")
    wav.write_wav(path, 8000, samples, copies)
    assert wav.intact(path)
    assert (wav.read_samples(wav.read_info(path)) == np.tile(samples, copies)).all()


def test_a_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "a.wav"
    (target / "occupied").mkdir(parents=True)
    with pytest.raises(OSError):
        wav.write_wav(str(target), 8000, RAMP)
    assert os.listdir(tmp_path) == ["a.wav"]


def test_more_than_4_gib_is_refused(tmp_path):
    with pytest.raises(MediaError, match="4 GiB"):
        wav.write_wav(str(tmp_path / "a.wav"), 8000, RAMP, 1 << 30)
    assert os.listdir(tmp_path) == []


# -- mending --


@pytest.mark.parametrize("channels", [1, 2, 10])
def test_a_killed_recorders_file(tmp_path, channels):
    path = tmp_path / "r.wav"
    path.write_bytes(killed(RAMP, channels=channels, extra=b"x"))
    before = wav.read_info(str(path))
    assert (before.frames, before.channels) == (800 // channels, channels)
    assert not wav.intact(str(path))
    assert wav.repair(str(path)) == before
    mended = path.read_bytes()
    assert struct.unpack_from("<I", mended, 4) == (len(mended) - 8,)
    assert struct.unpack_from("<I", mended, before.data_offset - 4) == (1600,)
    assert len(mended) == before.data_offset + 1600
    assert wav.intact(str(path))
    assert wav.repair(str(path)) == before
    assert path.read_bytes() == mended


def test_a_good_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "r.wav"
    path.write_bytes(riff(fmt(), chunk(b"data", RAMP.tobytes()), chunk(b"LIST", b"odd")))
    before = path.read_bytes()
    assert wav.repair(str(path)).frames == 800
    assert path.read_bytes() == before


def test_an_empty_recording_is_mended(tmp_path):
    path = tmp_path / "r.wav"
    path.write_bytes(killed(RAMP[:0]))
    assert wav.repair(str(path)).frames == 0
    assert wav.intact(str(path))


@pytest.mark.parametrize("data", [b"", killed(RAMP)[:20], b"no audio at all, just a text of some length" * 3])
@pytest.mark.parametrize("function", [wav.repair, wav.read_info])
def test_what_is_no_wav_is_not_touched(tmp_path, function, data):
    path = tmp_path / "r.wav"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="not a valid WAV file"):
        function(str(path))
    assert path.read_bytes() == data


@pytest.mark.parametrize("form", [fmt(6, bits=8), fmt(bits=24), fmt(channels=0), fmt(rate=0)])
def test_other_formats_are_no_recordings(tmp_path, form):
    path = tmp_path / "r.wav"
    path.write_bytes(riff(form, chunk(b"data", b"1234")))
    with pytest.raises(MediaError):
        wav.read_info(str(path))
    assert not wav.intact(str(path))


@given(cut=st.integers(0, 1700))
def test_a_recording_cut_anywhere_is_mended_or_refused(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "r.wav"
    size = path.write_bytes(killed(RAMP)[:cut])
    try:
        info = wav.repair(str(path))
    except MediaError:
        assert cut < wav.HEADER_LENGTH + 30
        return
    assert info.frames == (size - info.data_offset) // 2
    assert wav.intact(str(path))
