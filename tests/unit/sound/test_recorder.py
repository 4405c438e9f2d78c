"""Recordings as the switch is told of them, and what clients are told."""

from __future__ import annotations

import os
import re

import gevent
import pytest
from gevent.event import Event as Signal

from tests.support.fakes import FakeService, channel, settle, sound_config, without_pauses
from tests.support.stalls import comes_while_still
from vsi_esl.audio.wav import header
from vsi_esl.calls import lifecycle
from vsi_esl.errors import Conflict, Internal, LegGone, SwitchUnavailable
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import RINGING, Leg
from vsi_esl.model.legtypes import SIP_INBOUND
from vsi_esl.model.recording import CLOSING, RUNNING
from vsi_esl.model.room import Room
from vsi_esl.model.sound_stores import Recordings
from vsi_esl.sound.host import feature as host_feature
from vsi_esl.sound.recording import feature, recorder
from vsi_esl.sound.recording.failures import Failures
from vsi_esl.sound.recording.publisher import Publisher
from vsi_esl.switch import memory
from vsi_esl.work import clock

RECORD = re.compile(r"uuid_record (\S+) (start|stop|mask|unmask) (\S+)")


class Recorder(FakeService):
    """A service with recordings, whose switch writes a file of nothing and closes it when told to."""

    def __init__(self, directory) -> None:
        super().__init__(sound_config(directory))
        self.directory = str(directory / "recordings")
        feature.register(self.ctx)
        host_feature.register(self.ctx)
        self.switch.answers("uuid_record", self._record)
        self.writing: dict[str, str] = {}
        """Channel by file."""

    def _record(self, line: str) -> str:
        id, action, path = RECORD.match(line).groups()
        if id not in self.switch.channels and id not in self.switch.members:
            return "-ERR Cannot locate session!"
        if action == "start":
            self.writing[path] = id
            with open(path, "wb") as file:
                file.write(header(8000, 2, 16000) + bytes(32000))
        elif action == "stop":
            if self.writing.pop(path, None) is None:
                return "-ERR"
            self.closes(path)
        return "+OK Success"

    def closes(self, path: str) -> None:
        """The switch says that it has closed a file."""
        self.report({"Event-Name": "RECORD_STOP", "Record-File-Path": path})

    @property
    def all(self) -> list:
        return list(self.ctx.get(Recordings))

    def starts_leg(self, leg):
        return recorder.start_leg(self.ctx, leg, None, os.path.join(self.directory, f"{leg.id}.wav"))

    def starts_room(self, room, multi=False):
        return recorder.start_room(
            self.ctx, room, None, os.path.join(self.directory, f"{room.id}.wav"), multi
        )

    def records(self, action: str) -> list[str]:
        """Whom the switch was told to do this with, in order."""
        found = [RECORD.match(line) for line in self.switch.heard("uuid_record")]
        return [one[1] for one in found if one and one[2] == action]


@pytest.fixture
def service(tmp_path, monkeypatch):
    without_pauses(monkeypatch)
    one = Recorder(tmp_path)
    yield one
    one.close()


# -- a leg -----------------------------------------------------------------------------------------------


def test_a_recording_is_begun_and_ended(service):
    leg = service.leg()
    recording = service.starts_leg(leg)
    assert (recording.state, service.types) == (RUNNING, ["recording.started"])
    report = recorder.stop(service.ctx, recording)
    assert report.get(timeout=20) is recording
    assert service.types == ["recording.started", "recording.finished"]
    assert service.events[-1]["file"] == recording.file
    assert (os.listdir(service.directory), service.all) == (["a.wav"], [])
    assert service.ctx.state.items("recording") == []


def test_a_recording_is_whole_when_the_switch_has_said_so_while_we_stood_still(service, monkeypatch):
    """Its file is not published before it is closed."""
    monkeypatch.setattr(recorder, "CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(service, "closes", lambda path: None)
    recording = service.starts_leg(service.leg())
    publisher, order = service.ctx.get(Publisher), []
    publish = publisher.publish

    def published(*args) -> None:
        order.append("published")
        publish(*args)

    def closes() -> None:
        order.append("closed")
        Recorder.closes(service, recording.part)

    monkeypatch.setattr(publisher, "publish", published)
    report = recorder.stop(service.ctx, recording)
    settle()
    comes_while_still(0.4, closes)
    report.get(timeout=20)
    assert order == ["closed", "published"]


def test_a_hold_is_noted_for_when_it_was(service, monkeypatch):
    """The switch writes nothing from then on, whenever we read of it."""

    def passes(seconds: float) -> None:
        monkeypatch.setitem(clock._begun, "offset", clock._begun["offset"] + seconds)

    leg = service.leg()
    fired = {"Event-Date-Timestamp": str(round(clock.now() * 1_000_000))}
    service.switch.clock.learn(fired)
    recording = service.starts_leg(leg)
    passes(5)
    fired = {"Event-Date-Timestamp": str(round(clock.now() * 1_000_000))}
    passes(3)
    service.happens("CHANNEL_HOLD", "a", fired)
    assert recording.held[0][0] == pytest.approx(5000, abs=500)


def test_a_leg_without_media_is_recorded_when_it_has_some(service):
    leg = service.leg(state=RINGING)
    recording = service.starts_leg(leg)
    assert (service.types, service.records("start")) == (["recording.started"], [])
    lifecycle.connected(service.ctx, leg, clock.now())
    settle()
    assert (recording.state, service.records("start")) == (RUNNING, ["a"])
    assert service.types == ["recording.started", "leg.connected"]


def test_an_armed_recording_begins_once(service):
    leg = service.leg(state=RINGING)
    service.starts_leg(leg)
    lifecycle.early_media(service.ctx, leg)
    lifecycle.connected(service.ctx, leg, clock.now())
    settle()
    assert service.records("start") == ["a"]


def test_an_armed_recording_of_a_leg_that_never_answers_has_no_file(service):
    leg = service.leg(state=RINGING)
    service.starts_leg(leg)
    service.hangs_up("a", "USER_BUSY")
    assert service.wait_for("recording.finished")["file"] == ""
    service.wait_for("leg.disconnected")
    assert service.types == ["recording.started", "recording.finished", "leg.disconnected"]
    assert os.listdir(service.directory) == []


def test_an_armed_recording_that_is_stopped(service):
    recording = service.starts_leg(service.leg(state=RINGING))
    recorder.stop(service.ctx, recording).get(timeout=20)
    assert service.wait_for("recording.finished")["file"] == ""
    assert service.switch.heard("uuid_record") == []


def test_one_recording_a_leg_at_a_time(service):
    leg = service.leg()
    service.starts_leg(leg)
    with pytest.raises(Conflict, match="in progress"):
        service.starts_leg(leg)


def test_a_start_that_the_switch_refuses(service):
    leg = service.leg()
    service.switch.answers("uuid_record a start", "-ERR cannot open")
    with pytest.raises(Internal, match="create recording file"):
        service.starts_leg(leg)
    settle()
    assert (service.types, service.all, service.ctx.state.items("recording")) == ([], [], [])
    assert service.records("stop") == ["a"]  # it may have begun
    assert service.ctx.get(Failures)._counter.labels("start")._value.get() == 1


def test_a_start_that_races_the_hangup(service):
    leg = service.leg()
    service.switch.answers("uuid_record a start", "-ERR Cannot locate session!")
    del service.switch.channels["a"]
    with pytest.raises(LegGone):
        service.starts_leg(leg)


def test_a_start_that_nobody_saw_succeed_is_undone_when_the_switch_is_back(service):
    leg = service.leg()
    service.switch.answers("uuid_record a start", SwitchUnavailable("no answer in time"))
    service.switch.answers("uuid_record a stop", SwitchUnavailable("no answer in time"))
    with pytest.raises(SwitchUnavailable):
        service.starts_leg(leg)
    settle()
    assert len(service.all) == 1  # not forgotten
    service.switch.answers("uuid_record a stop", "+OK")
    service.reconnects()
    assert (service.all, service.types) == ([], [])


def test_the_end_of_a_leg_comes_behind_that_of_its_recording(service):
    leg = service.leg()
    recording = service.starts_leg(leg)
    service.closes(recording.part)  # with the call, whose end is about to be told
    service.hangs_up("a", sip_hangup_disposition="recv_bye")
    service.wait_for("leg.disconnected")
    assert service.types[-2:] == ["recording.finished", "leg.disconnected"]
    assert service.events[-2]["file"] == recording.file


def test_a_stop_that_races_the_end_of_the_leg_is_told_once(service):
    leg = service.leg()
    recording = service.starts_leg(leg)
    report = recorder.stop(service.ctx, recording)
    service.hangs_up("a")
    report.get(timeout=20)
    service.wait_for("leg.disconnected")
    assert service.types == ["recording.started", "recording.finished", "leg.disconnected"]


# -- pauses and hold -------------------------------------------------------------------------------------


def test_a_pause_and_its_end(service):
    recording = service.starts_leg(service.leg())
    assert [recorder.pause(service.ctx, recording, on) for on in (True, True, False, False)] == [
        True,
        False,
        True,
        False,
    ]
    assert (service.records("mask"), service.records("unmask")) == (["a"], ["a"])
    assert service.types == ["recording.started", "recording.paused", "recording.resumed"]


def test_a_pause_of_an_armed_recording_holds_when_it_begins(service):
    leg = service.leg(state=RINGING)
    recording = service.starts_leg(leg)
    assert recorder.pause(service.ctx, recording, True)
    assert service.records("mask") == []
    lifecycle.connected(service.ctx, leg, clock.now())
    settle()
    assert service.records("mask") == ["a"]


def test_a_pause_that_the_switch_did_not_hear_is_none(service):
    recording = service.starts_leg(service.leg())
    service.switch.answers("uuid_record a mask", SwitchUnavailable("no answer"))
    with pytest.raises(SwitchUnavailable):
        recorder.pause(service.ctx, recording, True)
    assert (recording.paused, service.types) == (False, ["recording.started"])


def test_a_recording_that_is_ending_is_not_paused(service):
    recording = service.starts_leg(service.leg())
    recorder.stop(service.ctx, recording)
    assert not recorder.pause(service.ctx, recording, True)


def test_a_hold_is_noted_in_the_recording_and_kept(service):
    leg = service.leg()
    recording = service.starts_leg(leg)
    lifecycle.held(service.ctx, leg, by_peer=True)
    assert [stretch[1] for stretch in recording.held] == [-1]
    lifecycle.held(service.ctx, leg, by_peer=False)
    assert len(recording.held) == 1 and recording.held[0][1] >= 0
    assert service.ctx.state.items("recording")[0]["held"] == recording.held


def test_a_recording_that_begins_on_hold(service):
    recording = service.starts_leg(service.leg(held_by_us=True))
    assert recording.held == [[0, -1]]


# -- the switch closes, or is away -----------------------------------------------------------------------


def test_a_recording_that_the_switch_closed_is_over(service):
    recording = service.starts_leg(service.leg())
    service.writing.clear()
    service.closes(recording.part)
    assert service.wait_for("recording.finished")["file"] == recording.file
    assert service.ctx.legs.get("a")


def test_a_file_of_somebody_else_that_is_closed_means_nothing(service):
    recording = service.starts_leg(service.leg())
    for path in ("/elsewhere.wav", "", os.path.join(service.directory, ".rec-000000000000-part0.wav")):
        service.closes(path)
    settle()
    assert (recording.state, service.types) == (RUNNING, ["recording.started"])


def test_a_stop_while_the_switch_is_away_is_done_when_it_is_back(service):
    recording = service.starts_leg(service.leg())
    service.switch.away = True
    with pytest.raises(SwitchUnavailable):
        recorder.stop(service.ctx, recording).get(timeout=20)
    assert (recording.state, service.types) == (CLOSING, ["recording.started"])
    service.switch.away = False
    service.reconnects()
    assert service.wait_for("recording.finished")["file"] == recording.file


def test_a_stop_that_was_not_answered_is_tried_again(service):
    recording = service.starts_leg(service.leg())
    service.switch.away = True
    with pytest.raises(SwitchUnavailable):
        recorder.stop(service.ctx, recording).get(timeout=20)
    service.switch.away = False
    service.timers.fire(recording.id, "close")
    assert service.wait_for("recording.finished")["file"] == recording.file
    service.reconnects()
    assert len(service.told("recording.finished")) == 1


def test_a_stop_waits_for_the_switch_to_close_the_file_but_not_for_ever(service, monkeypatch):
    monkeypatch.setattr(recorder, "CLOSE_TIMEOUT_S", 0.001)
    recording = service.starts_leg(service.leg())
    service.switch.answers("uuid_record a stop", "+OK")
    recorder.stop(service.ctx, recording).get(timeout=20)
    assert service.wait_for("recording.finished")["file"] == recording.file


# -- a room ----------------------------------------------------------------------------------------------


def test_a_room_is_recorded_by_a_channel_of_its_own_that_goes_with_it(service):
    room = service.room("r", service.leg())
    recording = service.starts_room(room)
    assert service.switch.members[recording.recorder][0] == room.conference
    recorder.stop(service.ctx, recording).get(timeout=20)
    assert service.switch.heard("uuid_kill") == [f"uuid_kill {recording.recorder} NORMAL_CLEARING"]
    assert [event["room_id"] for event in service.events] == ["r", "r"]


def test_the_recording_of_a_room_ends_with_its_last_leg(service):
    a, b = service.leg("a"), service.leg("b")
    recording = service.starts_room(service.room("r", a, b))
    service.hangs_up("a")
    assert recording.state == RUNNING
    service.hangs_up("b")
    service.wait_for("recording.finished")
    service.wait_for("leg.disconnected")
    assert [kind for kind in service.types if kind in ("recording.finished", "leg.disconnected")] == [
        "leg.disconnected",
        "recording.finished",
        "leg.disconnected",
    ]


def test_a_leg_that_left_a_room_long_ago_waits_for_nothing(service):
    leg = service.leg()
    recording = service.starts_room(service.room("r", leg))
    service.switch.moved("a", "")
    service.wait_for("recording.finished")
    assert service.ctx.get(Recordings).find(recording.id) is None
    service.hangs_up("a")
    assert service.types[-1] == "leg.disconnected"
    assert service.ctx.get(Recordings).ended_by("a") is None


def test_a_room_that_empties_while_its_recording_begins(service):
    leg = service.leg()
    room = service.room("r", leg)

    def leaves(line):
        lifecycle.left(service.ctx, leg, room.conference)
        return service._record(line)

    service.switch.answers("uuid_record rec-", leaves)
    service.starts_room(room)
    service.switch.answers("uuid_record rec-", service._record)
    service.wait_for("recording.finished")
    assert service.types == ["leg.left_room", "recording.started", "recording.finished"]


def test_a_track_for_each_leg_also_for_one_that_comes_later(service):
    a, b = service.leg("a"), service.leg("b")
    room = service.room("r", a)
    recording = service.starts_room(room, multi=True)
    service.switch.moved("b", room.conference)
    settle()
    service.hangs_up("a")
    assert service.records("start")[1:] == ["a", "b"]
    assert [track.leg_id for track in recording.tracks if track.end_ms < 0] == ["b"]
    recorder.stop(service.ctx, recording).get(timeout=20)
    finished = service.told("recording.finished")[0]
    assert {leg: info["channel"] for leg, info in finished["channels"].items()} == {"a": 0, "b": 1}
    assert finished["channels"]["a"]["start_ms"] == 0
    assert b.room_id == "r"


def test_a_recorder_that_the_switch_does_not_make_is_a_failed_start(service):
    room = service.room("r", service.leg())
    service.switch.answers("originate", "-ERR DESTINATION_OUT_OF_ORDER")
    with pytest.raises(Internal, match="no recorder"):
        service.starts_room(room)
    settle()
    assert (service.types, service.all) == ([], [])
    assert len(service.switch.heard("uuid_kill rec-")) >= 1


def test_a_room_is_deleted_behind_its_recording(service):
    room = service.room("r", service.leg())
    service.starts_room(room)
    recorder.finish_room(service.ctx, room)
    assert service.types == ["recording.started", "recording.finished"]


def test_a_deletion_does_not_wait_for_ever_for_a_recording(service, monkeypatch):
    monkeypatch.setattr(recorder, "DELETION_WAIT_S", 0.001 - 10)  # beside the 10 s of the upload
    room = service.room("r", service.leg())
    recording = service.starts_room(room)
    gate = service.switch.late(f"uuid_record {recording.recorder} stop")
    recorder.finish_room(service.ctx, room)
    assert service.told("recording.finished") == []
    gate.set()


# -- after a restart -------------------------------------------------------------------------------------


def test_what_is_being_recorded_is_known_again(service):
    room = service.room("r", service.leg())
    recording = service.starts_room(room)
    service.ctx.get(Recordings).remove(recording)
    service.reconnects()
    (again,) = service.all
    assert (again.state, again.recorder, again is recording) == (RUNNING, recording.recorder, False)
    assert service.switch.heard("uuid_kill") == []  # its recorder is in use


def test_a_recorder_that_is_gone_ends_the_recording_of_its_room(service):
    recording = service.starts_room(service.room("r", service.leg()))
    del service.switch.members[recording.recorder]
    service.reconnects()
    assert service.wait_for("recording.finished")["file"] == recording.file


def test_a_room_that_was_given_up_for_one_of_its_name_ends_its_recording(service):
    """Which is on another switch, and has legs of its own."""
    room = service.room("r", service.leg())
    recording = service.starts_room(room)
    service.ctx.rooms.remove(room)
    service.switch.channels["a"][f"variable_{memory.ROOM}"] = "r"
    other = Room("r", 16000, node="other")
    other.legs["b"] = Leg("b", SIP_INBOUND, clock.now(), channel=Channel("other"))
    service.ctx.rooms.add(other)
    service.reconnects()
    assert service.wait_for("recording.finished")["file"] == recording.file
    assert recording.recorder in service.switch.heard("uuid_kill")[0]


@pytest.mark.parametrize("step", ["originate", "uuid_record"])
def test_one_that_is_being_begun_goes_on_when_the_calls_are_looked_at_anew(service, step):
    room = service.room("r", service.leg())
    carry_out = service._record if step == "uuid_record" else service.switch._carry_out
    begun = Signal()
    service.switch.answers(step, lambda line: begun.wait() and carry_out(line))
    starting = gevent.spawn(service.starts_room, room)
    settle()
    service.reconnects()
    begun.set()
    recording = starting.get(timeout=20)
    settle()
    assert (recording.state, service.types) == (RUNNING, ["recording.started"])
    assert service.switch.heard("uuid_kill") == []


def test_one_that_a_process_before_was_beginning_is_over(service):
    room = service.room("r", service.leg())
    kept = []
    service.switch.answers(
        "originate", lambda line: kept.extend(service.ctx.state.items("recording")) or "-ERR"
    )
    with pytest.raises(Internal):
        service.starts_room(room)
    settle()
    service.ctx.state.save_item("recording", kept[0]["id"], kept[0])
    service.reconnects()
    assert service.wait_for("recording.finished")["file"] == ""
    assert service.types == ["recording.started", "recording.finished"]  # not the end alone


@pytest.mark.parametrize("gone", [False, True])
def test_one_of_a_leg_that_a_process_before_was_beginning_is_told_once(service, gone):
    leg, kept = service.leg(), []
    service.switch.answers(
        "uuid_record", lambda line: kept.extend(service.ctx.state.items("recording")) or "-ERR"
    )
    with pytest.raises(Internal):
        service.starts_leg(leg)
    settle()
    assert service.types == [] and kept[0]["beginning"]
    service.switch.answers("uuid_record", service._record)
    service.ctx.state.save_item("recording", kept[0]["id"], kept[0])
    if gone:
        service.switch.channels.clear()
    service.reconnects()
    service.wait_for("recording.started")
    if gone:
        service.wait_for("leg.disconnected")
    settle()
    service.reconnects()
    settle()
    assert service.types == (
        ["recording.started", "recording.finished", "leg.disconnected"] if gone else ["recording.started"]
    )


def test_a_room_whose_legs_are_gone_ends_its_recording(service):
    leg = service.leg()
    room = service.room("r", leg)
    recording = service.starts_room(room)
    del service.switch.members["a"], service.switch.channels["a"]
    service.reconnects()
    assert service.wait_for("recording.finished")["file"] == recording.file
    assert service.wait_for("leg.disconnected")["cdr"]["reason"] == "unobserved"


def test_a_leg_that_is_gone_ends_its_recording_before_its_own_end(service):
    recording = service.starts_leg(service.leg())
    service.switch.channels.clear()
    service.reconnects()
    service.wait_for("leg.disconnected")
    assert service.types == ["recording.started", "recording.finished", "leg.disconnected"]
    assert service.events[1]["file"] == recording.file


def test_a_leg_that_nobody_knows_any_more_ends_its_recording(service):
    leg = service.leg()
    recording = service.starts_leg(leg)
    service.ctx.legs.remove(leg)
    service.ctx.state.forget_leg("a")
    service.switch.channels.clear()
    service.reconnects()
    assert service.wait_for("recording.finished")["file"] == recording.file


def test_an_armed_recording_begins_when_the_answer_was_missed(service):
    service.leg(state=RINGING)
    service.switch.channels["a"] = channel("a")
    recording = service.starts_leg(service.ctx.legs.get("a"))
    service.reconnects()
    assert (recording.state, service.records("start")) == (RUNNING, ["a"])
    assert service.types == ["recording.started", "leg.connected"]


def test_a_leg_that_gets_a_whisper_is_recorded_in_another_file(service):
    leg = service.leg()
    recording = service.starts_leg(leg)
    first = recording.part
    recorder.pause(service.ctx, recording, True)
    recorder.renew(service.ctx, leg)
    service.ctx.workers.run(recording.id, 5, lambda: None)
    assert (len(recording.parts), recording.part != first) == (2, True)
    lines = [RECORD.match(line).groups() for line in service.switch.heard("uuid_record")]
    assert [(action, path) for _, action, path in lines[2:]] == [
        ("start", recording.part),
        ("mask", recording.part),
        ("stop", first),
    ]
    recorder.stop(service.ctx, recording).get(timeout=20)
    assert service.told("recording.finished")[0]["file"] == recording.file


def test_a_whisper_that_cannot_be_recorded_leaves_the_recording_as_it_is(service):
    leg = service.leg()
    recording = service.starts_leg(leg)
    service.switch.answers("uuid_record a start", "-ERR")
    recorder.renew(service.ctx, leg)
    service.ctx.workers.run(recording.id, 5, lambda: None)
    assert (len(recording.parts), recording.state, service.records("stop")) == (1, RUNNING, [])
