"""Playing URLs and tones to legs and rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.calls import answered, finished, ring, started
from tests.support.webserver import tone


def test_a_file_is_played_to_a_leg(switch, client, prompt):
    _, leg = answered(switch, client)
    reply = client.ok("leg_play_start", id=leg, url=prompt)
    assert reply["status"] == "playing"
    assert reply["playback_id"].startswith("pb-") and len(reply["playback_id"]) == 11
    assert started(client, reply["playback_id"])["leg_id"] == leg
    event = finished(client, reply["playback_id"])
    assert (event["leg_id"], event["reason"], event["played_ms"]) == (leg, "completed", 500)
    assert "room_id" not in event
    assert client.error("leg_play_stop", id=leg, playback_id=reply["playback_id"]) == (
        404,
        "no playback in progress",
    )


def test_a_file_is_played_to_a_room(switch, client, prompt):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    playback = client.ok("room_play_start", id="r", url=prompt)["playback_id"]
    event = started(client, playback)
    assert event["room_id"] == "r" and "leg_id" not in event
    assert finished(client, playback)["reason"] == "completed"


def test_stop_and_volume(switch, client, long):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=long, volume=-2)["playback_id"]
    started(client, playback)
    assert client.ok("leg_play_volume", id=leg, playback_id=playback, volume=8) == {"status": "ok"}
    assert client.ok("leg_play_stop", id=leg, playback_id=playback) == {"status": "stopped"}
    event = finished(client, playback)
    assert event["reason"] == "stopped"
    assert 0 <= event["played_ms"] < 30_000
    assert client.error("leg_play_volume", id=leg, playback_id=playback, volume=0) == (
        404,
        "playback not found",
    )


def test_a_tone_plays_until_it_is_stopped(switch, client):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, tone=" DE_Busy ")["playback_id"]
    started(client, playback)
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    assert finished(client, playback)["reason"] == "stopped"


@pytest.mark.beyond("the reference takes the type of a file from its bytes")
def test_an_mp3_file(switch, client, web):
    data = (Path(__file__).parents[1] / "data" / "tone-1000hz-16k.mp3").read_bytes()
    url = web.put("/prompt", data, "audio/mpeg")
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=url)["playback_id"]
    started(client, playback)
    event = finished(client, playback)
    assert event["reason"] == "completed" and event["played_ms"] > 300
    again = client.ok("leg_play_start", id=leg, url=url, mime_type="audio/wav")["playback_id"]
    assert client.event("playback.error", playback_id=again)["error"] == "not a valid WAV file"


def test_an_unknown_tone(switch, client):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, tone="xx_dial")["playback_id"]
    error = client.event("playback.error", playback_id=playback)["error"]
    assert error.startswith('unknown tone "xx_dial", available: au_busy, ')


@pytest.mark.parametrize("repeat", [2, 3])
def test_repeat(switch, client, prompt, repeat):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=prompt, repeat=repeat)["playback_id"]
    started(client, playback)
    assert finished(client, playback)["played_ms"] == 500 * repeat


def test_endless_repeat_is_stopped(switch, client, prompt):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=prompt, repeat=-1)["playback_id"]
    started(client, playback)
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    assert finished(client, playback)["reason"] == "stopped"


@pytest.mark.beyond("the reference tells of the end of the leg first")
def test_the_end_of_the_leg_ends_its_playback_first(switch, client, long):
    peer, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=long)["playback_id"]
    started(client, playback)
    peer.hang_up()
    assert finished(client, playback)["reason"] == "stopped"
    client.event("leg.disconnected", leg_id=leg)
    assert len(client.seen("playback.finished")) == 1


def test_a_playback_goes_with_the_leg_into_a_room_and_out(switch, client, web):
    _, leg = answered(switch, client)
    url = web.put("/three.wav", tone(700, 3))
    playback = client.ok("leg_play_start", id=leg, url=url)["playback_id"]
    started(client, playback)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    assert finished(client, playback)["reason"] == "completed"
    assert len(client.seen("playback.started")) == 1


@pytest.mark.beyond("the playback of an empty room stalls in the reference")
def test_the_last_leg_takes_a_rooms_playback_along(switch, client, long):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    playback = client.ok("room_play_start", id="r", url=long)["playback_id"]
    started(client, playback)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    assert finished(client, playback)["reason"] == "stopped"


@pytest.mark.beyond("the reference tells of the end of the leg first")
def test_deleting_the_room_ends_its_playback(switch, client, long):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    playback = client.ok("room_play_start", id="r", url=long)["playback_id"]
    started(client, playback)
    client.ok("delete_room", id="r")
    assert finished(client, playback)["reason"] == "stopped"
    client.event("leg.disconnected", leg_id=leg)


@pytest.mark.beyond("no leg.early_media for inbound legs by the reference")
def test_before_the_answer(switch, client, prompt):
    _, leg = ring(switch, client)
    assert client.error("leg_play_start", id=leg, url=prompt) == (409, "leg has no audio writer")
    client.ok("leg_early_media", id=leg)
    client.event("leg.early_media", leg_id=leg)
    playback = client.ok("leg_play_start", id=leg, url=prompt)["playback_id"]
    started(client, playback)
    assert finished(client, playback)["reason"] == "completed"
    assert client.ok("get_leg", id=leg)["state"] == "early_media"
    longer = client.ok("leg_play_start", id=leg, tone="us_ringback")["playback_id"]
    started(client, longer)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    client.ok("leg_play_stop", id=leg, playback_id=longer)
    assert finished(client, longer)["reason"] == "stopped"


def test_dtmf_does_not_stop_it(switch, client, long):
    peer, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=long)["playback_id"]
    started(client, playback)
    peer.dtmf("*#1")
    for digit in "*#1":
        assert client.event("dtmf.received", leg_id=leg)["digit"] == digit
    assert not client.seen("playback.finished")


@pytest.mark.parametrize("kind", ["leg", "room"])
def test_refusals(switch, client, kind):
    start, stop, volume = (f"{kind}_play_{verb}" for verb in ("start", "stop", "volume"))
    missing = (404, f"{kind} not found")
    assert client.error(start, id="x", url="http://a/") == missing
    assert client.error(stop, id="x", playback_id="pb-1") == (404, "no playback in progress")
    assert client.error(volume, id="x", playback_id="pb-1", volume=1) == (404, "playback not found")
    assert client.error(volume, id="x", playback_id="pb-1", volume=9) == (
        400,
        "volume must be between -8 and 8",
    )
    client.ok("create_room", id="empty")
    _, leg = answered(switch, client)
    owner = leg if kind == "leg" else "empty"
    assert client.error(start, id=owner) == (400, "url or tone is required")
    assert client.error(start, id=owner, url="http://a/", tone="us_dial") == (
        400,
        "url and tone are mutually exclusive",
    )
    assert client.error(start, id=owner, tone="us_dial", volume=-9) == (
        400,
        "volume must be between -8 and 8",
    )
    if kind == "room":
        assert client.error(start, id=owner, tone="us_dial") == (409, "room has no participants")


@pytest.mark.beyond("an error in the reference")
def test_a_stop_while_the_file_is_fetched(switch, client, web):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=web.url("/hang"))["playback_id"]
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    event = finished(client, playback)
    assert (event["reason"], event["played_ms"]) == ("stopped", 0)
    assert not client.seen("playback.started")
