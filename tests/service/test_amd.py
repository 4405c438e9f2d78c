"""Answering machine detection when a worker, the service or the call ends in the middle of it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.service import crash
from tests.support.sounds import RATE, sequence, silence, tone
from vsi_esl.amd.detecting import KIND, Detections
from vsi_esl.live.sessions import Sessions

ENDLESS = {"initial_silence_timeout": 50_000, "greeting_duration": 50_000, "total_analysis_time": 60_000}
MACHINE = {
    "initial_silence_timeout": 15_000,
    "greeting_duration": 200,
    "total_analysis_time": 20_000,
    "beep_timeout": 20_000,
}
UNKNOWN = {"result": "not_sure", "initial_silence_ms": 0, "greeting_duration_ms": 0, "total_analysis_ms": 0}
BEEP = sequence(silence(0.2), tone(1000, 0.5))


def listened_to(switch, client, **thresholds: int):
    """An answered call that a detection hears; the one who called, and the leg."""
    peer, leg = answered(switch, client, codecs=["PCMU"])
    client.ok("leg_amd_start", id=leg, initial_silence_timeout=40)
    client.event("amd.result", leg_id=leg, result="no_speech")  # what listens has been started
    client.ok("leg_amd_start", id=leg, **thresholds)
    return peer, leg


def machine(switch, client):
    """One that is waited for to beep."""
    peer, leg = listened_to(switch, client, **MACHINE)
    peer.says(440)
    client.event("amd.result", leg_id=leg, result="machine")
    peer.says(0)
    return peer, leg


def clean(switch, service, leg: str) -> None:
    """Until nothing is left of detections: here, or on the switch."""
    ctx = service.ctx
    eventually(lambda: len(ctx.get(Sessions)) == 0, "no session is left")
    eventually(lambda: ctx.get(Detections).running == {}, "none is running")
    eventually(lambda: ctx.state.items(KIND) == [], "none is kept")
    eventually(lambda: "<function>" not in switch.esl(f"uuid_buglist {leg}"), "nothing listens to the leg")


def kill_worker(service) -> None:
    """And wait until that is seen."""
    (session,) = service.ctx.get(Sessions)
    os.kill(session.worker.pid, signal.SIGKILL)
    session.done.get(timeout=20)


def test_a_worker_that_dies_leaves_it_not_sure_and_the_call_up(switch, service, client):
    peer, leg = listened_to(switch, client, **ENDLESS)
    kill_worker(service)
    event = client.event("amd.result", leg_id=leg)
    assert event.items() >= UNKNOWN.items()
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    clean(switch, service, leg)
    client.ok("leg_amd_start", id=leg, greeting_duration=300)
    peer.says(440)
    client.event("amd.result", leg_id=leg, result="machine")
    assert len(client.seen("amd.result")) == 3


def test_a_worker_that_dies_before_the_beep_is_replaced(switch, service, client):
    peer, leg = machine(switch, client)
    kill_worker(service)
    eventually(lambda: attached(service), "another one listens")
    peer.say(BEEP, RATE)
    client.event("amd.beep", leg_id=leg)
    clean(switch, service, leg)


def attached(service) -> bool:
    sessions = list(service.ctx.get(Sessions))
    return len(sessions) == 1 and sessions[0].attached.is_set()


def verdicts(connect, service, since: str) -> list[str]:
    """All verdicts since an event, up to now."""
    client = connect(service, f"?since={since}")
    room = client.ok("create_room")["id"]
    client.event("room.created", room_id=room)
    return [event["result"] for event in client.seen("amd.result")]


def test_after_a_kill_of_the_service_it_is_not_sure_once(switch, start, connect):
    service = start()
    client = connect(service)
    _, leg = listened_to(switch, client, **ENDLESS)
    (connected,) = client.seen("leg.connected")
    for _ in range(2):
        service.ctx.history.flush()
        crash(service)
        service = start()
        assert verdicts(connect, service, connected["event_id"]) == ["no_speech", "not_sure"]
        clean(switch, service, leg)
    assert connect(service).ok("get_leg", id=leg)["state"] == "connected"


def test_after_a_kill_of_the_service_a_beep_is_still_waited_for(switch, start, connect):
    service = start()
    peer, leg = machine(switch, connect(service))
    crash(service)
    service = start()
    client = connect(service)
    eventually(lambda: attached(service), "it listens again")
    peer.say(BEEP, RATE)
    assert client.event("amd.beep", leg_id=leg)["beep_ms"] > 200
    clean(switch, service, leg)


def test_a_call_that_rings_over_a_restart_is_listened_to_at_its_answer(switch, start, connect):
    service = start()
    client = connect(service)
    leg = client.ok("create_leg", type="sip", to=switch.uri("ring"), amd={"initial_silence_timeout": 60})[
        "id"
    ]
    eventually(lambda: bool(switch.channels(leg)), "it rings")
    crash(service)
    client = connect(start())
    switch.callee().answer()
    client.event("leg.connected", leg_id=leg)
    assert client.event("amd.result", leg_id=leg)["result"] == "no_speech"


def test_a_stop_of_the_service_leaves_it_to_the_next_one(switch, start, connect):
    service = start()
    client = connect(service)
    _, leg = listened_to(switch, client, **ENDLESS)
    (connected,) = client.seen("leg.connected")
    service.stop()
    service = start()
    assert verdicts(connect, service, connected["event_id"]) == ["no_speech", "not_sure"]
    clean(switch, service, leg)


@pytest.mark.parametrize("ends", ["verdict", "replaced", "hung up"])
def test_many_leave_nothing_behind(switch, service, client, ends):
    thresholds = {"initial_silence_timeout": 40} if ends == "verdict" else ENDLESS
    _, leg = listened_to(switch, client, **thresholds)
    for _ in range(20):
        if ends == "verdict":
            client.event("amd.result", leg_id=leg, result="no_speech")
        elif ends == "hung up":
            client.ok("delete_leg", id=leg)
            client.event("leg.disconnected", leg_id=leg)
            _, leg = answered(switch, client, codecs=["PCMU"])
        client.ok("leg_amd_start", id=leg, **thresholds)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    clean(switch, service, leg)
