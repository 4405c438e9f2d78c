"""What happens when one thing is asked for while the switch is still busy with another.

The window is made wide by holding back the service between its question to the switch and what it does with
the answer; each of these was wrong once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.monkey import get_original

from tests.support.calls import answered, in_room
from tests.support.drivers import eventually
from tests.support.held import held
from tests.support.service import quiet
from tests.support.webserver import tone
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.model.owner import of_leg, of_room
from vsi_esl.model.sound_stores import Bridges, Playbacks, Recordings
from vsi_esl.sound.host import files
from vsi_esl.sound.playback import player as player_module
from vsi_esl.sound.recording import recorder
from vsi_esl.sound.recording.settings import RecordingSettings
from vsi_esl.storage import uploads


def hidden_files(service: Any) -> list[str]:
    return [
        name for name in os.listdir(service.config.section(RecordingSettings).dir) if name.startswith(".")
    ]


def is_recorded(switch: Any, channel: str) -> bool:
    """Whether the switch writes anything of a channel: only then is there something to stop."""
    return switch.esl(f"uuid_record {channel} stop all").startswith("+OK")


@pytest.fixture
def other(service, connect):
    """A second client."""
    return connect(service)


def test_a_recording_is_stopped_while_it_starts(switch, client, service, other):
    _, leg = answered(switch, client)
    with held(service.ctx.nodes.default.sound, "record_leg", before=True) as hold:
        start = client.send("leg_record_start", id=leg)
        hold.entered.wait(20)
        stop = other.send("leg_record_stop", id=leg)
        eventually(lambda: not service.ctx.get(Recordings).running(of_leg(leg)), "the stop was taken")
        hold.release()
        file = client.reply(start)["data"]["file"]
        assert other.reply(stop)["data"] == {"status": "stopped", "file": file}
    client.event("recording.started", leg_id=leg)
    client.event("recording.finished", leg_id=leg, file=file)
    eventually(lambda: quiet(service), "it is over")
    assert not is_recorded(switch, leg)
    eventually(lambda: not hidden_files(service), "nothing of it is left")
    assert os.path.exists(file)


@pytest.mark.parametrize("how", ["delete", "leave", "hang up"])
def test_a_room_empties_while_its_recording_starts(switch, client, service, other, how):
    peer, leg = in_room(switch, client)
    with held(service.ctx.nodes.default.sound, "record_room") as hold:
        start = client.send("room_record_start", id="r", multi_channel=True)
        hold.entered.wait(20)
        if how == "delete":
            deletion = other.send("delete_room", id="r")
        elif how == "leave":
            other.ok("remove_leg_from_room", room_id="r", leg_id=leg)
        else:
            peer.hang_up()
        eventually(lambda: not service.ctx.get(Recordings).running(of_room("r")), "the end is known")
        hold.release()
        file = client.reply(start)["data"]["file"]
    if how == "delete":
        assert other.reply(deletion)["data"] == {"status": "deleted"}
    client.event("recording.started", room_id="r")
    finished = client.event("recording.finished", room_id="r")
    assert finished["file"] == file
    eventually(lambda: quiet(service) and not hidden_files(service), "it is over")
    if how == "leave":
        assert not is_recorded(switch, leg)


def test_a_leg_hangs_up_while_its_recording_starts(switch, client, service):
    peer, leg = answered(switch, client)
    with held(service.ctx.nodes.default.sound, "record_leg") as hold:
        start = client.send("leg_record_start", id=leg)
        hold.entered.wait(20)
        peer.hang_up()
        eventually(lambda: service.ctx.legs.find(leg) is None, "it is gone")
        hold.release()
        file = client.reply(start)["data"]["file"]
    client.event("recording.started", leg_id=leg)
    client.event("recording.finished", leg_id=leg, file=file)
    client.event("leg.disconnected", leg_id=leg)
    order = [kind for kind in client.types() if kind in ("recording.finished", "leg.disconnected")]
    assert order == ["recording.finished", "leg.disconnected"]
    eventually(lambda: quiet(service), "it is over")


def test_a_room_recording_stops_while_a_participant_joins(switch, client, service):
    in_room(switch, client)
    client.ok("room_record_start", id="r", multi_channel=True)
    with held(service.ctx.nodes.default.sound, "record_room", before=True) as hold:
        _, late = in_room(switch, client)
        hold.entered.wait(20)
        stop = client.send("room_record_stop", id="r")
        eventually(lambda: not service.ctx.get(Recordings).running(of_room("r")), "the stop was taken")
        hold.release()
        client.reply(stop)
    eventually(lambda: quiet(service), "it is over")
    assert not is_recorded(switch, late)
    eventually(lambda: not hidden_files(service), "nothing of it is left")


def test_a_recording_stops_while_it_goes_on_in_another_file(switch, client, service):
    _, leg = in_room(switch, client)
    client.ok("leg_record_start", id=leg)
    with held(service.ctx.nodes.default.sound, "record_leg_on", before=True) as hold:
        client.ok("leg_play_start", id=leg, tone="dial")
        hold.entered.wait(20)
        stop = client.send("leg_record_stop", id=leg)
        eventually(lambda: not service.ctx.get(Recordings).running(of_leg(leg)), "the stop was taken")
        hold.release()
        client.reply(stop)
    eventually(lambda: quiet(service), "it is over")
    assert not is_recorded(switch, leg)
    eventually(lambda: not hidden_files(service), "nothing of it is left")


def once(owner: Any, name: str, then: Callable[..., Any]) -> None:
    """Replace a method for one call: `then(original, *args)`."""
    original = getattr(owner, name)

    def replaced(*args: Any) -> Any:
        setattr(owner, name, original)
        return then(original, *args)

    setattr(owner, name, replaced)


def fail_after(original: Callable[..., Any], *args: Any) -> None:
    original(*args)
    raise SwitchUnavailable("the switch did not answer")


def test_a_failed_start_leaves_nothing_behind(switch, client, service):
    legs = [in_room(switch, client)[1] for _ in range(2)]
    once(service.ctx.nodes.default.sound, "record_room", fail_after)
    assert client.error("room_record_start", id="r", multi_channel=True)[0] == 503
    eventually(lambda: quiet(service), "it is undone")
    assert not any(is_recorded(switch, leg) for leg in legs)
    eventually(lambda: not hidden_files(service), "the files are gone")
    assert "recording.started" not in client.types()
    client.ok("room_record_start", id="r")
    client.ok("room_record_stop", id="r")


def test_a_start_that_took_too_long(switch, client, service, monkeypatch):
    monkeypatch.setattr(recorder, "START_TIMEOUT_S", 0.3)
    in_room(switch, client)
    with held(service.ctx.nodes.default.sound, "record_room") as hold:
        code, message = client.error("room_record_start", id="r")
        assert (code, message) == (503, "not done within 0.3 s")
        hold.release()
    eventually(lambda: quiet(service), "it is undone")
    assert "recording.started" not in client.types()
    monkeypatch.undo()
    client.ok("room_record_start", id="r")
    client.ok("room_record_stop", id="r")


def test_a_stop_that_got_no_answer_is_repeated(switch, client, service, monkeypatch):
    monkeypatch.setattr(recorder, "RETRY_S", 0.2)
    _, leg = answered(switch, client)
    client.ok("leg_record_start", id=leg)

    def unanswered(original: Callable[..., Any], *args: Any) -> None:
        raise SwitchUnavailable("the switch did not answer")

    once(service.ctx.nodes.default.sound, "stop_recording", unanswered)
    assert client.error("leg_record_stop", id=leg)[0] == 503
    client.event("recording.finished", leg_id=leg)
    assert not is_recorded(switch, leg)


def test_a_track_that_could_not_begin_takes_no_name(switch, client, service):
    in_room(switch, client)
    in_room(switch, client)

    def without(original: Callable[..., Any], recorder: str, file: str, tracks: Any, rate: int) -> Any:
        began = original(recorder, file, tracks[:1], rate)
        return [*began, 0.0]

    once(service.ctx.nodes.default.sound, "record_room", without)
    client.ok("room_record_start", id="r", multi_channel=True)
    in_room(switch, client)
    (recording,) = service.ctx.get(Recordings)
    eventually(lambda: len(recording.tracks) == 2, "the late one has a track")
    assert len({track.path for track in recording.tracks}) == 2
    client.ok("room_record_stop", id="r")


def test_one_finished_although_the_connection_is_lost_meanwhile(switch, client, service, monkeypatch):
    peer, leg = answered(switch, client)
    client.ok("leg_record_start", id=leg)
    publish, loop = files.publish, gevent.get_hub().loop
    started = Event()
    done = get_original("threading", "Event")()

    def slow(recording: Any) -> Any:
        loop.run_callback_threadsafe(started.set)
        assert done.wait(60)
        return publish(recording)

    monkeypatch.setattr(files, "publish", slow)
    peer.hang_up()
    assert started.wait(20)
    switch.drop_connections()
    eventually(lambda: not service.ctx.nodes.default.ready, "lost")
    eventually(lambda: service.ctx.nodes.default.ready, "back")
    done.set()
    client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: quiet(service), "it is over")
    switch.drop_connections()
    eventually(lambda: not service.ctx.nodes.default.ready, "lost")
    eventually(lambda: service.ctx.nodes.default.ready, "back")
    client.ok("list_legs")
    assert client.types().count("recording.finished") == 1
    assert client.types().count("leg.disconnected") == 1


def test_a_playback_of_a_leg_that_hangs_up_as_it_begins(switch, client, service):
    peer, leg = answered(switch, client)
    with held(service.ctx.nodes.default.sound, "play", before=True) as hold:
        playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
        hold.entered.wait(20)
        peer.hang_up()
        eventually(lambda: service.ctx.legs.find(leg) is None, "it is gone")
        hold.release()
        client.event("playback.finished", playback_id=playback, reason="stopped")
    eventually(lambda: not len(service.ctx.get(Playbacks)), "it is over")
    eventually(lambda: not service.ctx.state.items("playback"), "and forgotten")


def test_a_volume_set_as_the_playback_stops(switch, client, service, other):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    client.event("playback.started", playback_id=playback)
    with held(service.ctx.nodes.default.sound, "play_volume") as hold:
        volume = client.send("leg_play_volume", id=leg, playback_id=playback, volume=2)
        hold.entered.wait(20)
        other.ok("leg_play_stop", id=leg, playback_id=playback)
        hold.release()
        client.reply(volume)
    client.event("playback.finished", playback_id=playback)
    eventually(lambda: service.ctx.state.items("playback") == [], "it is forgotten")


def test_a_playback_stopped_while_the_switch_is_away(switch, client, service):
    """The next one can only be heard when the first one is not played any more."""
    _, leg = answered(switch, client)
    first = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    client.event("playback.started", playback_id=first)
    switch.drop_connections()
    eventually(lambda: not service.ctx.nodes.default.ready, "lost")
    client.ok("leg_play_stop", id=leg, playback_id=first)
    client.event("playback.finished", playback_id=first)
    eventually(lambda: service.ctx.nodes.default.ready, "back")
    eventually(lambda: "not playing" in volume_of(switch, leg), "it is silent")
    second = client.ok("leg_play_start", id=leg, tone="busy")["playback_id"]
    client.event("playback.started", playback_id=second)


def volume_of(switch: Any, leg: str) -> str:
    """What the switch says of the file in a leg's own conference; with none there is nothing to change."""
    answer = switch.esl(f"conference leg-{leg} file-vol 0")
    return "playing" if "+OK" in answer else f"not playing: {answer}"


def test_a_playback_whose_end_nobody_told(switch, client, web, monkeypatch):
    monkeypatch.setattr(player_module, "UNTOLD_GRACE_S", 0.2)
    monkeypatch.setattr(player_module, "done", lambda *_: None)
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=web.put("/p.wav", tone(700, 1.0)))["playback_id"]
    client.event("playback.started", playback_id=playback)
    client.event("playback.finished", playback_id=playback, reason="completed", played_ms=1000)


def test_audio_that_cannot_be_prepared_for_reasons_of_ours(client, service, switch, monkeypatch):
    def broken(*_: Any) -> None:
        raise ValueError("decoder")

    monkeypatch.setattr(service.ctx.nodes.default.host, "tone_clip", broken)
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    client.event("playback.error", playback_id=playback, error="fetch audio: internal error")


def test_a_bridge_is_deleted_while_it_is_made(switch, client, service, other, start):
    in_room(switch, client, "a")
    in_room(switch, client, "b")
    with held(service.ctx.nodes.default.sound, "bridge", before=True) as hold:
        create = client.send("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
        hold.entered.wait(20)
        other.ok("bridge_delete", room_id="a", bridge_id="x")
        hold.release()
        reply = client.reply(create)
    assert reply["data"] == {"code": 404, "message": "bridge not found"}
    eventually(lambda: service.ctx.state.items("bridge") == [], "it is forgotten")
    assert not {"room.bridged", "room.unbridged"} & set(client.types())
    client.ok("bridge_create", room_id="a", bridge_id="y", peer_room_id="b")
    service.stop()
    assert [bridge.id for bridge in start().ctx.get(Bridges)] == ["y"]


def test_a_bridge_is_deleted_while_its_direction_changes(switch, client, service, other):
    in_room(switch, client, "a")
    in_room(switch, client, "b")
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
    with held(service.ctx.nodes.default.sound, "bridge_direction") as hold:
        update = client.send("bridge_update", room_id="a", bridge_id="x", direction="send")
        hold.entered.wait(20)
        other.ok("bridge_delete", room_id="a", bridge_id="x")
        hold.release()
        assert client.reply(update)["data"]["code"] == 404
    eventually(lambda: service.ctx.state.items("bridge") == [], "it is forgotten")
    assert "room.bridge_updated" not in client.types()


def test_a_leg_hangs_up_while_its_bucket_is_looked_at(switch, client, service, monkeypatch):
    probing, looked = Event(), Event()

    def probe(*_: Any) -> str:
        probing.set()
        looked.wait(20)
        return ""

    monkeypatch.setattr(uploads, "probe", probe)
    peer, leg = answered(switch, client)
    bucket = {"storage": "s3", "s3_bucket": "bucket", "s3_access_key": "k", "s3_secret_key": "k"}
    start = client.send("leg_record_start", id=leg, **bucket)
    assert probing.wait(20)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    looked.set()
    assert client.reply(start)["data"] == {"code": 404, "message": "leg not found"}
    eventually(lambda: quiet(service), "it is over")


def test_what_was_not_watched_is_as_long_as_its_file(switch, client, service, start, connect):
    peer, leg = in_room(switch, client)
    began = time.monotonic()
    client.ok("room_record_start", id="r", multi_channel=True)
    last = client.event("recording.started", room_id="r")["event_id"]
    (recording,) = service.ctx.get(Recordings)
    heard = time.monotonic()
    eventually(lambda: time.monotonic() > heard + 0.2, "there is something to be written")
    service.stop()
    peer.hang_up()
    switch.esl(f"uuid_kill {recording.recorder}")
    again = connect(start(wait=False), f"?since={last}")
    finished = again.event("recording.finished", room_id="r")
    assert "error" not in finished
    assert finished["channels"][leg]["end_ms"] <= (time.monotonic() - began) * 1000
