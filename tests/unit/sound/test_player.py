"""Playbacks as the switch is told of them."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

from tests.support.fakes import FakeService, settle, sound_config
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.model.playback import Playback
from vsi_esl.model.room import Room
from vsi_esl.model.sound_stores import Playbacks
from vsi_esl.sound.playback import feature, player
from vsi_esl.switch import memory
from vsi_esl.work import clock


@pytest.fixture
def service(tmp_path):
    one = FakeService(sound_config(tmp_path))
    feature.register(one.ctx)
    one.switch.host = SimpleNamespace(release=lambda path: None, hold=lambda clip: None)
    yield one
    one.close()


def plays(service, room, id="pb-00aa11bb"):
    """A file of ten seconds, fetched."""
    playback = Playback(id, room_id=room.id, path="/spool/a.wav", node=room.node)
    playback.file_ms = playback.total_ms = 10_000
    service.ctx.get(Playbacks).add(playback)
    player.begin_soon(service.ctx, playback)
    settle()
    return playback


def line(step, room, beside):
    """How a command begins."""
    return {"play": f"conference {'pb-00' if beside else room.conference}"}.get(step, step)


def lost(service, done, line):
    """The answer to this command is lost with the connection, whether it was done or not."""
    if done:
        service.switch._carry_out(line)
    service.switch.away = True
    raise SwitchUnavailable("the connection to the switch was lost")


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("beside", [False, True], ids=["directly", "by a bot"])
@pytest.mark.parametrize("step", ["originate", "play"])
def test_one_that_is_being_begun_when_the_connection_is_lost_begins_when_it_is_back(
    service, beside, step, done
):
    room = service.room("r", service.leg(), node=service.switch.name)
    if beside:
        plays(service, room, "pb-22cc33dd")
    if step == "originate" and not beside:
        pytest.skip("takes none")
    service.switch.answers(line(step, room, beside), partial(lost, service, done))
    playback = plays(service, room)
    first = [id for id in service.switch.channels if id.startswith("pb-00")]
    service.loses_the_switch()
    assert not playback.ended
    service.switch.away = False
    service.switch.answers(line(step, room, beside), service.switch._carry_out)
    service.switch.told.clear()
    service.reconnects()
    assert service.types.count("playback.started") == 1 + beside and "playback.error" not in service.types
    assert playback.playing_since and service.switch.heard(f"conference {playback.conference} play")
    assert [one.split()[1] for one in service.switch.heard("uuid_kill")] == first


def test_a_room_that_was_given_up_for_one_of_its_name_ends_what_is_played_there(service):
    """Which is on another switch, and is played nothing."""
    room = service.room("r", service.leg(), node=service.switch.name)
    playback = plays(service, room)
    service.ctx.get(Playbacks).remove(playback)
    service.ctx.rooms.remove(room)
    service.switch.channels["a"][f"variable_{memory.ROOM}"] = "r"
    service.ctx.rooms.add(Room("r", 16000, node="other"))
    service.reconnects()
    assert service.wait_for("playback.finished")["reason"] == "stopped"


@pytest.mark.parametrize("beside", [False, True], ids=["directly", "by a bot"])
@pytest.mark.parametrize("step", ["originate", "play"])
def test_one_that_is_being_begun_is_begun_once_when_the_calls_are_looked_at_anew(service, beside, step):
    room = service.room("r", service.leg(), node=service.switch.name)
    if beside:
        plays(service, room, "pb-22cc33dd")
    begun = service.switch.late(
        {"play": f"conference {'pb-00' if beside else room.conference}"}.get(step, step)
    )
    service.switch.told.clear()
    playback = plays(service, room)
    service.reconnects()
    begun.set()
    settle()
    assert len([line for line in service.switch.heard("conference") if " play " in line]) == 1
    assert len(service.switch.heard("originate")) == beside and service.switch.heard("uuid_kill") == []
    assert playback.playing_since and service.types[-1] == "playback.started"


@pytest.mark.parametrize(("heard_s", "reason"), [(4.0, "completed"), (3.0, "stopped")])
def test_a_file_whose_start_was_told_late_is_over_when_it_was_heard(service, monkeypatch, heard_s, reason):
    """Of its ten seconds six had been heard when the answer came."""

    def passes(seconds: float) -> None:
        monkeypatch.setitem(clock._begun, "offset", clock._begun["offset"] + seconds)

    room = service.room("r", service.leg(), node=service.switch.name)
    begun = service.switch.late(f"conference {room.conference} play")
    playback = plays(service, room)
    passes(6.0)
    begun.set()
    settle()
    assert service.types[-1] == "playback.started"
    passes(heard_s)
    player.done(service.ctx, playback.id, room.conference)
    assert service.wait_for("playback.finished")["reason"] == reason


@pytest.mark.parametrize(("heard_s", "reason"), [(10.0, "completed"), (3.0, "stopped")])
def test_a_file_whose_end_is_read_late_was_heard_until_then(service, monkeypatch, heard_s, reason):
    """We stood still for the nine seconds behind its end."""

    def passes(seconds: float) -> None:
        monkeypatch.setitem(clock._begun, "offset", clock._begun["offset"] + seconds)

    def fired() -> dict[str, str]:
        return {"Event-Date-Timestamp": str(round(clock.now() * 1_000_000))}

    service.switch.clock.learn(fired())
    room = service.room("r", service.leg(), node=service.switch.name)
    playback = plays(service, room)
    passes(heard_s)
    done = {"Event-Name": "CUSTOM", "Event-Subclass": "conference::maintenance", **fired()}
    done |= {"Action": "play-file-done", "vsi_playback_id": playback.id, "Conference-Name": room.conference}
    passes(9)
    service.report(done)
    finished = service.wait_for("playback.finished")
    assert finished["reason"] == reason
    assert finished["played_ms"] == pytest.approx(1000 * heard_s, abs=500)
