"""Merging single recordings into one file of many channels."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.support.wavfile import killed
from vsi_esl.audio import MediaError, wav
from vsi_esl.audio.merge import Piece, merge

RATE = 8000


@pytest.fixture
def record(tmp_path):
    """Writes a piece of `frames` times the same sample."""

    def write(name: str, value: int, frames: int, rate: int = RATE) -> str:
        path = str(tmp_path / name)
        wav.write_wav(path, rate, np.full(frames, value, dtype=np.int16))
        return path

    return write


def merged(target: str, channels: int) -> np.ndarray:
    assert wav.intact(target)
    info = wav.read_info(target)
    assert info.channels == channels
    return np.fromfile(target, dtype="<i2", offset=info.data_offset).reshape(-1, channels)


def test_pieces_lie_where_they_belong(tmp_path, record):
    target = str(tmp_path / "out")
    pieces = [
        Piece(record("a", 1, 12 * RATE), 0, 0),  # longer than the recording: clipped
        Piece(record("b", 2, RATE), 2, 1250),
        Piece(record("c", 3, RATE), 2, 4000),
        Piece(record("d", 4, RATE), 1, 9_700),
        Piece(record("e", 5, RATE), 1, 20_000),
        Piece(record("f", 6, 0), 1, 0),
    ]
    assert merge(target, RATE, 4, 10_000, pieces) == []
    expected = np.zeros((10 * RATE, 4), dtype=np.int16)
    expected[:, 0] = 1
    expected[10_000:18_000, 2] = 2
    expected[32_000:40_000, 2] = 3
    expected[77_600:, 1] = 4
    assert (merged(target, 4) == expected).all()


@pytest.mark.parametrize("duration_ms", [0, 1, 499, 500, 501, 1733])
def test_the_length_is_exact(tmp_path, record, duration_ms):
    target = str(tmp_path / "out")
    assert merge(target, RATE, 2, duration_ms, [Piece(record("a", 1, 5 * RATE), 1, 0)]) == []
    audio = merged(target, 2)
    assert len(audio) == duration_ms * 8
    assert (audio[:, 1] == 1).all()
    assert not audio[:, 0].any()


def test_content_is_copied_exactly_across_blocks(tmp_path):
    rng = np.random.default_rng(1)
    samples = rng.integers(-32768, 32767, 3 * RATE, dtype=np.int16)
    wav.write_wav(str(tmp_path / "a"), RATE, samples)
    target = str(tmp_path / "out")
    merge(target, RATE, 1, 4000, [Piece(str(tmp_path / "a"), 0, 333)])
    audio = merged(target, 1)[:, 0]
    assert (audio[2664 : 2664 + 3 * RATE] == samples).all()


def test_a_start_before_the_recording(tmp_path, record):
    target = str(tmp_path / "out")
    merge(target, RATE, 1, 2000, [Piece(record("a", 7, RATE), 0, -500)])
    audio = merged(target, 1)[:, 0]
    assert (audio[:4000] == 7).all()
    assert not audio[4000:].any()


def test_the_later_of_two_pieces_is_heard(tmp_path, record):
    target = str(tmp_path / "out")
    merge(target, RATE, 1, 2000, [Piece(record("a", 2, RATE), 0, 500), Piece(record("b", 1, RATE), 0, 0)])
    audio = merged(target, 1)[:, 0]
    assert audio[3999] == 1
    assert audio[4001] == 2


def test_what_cannot_be_read_is_told(tmp_path, record):
    (tmp_path / "text").write_text("no audio")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "stereo").write_bytes(killed(np.ones(100, dtype=np.int16), channels=2))
    (tmp_path / "killed").write_bytes(killed(np.full(RATE, 9, dtype=np.int16), extra=b"x"))
    names = ["text", "gone", "killed", "empty", "stereo"]
    pieces = [Piece(str(tmp_path / name), 0, 0) for name in names]
    pieces += [Piece(record("other", 1, 100, rate=16000), 1, 0), Piece(record("good", 1, 100), 1, 0)]
    target = str(tmp_path / "out")
    assert merge(target, RATE, 2, 1000, pieces) == [0, 1, 3, 4, 5]
    audio = merged(target, 2)
    assert (audio[:, 0] == 9).all()
    assert (audio[:100, 1] == 1).all()


def test_too_large_a_file_is_not_begun(tmp_path):
    target = str(tmp_path / "out")
    with pytest.raises(MediaError, match=r"^merged file would exceed 4 GiB$"):
        merge(target, 48_000, 100, 500_000, [])
    assert not os.path.exists(target)


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_does_not_exist(tmp_path, channel):
    with pytest.raises(ValueError, match="channel"):
        merge(str(tmp_path / "out"), RATE, 2, 1000, [Piece("x", channel, 0)])


def test_few_files_are_open(tmp_path, record):
    pieces = [Piece(record(f"p{n}", n, RATE // 10), n, 0) for n in range(200)]
    target = str(tmp_path / "out")
    before = len(os.listdir("/proc/self/fd"))
    assert merge(target, RATE, 200, 100, pieces) == []
    assert len(os.listdir("/proc/self/fd")) == before
    assert (merged(target, 200)[0] == np.arange(200)).all()
