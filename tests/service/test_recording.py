"""Recording legs and rooms: commands, events, files."""

from __future__ import annotations

import os

import pytest
from gevent import monkey

from tests.support.calls import answered, in_room, ring
from tests.support.drivers import eventually
from tests.support.recorded import MULTI_NAME, NAME, hidden, seconds, shape
from vsi_esl.model.owner import of_leg, of_room
from vsi_esl.model.sound_stores import Recordings
from vsi_esl.sound.host import local
from vsi_esl.sound.recording import naming
from vsi_esl.sound.recording.settings import RecordingSettings

native_queue = monkey.get_original("queue", "SimpleQueue")
native_ident = monkey.get_original("_thread", "get_ident")
LOOP = native_ident()


def test_a_leg_outside_a_room(switch, client, service):
    _, leg = answered(switch, client)
    reply = client.ok("leg_record_start", id=leg)
    assert reply["status"] == "recording"
    assert NAME.fullmatch(os.path.basename(reply["file"]))
    assert os.path.dirname(reply["file"]) == service.config.section(RecordingSettings).dir
    begun = client.event("recording.started")
    assert (begun["leg_id"], begun["file"]) == (leg, reply["file"])
    assert "room_id" not in begun
    assert not os.path.exists(reply["file"])
    assert client.ok("leg_record_pause", id=leg) == {"status": "paused"}
    paused = client.event("recording.paused")
    assert (paused["leg_id"], paused["file"]) == (leg, "")
    assert client.ok("leg_record_pause", id=leg) == {"status": "already_paused"}
    assert client.ok("leg_record_resume", id=leg) == {"status": "resumed"}
    assert client.event("recording.resumed")["file"] == ""
    assert client.ok("leg_record_resume", id=leg) == {"status": "not_paused"}
    assert client.ok("leg_record_stop", id=leg) == {"status": "stopped", "file": reply["file"]}
    done = client.event("recording.finished")
    assert (done["leg_id"], done["file"]) == (leg, reply["file"])
    assert not {"multi_channel_file", "channels", "error"} & set(done)
    assert shape(reply["file"]) == (2, 8000)
    assert hidden(reply["file"]) == []
    assert len(client.seen("recording.paused")) == len(client.seen("recording.resumed")) == 1


def test_stop_while_paused(switch, client):
    _, leg = answered(switch, client)
    client.ok("leg_record_start", id=leg)
    client.ok("leg_record_pause", id=leg)
    file = client.ok("leg_record_stop", id=leg)["file"]
    assert shape(file) == (2, 8000)
    assert client.error("leg_record_resume", id=leg) == (404, "no recording in progress")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("call-1.wav", "call-1"),
        ("Gespräch_٣.v2", "Gespräch_٣.v2"),
        ("\u00a0 call.WAV\t", "call"),
        ("ü" * 62, "ü" * 62),
    ],
)
def test_a_name_of_the_clients(switch, client, name, stem):
    _, leg = answered(switch, client)
    file = client.ok("leg_record_start", id=leg, filename=name)["file"]
    assert os.path.basename(file) == f"{stem}.wav"
    _, other = answered(switch, client)
    taken = (409, "recording file already exists")
    assert client.error("leg_record_start", id=other, filename=name) == taken
    assert client.ok("leg_record_stop", id=leg)["file"] == file
    assert client.error("leg_record_start", id=other, filename=name) == taken
    assert shape(file)[0] == 2


def test_the_end_of_the_leg_ends_its_recording_first(switch, client):
    peer, leg = answered(switch, client)
    file = client.ok("leg_record_start", id=leg)["file"]
    peer.hang_up()
    assert client.event("recording.finished")["file"] == file
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"
    assert shape(file) == (2, 8000)
    assert client.ok("list_legs") == []


def test_a_leg_in_a_room_is_recorded_at_the_rooms_rate(switch, client):
    _, leg = in_room(switch, client)
    client.ok("leg_record_start", id=leg)
    assert shape(client.ok("leg_record_stop", id=leg)["file"]) == (2, 16000)


def test_a_ringing_leg_is_armed(switch, client, service):
    peer, leg = ring(switch, client)
    file = client.ok("leg_record_start", id=leg)["file"]
    client.event("recording.started")
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    recording = service.ctx.get(Recordings).running(of_leg(leg))
    eventually(lambda: recording.state == "running", "the recording runs")
    peer.hang_up()
    assert client.event("recording.finished")["file"] == file
    assert shape(file) == (2, 8000)


def test_a_room(switch, client):
    _, leg = in_room(switch, client)
    reply = client.ok("room_record_start", id="r")
    begun = client.event("recording.started")
    assert (begun["room_id"], begun["file"]) == ("r", reply["file"])
    assert "leg_id" not in begun
    assert client.ok("room_record_pause", id="r") == {"status": "paused"}
    assert client.ok("room_record_pause", id="r") == {"status": "already_paused"}
    assert client.ok("room_record_resume", id="r") == {"status": "resumed"}
    assert [one["id"] for one in client.ok("get_room", id="r")["participants"]] == [leg]
    stopped = client.ok("room_record_stop", id="r")
    assert stopped == {"status": "stopped", "file": reply["file"]}
    assert client.event("recording.finished")["room_id"] == "r"
    assert shape(reply["file"]) == (1, 16000)
    eventually(lambda: not switch.channels("rec-"), "the recorder is gone")
    assert len(client.seen("leg.joined_room")) == 1


@pytest.mark.parametrize("how", ["hangup", "remove", "move", "delete_room"])
def test_the_last_leg_ends_a_rooms_recording(switch, client, how):
    peer, leg = in_room(switch, client)
    file = client.ok("room_record_start", id="r")["file"]
    if how == "hangup":
        peer.hang_up()
    elif how == "remove":
        client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    elif how == "move":
        client.ok("add_leg_to_room", room_id="elsewhere", leg_id=leg)
    else:
        client.ok("delete_room", id="r")
    done = client.event("recording.finished")
    assert (done["file"], done.get("error")) == (file, None)
    assert shape(file) == (1, 16000)
    assert client.error("room_record_stop", id="r") == (404, "no recording in progress")
    eventually(lambda: not switch.channels("rec-"), "the recorder is gone")


def test_multi_channel(switch, client, service):
    _, one = in_room(switch, client)
    client.ok("room_record_start", id="r", multi_channel=True)
    peer, two = in_room(switch, client)
    recording = service.ctx.get(Recordings).running(of_room("r"))
    eventually(lambda: len(recording.tracks) == 2, "the second has a track")
    client.ok("room_record_pause", id="r")
    _, three = in_room(switch, client)
    eventually(lambda: len(recording.tracks) == 3, "the third has a track")
    client.ok("room_record_resume", id="r")
    peer.hang_up()
    client.event("leg.left_room", leg_id=two)
    stopped = client.ok("room_record_stop", id="r")
    done = client.event("recording.finished")
    for reported in (stopped, done):
        assert MULTI_NAME.fullmatch(os.path.basename(reported["multi_channel_file"]))
        channels = reported["channels"]
        assert [channels[leg]["channel"] for leg in (one, two, three)] == [0, 1, 2]
        assert channels[one]["start_ms"] <= channels[two]["start_ms"] <= channels[three]["start_ms"]
        assert channels[two]["end_ms"] <= channels[one]["end_ms"] == channels[three]["end_ms"]
    assert shape(done["multi_channel_file"]) == (3, 16000)
    assert abs(seconds(done["multi_channel_file"]) * 1000 - done["channels"][one]["end_ms"]) <= 1
    assert shape(done["file"]) == (1, 16000)
    assert hidden(done["file"]) == []


def test_a_participant_who_returns_keeps_the_channel(switch, client, service):
    in_room(switch, client)
    _, two = in_room(switch, client)
    client.ok("room_record_start", id="r", multi_channel=True)
    client.ok("remove_leg_from_room", room_id="r", leg_id=two)
    client.ok("add_leg_to_room", room_id="r", leg_id=two)
    recording = service.ctx.get(Recordings).running(of_room("r"))
    eventually(lambda: len(recording.tracks) == 3, "a second piece")
    done = client.ok("room_record_stop", id="r")
    assert sorted(info["channel"] for info in done["channels"].values()) == [0, 1]
    assert shape(done["multi_channel_file"]) == (2, 16000)


def test_a_restart_of_the_service_in_the_middle(switch, connect, start):
    first = start()
    client = connect(first)
    _, one = in_room(switch, client)
    peer, two = in_room(switch, client)
    of_leg = client.ok("leg_record_start", id=one)["file"]
    of_other = client.ok("leg_record_start", id=two)["file"]
    client.ok("room_record_start", id="r", multi_channel=True)
    client.ok("leg_record_pause", id=one)
    paused = client.event("recording.paused", leg_id=one)["event_id"]
    first.stop()
    peer.hang_up()
    second = start()
    client = connect(second, f"?since={paused}")  # it may be told before anybody is there
    assert client.event("recording.finished", leg_id=two)["file"] == of_other
    client.event("leg.disconnected", leg_id=two)
    assert client.ok("leg_record_pause", id=one) == {"status": "already_paused"}
    assert client.ok("leg_record_stop", id=one)["file"] == of_leg
    done = client.ok("room_record_stop", id="r")
    assert set(done["channels"]) == {one, two}
    assert shape(done["multi_channel_file"]) == (2, 16000)
    for file in (of_leg, of_other, done["file"], done["multi_channel_file"]):
        assert seconds(file) >= 0
    assert hidden(of_leg) == []
    assert second.ctx.state.items("recording") == []


def test_a_directory_that_cannot_be_made(switch, connect, start):
    client = connect(start(recording={"dir": "/proc/none"}))
    _, leg = answered(switch, client)
    code, message = client.error("leg_record_start", id=leg)
    assert code == 500 and message.startswith("create recording dir: ")
    assert not client.seen("recording.started")


class SlowDisk:
    """A disk that answers recordings when it is told to. Notes the threads that ask it. Whoever looks at it
    for another reason (`ops.disk`) has its answer at once."""

    def __init__(self, monkeypatch) -> None:
        self._answers = native_queue()
        self._look = local._look
        self.asked_by: list[int] = []
        monkeypatch.setattr(local, "_look", self._ask)

    def _ask(self, directory, file):
        self.asked_by.append(native_ident())
        if native_ident() != LOOP:
            self._answers.get(timeout=30)
        return self._look(directory, file)

    def answer(self, times: int = 1) -> None:
        for _ in range(times):
            self._answers.put(None)


def test_the_disk_is_not_waited_for_by_others(switch, client, connect, service, monkeypatch):
    _, leg = answered(switch, client)
    disk = SlowDisk(monkeypatch)
    number = client.send("leg_record_start", id=leg)
    eventually(lambda: bool(disk.asked_by), "the disk is asked")
    assert LOOP not in disk.asked_by
    assert connect(service).ok("get_leg", id=leg)["id"] == leg
    disk.answer()
    assert client.reply(number)["data"]["status"] == "recording"
    client.ok("leg_record_stop", id=leg)


def test_a_leg_that_ends_while_the_disk_is_looked_at_is_not_recorded(switch, client, service, monkeypatch):
    peer, leg = answered(switch, client)
    disk = SlowDisk(monkeypatch)
    number = client.send("leg_record_start", id=leg)
    eventually(lambda: bool(disk.asked_by), "the disk is asked")
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    disk.answer()
    assert client.reply(number)["data"]["code"] == 404
    assert len(service.ctx.get(Recordings)) == 0
    assert not client.seen("recording.started")


def test_a_room_that_empties_while_the_disk_is_looked_at_is_not_recorded(
    switch, client, service, monkeypatch
):
    peer, leg = in_room(switch, client)
    disk = SlowDisk(monkeypatch)
    number = client.send("room_record_start", id="r")
    eventually(lambda: bool(disk.asked_by), "the disk is asked")
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    disk.answer()
    assert client.reply(number)["data"]["code"] in (404, 409)
    assert len(service.ctx.get(Recordings)) == 0
    assert not client.seen("recording.started")


def test_of_two_starts_with_one_name_the_second_is_refused(switch, client, connect, service, monkeypatch):
    """The disk tells both that there is no such file."""
    legs = [answered(switch, client)[1] for _ in range(2)]
    clients = [client, connect(service)]
    disk = SlowDisk(monkeypatch)
    asked = [
        (one, one.send("leg_record_start", id=leg, filename="x"))
        for one, leg in zip(clients, legs, strict=True)
    ]
    eventually(lambda: len(disk.asked_by) == 2, "the disk is asked twice")
    disk.answer(2)
    codes = sorted(one.reply(number)["data"].get("code", 200) for one, number in asked)
    assert codes == [200, 409]
    (recording,) = service.ctx.get(Recordings)
    client.ok("leg_record_stop", id=recording.leg_id)


def test_of_two_starts_for_one_leg_the_second_is_refused(switch, client, connect, service, monkeypatch):
    """Both find the leg without a recording."""
    _, leg = answered(switch, client)
    clients = [client, connect(service)]
    disk = SlowDisk(monkeypatch)
    asked = [(one, one.send("leg_record_start", id=leg)) for one in clients]
    eventually(lambda: len(disk.asked_by) == 2, "the disk is asked twice")
    disk.answer(2)
    codes = sorted(one.reply(number)["data"].get("code", 200) for one, number in asked)
    assert codes == [200, 409]
    assert len(service.ctx.get(Recordings)) == 1
    client.ok("leg_record_stop", id=leg)


def test_a_disk_that_does_not_answer_ends_the_start(switch, client, service, monkeypatch):
    _, leg = answered(switch, client)
    monkeypatch.setattr(naming, "DISK_TIMEOUT_S", 0.01)
    disk = SlowDisk(monkeypatch)
    code, message = client.error("leg_record_start", id=leg)
    assert (code, message) == (500, "create recording dir: the disk does not answer")
    assert len(service.ctx.get(Recordings)) == 0
    disk.answer()
    monkeypatch.undo()
    client.ok("leg_record_start", id=leg)
    client.ok("leg_record_stop", id=leg)
