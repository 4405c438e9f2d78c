"""Where a companion does something: in its directories, and what services hold of its spool."""

from __future__ import annotations

import gevent
import pytest

from tests.support.waiting import eventually
from vsi_esl.audio.spool import Clip
from vsi_esl.companion import held
from vsi_esl.companion.held import Held
from vsi_esl.companion.places import Places
from vsi_esl.model.recording import Part, Recording, Track
from vsi_esl.wire.server import Failed


@pytest.fixture
def places(tmp_path):
    for name in ("recordings", "spool", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "recordings" / "out").symlink_to(tmp_path / "elsewhere")
    return Places(str(tmp_path / "recordings"), str(tmp_path / "spool"))


def test_what_is_in_the_directory_of_recordings_may_be_touched(places):
    places.check([places.recordings, f"{places.recordings}/a.wav", f"{places.recordings}/new/b.wav"])


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "a.wav",
        "",
        "{r}/../spool/a.wav",
        "{r}/out/a.wav",
        "{r}x/a.wav",
        "{r}/a\0b",
        "{r}/../recordings2",
    ],
)
def test_nothing_else_may(places, path):
    with pytest.raises(Failed, match=r"is not in the recording\.dir") as failed:
        places.check([f"{places.recordings}/a.wav", path.format(r=places.recordings)])
    assert failed.value.kind == "outside"


@pytest.mark.parametrize("member", ["file", "part", "track", "multi_file", "multi_part"])
def test_every_file_of_a_recording_is_looked_at(places, member):
    inside, outside = f"{places.recordings}/a.wav", "/etc/passwd"
    recording = Recording("rec-1", inside, 8000, parts=[Part(inside)], tracks=[Track("l", 0, inside, 0)])
    places.check_recording(recording)
    match member:
        case "part":
            recording.parts.append(Part(outside))
        case "track":
            recording.tracks.append(Track("m", 1, outside, 0))
        case _:
            setattr(recording, member, outside)
    with pytest.raises(Failed):
        places.check_recording(recording)


def test_files_of_the_spool_are_known_by_their_names(places):
    assert places.in_spool(f"{places.spool}/a.wav")
    for path in (f"{places.spool}/../a.wav", f"{places.spool}/x/a.wav", "/etc/passwd", places.spool, 7, None):
        assert not places.in_spool(path)


class Pins:
    """In the place of the host: what is held, and how often."""

    def __init__(self) -> None:
        self.held: list[str] = []

    def hold(self, clip):
        self.held.append(clip.path)

    def release(self, path):
        self.held.remove(path)


def test_what_a_service_holds_is_held_once_however_often_it_says_so(places):
    pins = Pins()
    one = Held(pins, places)
    a, b = f"{places.spool}/a.wav", f"{places.spool}/b.wav"
    for path in (a, a, "/etc/passwd", None):
        one.hold("s", path)
    assert pins.held == [a]
    one.all_of("s", [a, b])
    assert sorted(pins.held) == [a, b]
    for path in (b, b, "/etc/passwd"):
        one.release("s", path)
    assert pins.held == [a]


def test_a_service_that_is_gone_keeps_its_files_for_a_while(places, monkeypatch):
    monkeypatch.setattr(held, "LEFT_S", 0.02)
    pins = Pins()
    one = Held(pins, places)
    a = f"{places.spool}/a.wav"
    one.hold("s", a)
    one.left("s")
    one.left("s")
    one.all_of("s", [a])
    gevent.idle()
    assert pins.held == [a] and not one._leaving
    one.left("s")
    eventually(lambda: not pins.held, "it did not come back")
    one.for_a_while(Clip(a, 0, None, False), 0.01)
    assert pins.held == [a]
    eventually(lambda: not pins.held, "nobody held it")


def test_no_more_files_than_there_may_be(places, monkeypatch):
    monkeypatch.setattr(held, "MOST", 2)
    pins = Pins()
    one = Held(pins, places)
    for number in range(4):
        one.hold("s", f"{places.spool}/{number}.wav")
    assert len(pins.held) == 2
