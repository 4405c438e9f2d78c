"""The wall clock is set while calls are up, by an hour forwards and backwards. Nothing is to change by it."""

from __future__ import annotations

import time

import pytest

from tests.support.calls import answered, in_room
from tests.support.drivers import eventually
from tests.support.webserver import tone
from vsi_esl.work import clock

LIMIT_S = 2


@pytest.fixture(params=[3600.0, -3600.0], ids=["forwards", "backwards"])
def step(request, monkeypatch):
    """Set the clock."""
    wall, by = time.time, request.param

    def set_clock() -> None:
        monkeypatch.setattr(time, "time", lambda: wall() + by)

    return set_clock


def test_a_file_that_was_heard_to_its_end_is_completed(switch, client, web, step):
    _, leg = answered(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=web.put("/p.wav", tone(700, 1.0)))["playback_id"]
    client.event("playback.started", playback_id=playback)
    step()
    finished = client.event("playback.finished", playback_id=playback)
    assert (finished["reason"], finished["played_ms"]) == ("completed", 1000)


def test_a_file_that_goes_with_its_leg_goes_on_where_it_was(switch, client, web, step):
    _, leg = answered(switch, client)
    in_room(switch, client)
    playback = client.ok("leg_play_start", id=leg, url=web.put("/p.wav", tone(700, 2.0)))["playback_id"]
    client.event("playback.started", playback_id=playback)
    step()
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    finished = client.event("playback.finished", playback_id=playback)
    assert finished["reason"] == "completed"


def test_a_tone_that_is_stopped_was_played_as_long_as_it_was(switch, client, step):
    _, leg = answered(switch, client)
    began = time.monotonic()
    playback = client.ok("leg_play_start", id=leg, tone="dial")["playback_id"]
    client.event("playback.started", playback_id=playback)
    step()
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    longest = (time.monotonic() - began) * 1000
    assert 0 <= client.event("playback.finished", playback_id=playback)["played_ms"] <= longest


@pytest.mark.parametrize("multi_channel", [False, True])
def test_a_recording_is_as_long_as_its_file(switch, client, multi_channel, step):
    began = time.monotonic()
    _, leg = in_room(switch, client)
    client.ok("room_record_start", id="r", multi_channel=multi_channel)
    client.ok("leg_record_start", id=leg)
    step()
    late = in_room(switch, client)[1]
    client.ok("leg_record_stop", id=leg)
    client.ok("room_record_stop", id="r")
    assert "error" not in client.event("recording.finished", leg_id=leg)
    finished = client.event("recording.finished", room_id="r")
    assert "error" not in finished
    if multi_channel:
        longest = (time.monotonic() - began) * 1000
        for one in (leg, late):
            channel = finished["channels"][one]
            assert 0 <= channel["start_ms"] <= channel["end_ms"] <= longest


def test_a_call_lasts_as_long_as_it_lasted(switch, client, step):
    began = time.monotonic()
    peer, leg = answered(switch, client)
    step()
    peer.hang_up()
    cdr = client.event("leg.disconnected", leg_id=leg)["cdr"]
    longest = time.monotonic() - began + 0.1
    assert 0 <= cdr["duration_answered"] <= cdr["duration_total"] <= longest


def test_max_duration_and_ring_timeout_over_a_restart(switch, start, connect, step):
    service = start()
    client = connect(service)
    began = time.monotonic()
    talking = client.ok("create_leg", type="sip", to=switch.uri("instant"), max_duration=LIMIT_S)["id"]
    connected = client.event("leg.connected", leg_id=talking)
    client.ok("create_leg", type="sip", to=switch.uri("ring"), ring_timeout=LIMIT_S)
    service.stop()
    step()
    again = connect(start(wait=False), f"?since={connected['event_id']}")
    reasons = {}
    for _ in range(2):
        event = again.event("leg.disconnected")
        reasons[event["cdr"]["reason"]] = event["cdr"]
        if event["leg_id"] == talking:
            assert time.monotonic() - began > LIMIT_S / 2
    assert reasons.keys() == {"max_duration", "ring_timeout"}
    assert all(cdr["duration_total"] < 60 for cdr in reasons.values())


def test_a_timer_goes_off_after_its_time(client, service, step):
    fired: list[str] = []
    step()
    service.ctx.timers.at("x", "now", clock.now() + 0.05, fired.append, "now")
    service.ctx.timers.at("x", "late", clock.now() + 60, fired.append, "late")
    eventually(lambda: fired == ["now"], "the one that is due")
    assert service.ctx.timers.pending("x", "late")
