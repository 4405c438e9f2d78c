"""Answering machine detection: what answered, and the beep of a machine."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, ring
from tests.support.drivers import eventually
from tests.support.sounds import RATE, sequence, silence, tone
from tests.support.words import spoken

PATIENT = {"initial_silence_timeout": 15_000, "total_analysis_time": 25_000}
"""For a callee who may need a moment."""
HELLO = sequence(silence(0.3), tone(440, 0.4))
GREETING = sequence(silence(0.3), tone(440, 1.8))
MEMBERS = ("initial_silence_ms", "greeting_duration_ms", "total_analysis_ms")


@pytest.fixture(autouse=True)
def listening(switch, client) -> None:
    """A first detection is over, so that what listens has been started."""
    leg, callee = dial(switch, client, initial_silence_timeout=40)
    assert result(client, leg)[0] == "no_speech"
    callee.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    client.events.clear()
    client.rewind()


def dial(switch, client, **amd: int) -> tuple[str, object]:
    """An answered call with a detection from its answer on; the leg, and who answered."""
    request = {"type": "sip", "to": switch.uri("answer"), "codecs": ["PCMU"], "amd": amd}
    leg = client.ok("create_leg", **request)["id"]
    client.event("leg.connected", leg_id=leg)
    return leg, switch.callee()


def result(client, leg: str) -> tuple[str, dict[str, int]]:
    event = client.event("amd.result", leg_id=leg)
    times = {name: event[name] for name in MEMBERS}
    assert all(value >= 0 and value % 20 == 0 for value in times.values()), times
    return event["result"], times


def test_who_says_hello_and_waits_is_human(switch, client):
    leg, callee = dial(switch, client, **PATIENT)
    callee.say(HELLO, RATE)
    found, times = result(client, leg)
    assert found == "human"
    assert 300 <= times["greeting_duration_ms"] <= 800
    known = times["initial_silence_ms"] + times["greeting_duration_ms"] + 800
    assert known - 40 <= times["total_analysis_ms"] <= known
    assert client.types(leg_id=leg)[:3] == ["leg.ringing", "leg.connected", "amd.result"]


def test_what_goes_on_is_a_machine_and_its_beep_is_told(switch, client):
    leg, callee = dial(switch, client, **PATIENT, beep_timeout=5000)
    callee.say(sequence(GREETING, silence(0.3), tone(1000, 0.3)), RATE)
    found, times = result(client, leg)
    assert (found, times["greeting_duration_ms"]) == ("machine", 1500)
    beep = client.event("amd.beep", leg_id=leg)["beep_ms"]
    assert beep == pytest.approx(300 + 300 + 80, abs=200)
    assert len(client.seen("amd.result")) == len(client.seen("amd.beep")) == 1


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("hello", "human"),
        ("hello, who is this?", "human"),
        ("hi, you have reached Bob and Alice, please leave a message after the tone", "machine"),
    ],
)
def test_words(switch, client, words, verdict):
    samples, rate = spoken(words)
    leg, callee = dial(switch, client, **PATIENT)
    callee.say(samples, rate)
    assert result(client, leg)[0] == verdict


def test_a_beep_that_nobody_asked_for_is_not_told(switch, client):
    leg, callee = dial(switch, client, **PATIENT)
    callee.say(sequence(GREETING, tone(1000, 0.3)), RATE)
    assert result(client, leg)[0] == "machine"
    callee.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    assert not client.seen("amd.beep")


def test_who_says_nothing(switch, client):
    leg, _ = dial(switch, client, initial_silence_timeout=500)
    found, times = result(client, leg)
    assert found == "no_speech"
    assert times == {"initial_silence_ms": 500, "greeting_duration_ms": 0, "total_analysis_ms": 500}


def test_when_the_time_is_up_it_is_not_sure(switch, client):
    leg, callee = dial(switch, client, greeting_duration=5000, total_analysis_time=3000)
    callee.talk(True)
    found, times = result(client, leg)
    assert (found, times["total_analysis_ms"]) == ("not_sure", 3000)
    assert 0 < times["greeting_duration_ms"] < 3000


def test_defaults(switch, client):
    leg, callee = dial(switch, client)
    callee.talk(True)
    assert result(client, leg)[0] == "machine"


def test_none_is_made_that_nobody_asked_for(switch, client):
    leg = client.ok("create_leg", type="sip", to=switch.uri("answer"), codecs=["PCMU"])["id"]
    client.event("leg.connected", leg_id=leg)
    assert client.ok("leg_amd_start", id=leg, initial_silence_timeout=100) == {"status": "started"}
    assert result(client, leg)[0] == "no_speech"
    assert len(client.seen("amd.result")) == 1


# -- leg_amd_start ------------------------------------------------------------------------------------------


def test_a_caller_is_listened_to_as_well(switch, client):
    peer, leg = answered(switch, client, codecs=["PCMU"])
    assert client.ok("leg_amd_start", id=leg, **PATIENT) == {"status": "started"}
    peer.say(HELLO, RATE)
    assert result(client, leg)[0] == "human"


def test_refusals(switch, client):
    assert client.error("leg_amd_start", id="nobody", greeting_duration=-1) == (404, "leg not found")
    peer, leg = ring(switch, client)
    must = "leg must be connected, current state: "
    assert client.error("leg_amd_start", id=leg, greeting_duration=-1) == (409, f"{must}ringing")
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    assert client.error("leg_amd_start", id=leg, greeting_duration=-1) == (
        400,
        "invalid AMD params: greeting_duration must be positive",
    )
    assert client.error("leg_amd_start", id=leg, total_analysis_time=900) == (
        400,
        "invalid AMD params: total_analysis_time is too short to reach any verdict; "
        "every call would end not_sure",
    )
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    assert client.error("leg_amd_start", id=leg) == (409, f"{must}held")
    assert not client.seen("amd.result")


def test_a_second_one_takes_the_place_of_the_first(switch, client):
    _, leg = answered(switch, client)
    client.ok("leg_amd_start", id=leg, initial_silence_timeout=3000)
    client.ok("leg_amd_start", id=leg, initial_silence_timeout=3500)
    assert result(client, leg)[1]["total_analysis_ms"] == 3500
    assert len(client.seen("amd.result")) == 1
    client.ok("leg_amd_start", id=leg, initial_silence_timeout=100)
    assert result(client, leg)[1]["total_analysis_ms"] == 100


def test_the_leg_is_usable_meanwhile(switch, client):
    peer, leg = answered(switch, client, codecs=["PCMU"])
    client.ok("leg_amd_start", id=leg, **PATIENT)
    client.ok("mute_leg", id=leg)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    recording = client.ok("leg_record_start", id=leg)["file"]
    playback = client.ok("leg_play_start", id=leg, tone="us_dial")["playback_id"]
    client.event("playback.started", playback_id=playback)
    peer.say(HELLO, RATE)
    client.ok("send_leg_dtmf", id=leg, digits="1")
    assert result(client, leg)[0] == "human"
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    assert client.ok("leg_record_stop", id=leg)["file"] == recording
    eventually(lambda: peer.digits == "1", "the digit")


# -- the end of the call ------------------------------------------------------------------------------------


@pytest.mark.beyond("the reference of August 2026 tells no verdict of a call that has ended")
@pytest.mark.parametrize("who", ["we", "they"])
def test_a_call_that_ends_before_its_verdict_is_not_sure_once(switch, client, who):
    leg, callee = dial(switch, client, initial_silence_timeout=20_000, total_analysis_time=30_000)
    client.ok("leg_record_start", id=leg)
    client.event("recording.started", leg_id=leg)
    if who == "we":
        client.ok("delete_leg", id=leg)
    else:
        callee.hang_up()
    assert result(client, leg)[0] == "not_sure"
    client.event("leg.disconnected", leg_id=leg)
    assert len(client.seen("amd.result")) == 1


@pytest.mark.parametrize("behaviour", ["reject-486", "ring"])
def test_a_call_that_is_not_answered_has_no_verdict(switch, client, behaviour):
    request = {"type": "sip", "to": switch.uri(behaviour), "ring_timeout": 1, "amd": {}}
    leg = client.ok("create_leg", **request)["id"]
    client.event("leg.disconnected", leg_id=leg)
    assert not client.seen("amd.result")
