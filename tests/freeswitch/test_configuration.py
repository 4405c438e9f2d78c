"""What freeswitch_conf/ and dialplan/ promise, on a real switch."""

from __future__ import annotations

import json
import random
import re

import pytest

from tests.support.drivers import eventually
from vsi_esl.switch.esl.client import EslClient
from vsi_esl.switch.lines import builder

PARK_LIMIT_S = 5


@pytest.fixture
def esl(switch) -> EslClient:
    client = switch.client()
    yield client
    client.stop()


def test_our_files_load_without_an_error(switch):
    log = switch.log_path.read_text()
    assert not re.findall(r"\[(?:ERR|CRIT|ALERT)\].*", log)


def test_a_call_that_no_service_takes_gets_503(agent):
    call = agent.call()
    call.wait("503")
    assert call.ended


def test_a_call_that_is_taken_over_stays(switch, agent, esl):
    call = agent.call()
    found: list[str] = []

    def parked() -> bool:
        rows = json.loads(switch.api("show channels as json")).get("rows", [])
        ids = [row["uuid"] for row in rows]
        found[:] = [one for one in ids if esl.send(f"api uuid_getvar {one} sip_call_id") == call.call_id]
        return bool(found)

    eventually(parked, "it is parked")
    assert esl.send(f"api {builder.cancel_schedule(found[0])}") == "+OK Deleted: 1"
    with pytest.raises(AssertionError):
        call.wait("503", timeout=PARK_LIMIT_S + 2)
    assert not call.ended


def test_the_wire_tells_nothing_of_the_switch(agent):
    call = agent.call(offer=True)
    call.wait("503")
    for message in call.messages:
        shown = message.get("server") + message.get("user-agent")
        assert "freeswitch" not in shown.lower()
        assert shown == "vsi"


def test_an_invite_with_replaces_takes_nobody_over(client, agent):
    victim = agent.call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    for replaces in (f"{victim.call_id};to-tag=0;from-tag=0", f"{leg};to-tag=0;from-tag=0"):
        intruder = agent.call(headers={"replaces": replaces}, codecs=["PCMU"])
        intruder.wait(lambda call: call.ended or "503" in call.seen)
    assert "BYE" not in victim.seen
    view = client.ok("get_leg", id=leg)
    assert (view["state"], view["room_id"]) == ("connected", "r")


def test_session_timers_of_90_seconds_are_accepted(client, agent):
    call = agent.call(headers={"session-expires": "90", "supported": "timer"})
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    call.wait("200")
    assert "422" not in call.seen


@pytest.mark.parametrize(
    ("asked", "answered", "held"),
    [
        ({}, "", ""),
        ({"supported": "timer"}, "", ""),
        ({"supported": "timer", "session-expires": "600"}, "600;refresher=uac", "600;refresher=uas"),
        ({"session-expires": "3600"}, "3600;refresher=uas", "3600;refresher=uac"),
    ],
)
def test_a_session_timer_is_the_callers_or_none(client, agent, asked, answered, held):
    call = agent.call(headers=asked)
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    call.wait("200")
    assert call.message("200").get("session-expires") == answered
    client.event("leg.connected", leg_id=leg)
    client.ok("hold_leg", id=leg)
    call.wait("INVITE sendonly")
    assert call.message("INVITE sendonly").get("session-expires") == held


@pytest.mark.parametrize(
    ("asked", "held"),
    [({}, "90;refresher=uac"), ({"headers": {"Session-Expires": "600"}}, "600;refresher=uac")],
)
def test_a_session_timer_of_the_callees_answer_is_taken(client, agent, asked, held):
    agent.answers_with = {"session-expires": "90;refresher=uac", "supported": "timer"}
    uri = f"sip:instant@127.0.0.1:{agent.address[1]}"
    leg = client.ok("create_leg", type="sip", to=uri, **asked)["id"]
    client.event("leg.connected", leg_id=leg)
    client.ok("hold_leg", id=leg)
    call = agent.incoming()
    call.wait("INVITE sendonly")
    assert call.message("INVITE sendonly").get("session-expires") == held


def random_text(generator: random.Random) -> str:
    alphabet = "abcXYZ019 \\'\",;={}()[]|$%^&*:_/<>?!@#~`-+.\u00e9\u20ac"
    return "".join(generator.choice(alphabet) for _ in range(generator.randint(1, 40)))


def test_values_come_back_as_sent(switch, esl):
    """Rules A and C with some hundred strings, on the real parsers."""
    generator = random.Random(20_260_526)
    target = "00000000-0000-4000-8000-0000000000aa"
    esl.send(f"api {builder.originate_null(target, {'vsi_internal': 'true'})}")
    for number in range(300):
        value = random_text(generator)
        esl.send(f"api {builder.setvar(target, 'vsi_probe', value)}")
        assert esl.send(f"api uuid_getvar {target} vsi_probe") == value
        try:
            line = builder.originate_null(f"probe-{number}", {"vsi_probe": value, "vsi_after": "ok"})
        except builder.BadArgument:
            assert re.search(r"[{}]|\$\{|:_:", value)
            continue
        assert esl.send(f"api {line}").startswith("+OK")
        assert esl.send(f"api uuid_getvar probe-{number} vsi_probe") == value
        assert esl.send(f"api uuid_getvar probe-{number} vsi_after") == "ok"
        esl.send(f"api uuid_kill probe-{number}")
    esl.send(f"api uuid_kill {target}")
