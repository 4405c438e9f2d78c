"""The file of a recording, made of what the switch wrote."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from vsi_esl.model.recording import CLOSING, Part, Recording
from vsi_esl.sound.host import files

RATE = 8000
BEGAN = 1000.0


def written(path: Path, ms: int) -> None:
    """A stereo file as the switch leaves one; none for no frames, which it removes."""
    if ms:
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, RATE, 0, "NONE", ""))
            file.writeframes(b"\1\1" * 2 * (RATE * ms // 1000))


@pytest.mark.parametrize("behind_ms", [0, 20, 500])
@pytest.mark.parametrize(
    ("starts", "held", "lengths"),
    [
        ([0], [[24, 1641]], [24]),
        ([0], [[0, 1641]], [0]),
        # the file was begun anew when the leg was about to be held again
        ([0, 1750], [[24, 1641], [1699, 3323]], [120, 0]),
        ([0, 1750], [[24, 1641], [1760, 3323]], [140, 0]),
        ([0, 1750, 1800], [[1699, 3323]], [1699, 0, 0]),
    ],
)
def test_a_hold_to_the_end_of_a_file_without_frames_is_kept(tmp_path, starts, held, lengths, behind_ms):
    recording = Recording("rec-1", str(tmp_path / "r.wav"), RATE, leg_id="l", started_at=BEGAN, state=CLOSING)
    for number, start in enumerate(starts):
        skip = 60 if number else 0
        recording.parts.append(Part(str(tmp_path / f".part{number}.wav"), start, skip))
        tail = behind_ms + skip if number == len(starts) - 1 and behind_ms else 0
        written(tmp_path / f".part{number}.wav", lengths[number] + tail)
    recording.held = [list(one) for one in held]
    end_ms = held[-1][1] + behind_ms
    recording.stopped_at = BEGAN + end_ms / 1000
    result = files.publish(recording)
    assert result.error == ""
    with wave.open(recording.file) as file:
        assert file.getnframes() * 1000 / RATE == pytest.approx(end_ms, abs=130)


@pytest.mark.parametrize(("ms", "error"), [(0, "recording incomplete: nothing was written"), (300, "")])
def test_a_recording_that_ended_unseen_says_so_when_nothing_is_in_it(tmp_path, ms, error):
    """As where the switch was killed: how much there was to record, nobody knows."""
    recording = Recording("rec-1", str(tmp_path / "r.wav"), RATE, leg_id="l", started_at=BEGAN, state=CLOSING)
    recording.parts.append(Part(str(tmp_path / ".part0.wav"), 0, 0))
    written(tmp_path / ".part0.wav", ms)
    assert (files.publish(recording).error, Path(recording.file).exists()) == (error, True)
