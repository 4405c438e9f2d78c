"""The recordings of the service, and how they are found."""

from __future__ import annotations

from vsi_esl.model.owner import of_leg, of_room
from vsi_esl.model.recording import CLOSING, REPORTED, RUNNING, Part, Recording
from vsi_esl.model.sound_stores import Recordings


def recording(number: int, **more) -> Recording:
    one = Recording(f"rec-{number:012x}", f"/r/{number}.wav", 8000, state=RUNNING, **more)
    one.parts.append(Part(one.part_of("part0")))
    return one


def test_they_are_found_by_leg_and_room():
    known = Recordings()
    old, new, other = recording(1, leg_id="a"), recording(2, leg_id="a"), recording(3, room_id="a")
    old.state = CLOSING
    for one in (old, new, other):
        known.add(one)
    assert known.running(of_leg("a")) is new
    assert known.running(of_room("a")) is other
    assert known.running(of_room("b")) is None
    assert known.unfinished(of_leg("a")) == [old, new]
    old.state = REPORTED
    assert known.unfinished(of_leg("a")) == [new]
    known.remove(new)
    assert known.running(of_leg("a")) is None
    assert list(known) == [old, other]


def test_a_name_is_taken_as_long_as_somebody_wants_it():
    known = Recordings()
    one = recording(1, room_id="r", multi_file="/r/multi.wav")
    known.add(one)
    assert known.uses("/r/1.wav")
    assert known.uses("/r/multi.wav")
    assert not known.uses("")
    assert not known.uses(one.part)
    one.file = ""  # there was nothing to publish
    assert not known.uses("/r/1.wav")
    assert known.uses("/r/multi.wav")
    again = recording(2, leg_id="a")
    again.file = "/r/1.wav"
    known.add(again)
    known.remove(one)
    assert known.uses("/r/1.wav")
    assert not known.uses("/r/multi.wav")
    known.remove(again)
    assert not known.uses("/r/1.wav")


def test_the_file_that_is_written_leads_to_its_recording():
    known = Recordings()
    one = recording(1, leg_id="a")
    known.add(one)
    first = one.part
    assert known.written_to(first) is one
    one.parts.append(Part(one.part_of("part1")))
    assert known.written_to(first) is None
    assert known.written_to(one.part) is one
    assert known.written_to("/elsewhere/" + one.part.rpartition("/")[2]) is None
    for path in (
        "",
        "/",
        "-",
        "/r/x.wav",
        "/r/.rec-000000000001.wav",
        "/r/.-part0.wav",
        "/r/.rec-2-part0.wav",
    ):
        assert known.written_to(path) is None
    known.remove(one)
    assert known.written_to(one.part) is None
