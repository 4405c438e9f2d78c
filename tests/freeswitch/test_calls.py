"""Calls through a real switch: foreign SIP stacks, who hears whom, and restarts of either side."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.drivers import eventually
from tests.support.hearing import SILENT, hears, in_room
from tests.support.ports import free_port
from tests.support.rtp import tone_level
from vsi_esl.translate.adoption import SWITCH_RESTARTED

SIPP = Path(__file__).parent / "sipp"
BLED = 400
"""In a single 20 ms frame: a twentieth of a frame of the tone. The edges of other tones leave up to 150."""
needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="no sipp on this machine")


def sipp(scenario: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = ["sipp", *arguments, "-sf", str(SIPP / scenario), "-i", "127.0.0.1", "-m", "1", "-nostdin"]
    command += ["-timeout", "30", "-timeout_error"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp")


@needs_sipp
def test_sipp_calls_and_hangs_up(switch, client):
    caller = sipp("caller.xml", f"127.0.0.1:{switch.sip_port}", "-s", "+15550199", "-p", str(free_port()))
    ringing = client.event("leg.ringing")
    assert (ringing["from"], ringing["to"], ringing["app_id"]) == ("sipp", "+15550199", "sipp")
    assert [codec["name"] for codec in ringing["offered_codecs"]] == ["PCMA", "PCMU"]
    client.ok("leg_ring", id=ringing["leg_id"])
    client.ok("answer_leg", id=ringing["leg_id"])
    client.event("leg.connected")
    assert client.event("leg.disconnected")["cdr"]["reason"] == "remote_bye"
    assert caller.wait(timeout=40) == 0


@needs_sipp
def test_sipp_is_called(switch, client):
    port = free_port()
    callee = sipp("callee.xml", "-p", str(port))
    eventually(lambda: _bound(port), "sipp listens")
    leg = client.ok("create_leg", type="sip", to=f"sip:sipp@127.0.0.1:{port}", from_="+15550100")["id"]
    client.event("leg.connected", leg_id=leg)
    client.ok("delete_leg", id=leg)
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "api_hangup"
    assert callee.wait(timeout=40) == 0


def _bound(port: int) -> bool:
    return f":{port:04X} " in Path("/proc/net/udp").read_text()


def test_who_hears_whom(client, agent):
    first, one = in_room(client, agent, 440)
    second, two = in_room(client, agent, 700)
    third, three = in_room(client, agent, 1020, room="elsewhere")
    hears(first, 700, True)
    hears(second, 440, True)
    hears(first, 440, False)
    hears(first, 1020, False)
    client.ok("mute_leg", id=one)
    hears(second, 440, False)
    hears(first, 700, True)
    client.ok("unmute_leg", id=one)
    hears(second, 440, True)
    client.ok("deaf_leg", id=two)
    hears(second, 440, False)
    hears(first, 700, True)
    client.ok("undeaf_leg", id=two)
    client.ok("add_leg_to_room", room_id="r", leg_id=three, mute=True)
    hears(third, 440, True)
    hears(first, 1020, False)
    client.ok("hold_leg", id=two)
    client.event("leg.hold", leg_id=two)
    hears(second, 440, False)
    client.ok("unhold_leg", id=two)
    client.event("leg.unhold", leg_id=two)
    hears(second, 440, True)
    client.ok("remove_leg_from_room", room_id="r", leg_id=two)
    hears(first, 700, False)
    for call in (first, second, third):
        call.bye()


def test_a_leg_in_no_room_is_sent_silence(client, agent):
    """Its peer, and what lies between, would take the call for dead."""
    call, leg = in_room(client, agent, 440)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    call.rtp.forget()
    received = call.rtp.received
    eventually(lambda: call.rtp.received - received >= 50, "50 packets")
    assert call.rtp.level(440) < SILENT
    other = agent.call(codecs=["PCMU"])
    client.ok("answer_leg", id=client.event("leg.ringing")["leg_id"])
    other.wait("200")
    eventually(lambda: other.rtp.received >= 50, "50 packets")
    for one in (call, other):
        one.bye()


def test_digits_do_not_control_the_conference(client, agent):
    first, one = in_room(client, agent, 440)
    second, _ = in_room(client, agent, 700)
    first.dtmf("0123456789*#")
    for digit in "0123456789*#":
        client.event("dtmf.received", leg_id=one, digit=digit)
    hears(first, 700, True)
    hears(second, 440, True)
    view = client.ok("get_leg", id=one)
    assert (view["muted"], view["deaf"], view["state"]) == (False, False, "connected")


def test_no_call_notices_that_the_service_was_killed(switch, agent, service, connect):
    client = connect(service)
    first, one = in_room(client, agent, 440)
    second, two = in_room(client, agent, 700)
    client.ok("mute_leg", id=two)
    before = sorted(client.ok("list_legs"), key=lambda leg: leg["id"])
    service.end(signal.SIGKILL)
    packets = second.rtp.received
    hears(second, 440, True)
    assert second.rtp.received > packets
    service.start()
    client = connect(service)
    assert sorted(client.ok("list_legs"), key=lambda leg: leg["id"]) == before
    (room,) = client.ok("list_rooms")
    assert {leg["id"] for leg in room["participants"]} == {one, two}
    client.ok("unmute_leg", id=two)
    hears(first, 700, True)
    assert "BYE" not in first.seen + second.seen


def test_a_terminated_service_leaves_the_calls_up(agent, service, connect):
    client = connect(service)
    first, one = in_room(client, agent, 440)
    service.end(signal.SIGTERM)
    assert client.closed.wait(20)
    assert client.close_code == 1001
    service.start()
    client = connect(service)
    assert [leg["id"] for leg in client.ok("list_legs")] == [one]
    assert "BYE" not in first.seen


def test_a_killed_switch_is_reported_and_found_again(switch, agent, service, connect):
    client = connect(service)
    _, leg = in_room(client, agent, 440)
    switch.kill9()
    switch.start()
    event = client.event("leg.disconnected", leg_id=leg, timeout=30)
    assert event["cdr"]["reason"] == SWITCH_RESTARTED
    call = agent.call(codecs=["PCMU"])
    client.rewind()
    ringing = client.event("leg.ringing")
    while ringing["leg_id"] == leg:
        ringing = client.event("leg.ringing")
    client.ok("add_leg_to_room", room_id="r", leg_id=ringing["leg_id"])
    call.wait("200")


def test_not_a_frame_goes_where_the_matrix_forbids_it(client, agent):
    """Somebody with a loud tone joins, changes role, leaves and returns; one listener must never hear it."""
    client.ok("create_room", id="r", sample_rate=8000)
    client.ok("room_routing_set", room_id="r", matrix={"customer": ["agent"]})
    customer, one = in_room(client, agent, 440, role="customer")
    helper, _ = in_room(client, agent, 700, role="agent")
    hears(customer, 700, True)
    customer.rtp.kept = []
    spy, three = in_room(client, agent, 2000, role="spy")
    hears(helper, 2000, True)
    client.ok("remove_leg_from_room", room_id="r", leg_id=three)
    client.ok("add_leg_to_room", room_id="r", leg_id=three)
    hears(helper, 2000, True)
    client.ok("add_leg_to_room", room_id="elsewhere", leg_id=one)
    client.ok("add_leg_to_room", room_id="r", leg_id=one)
    hears(customer, 700, True)
    frames = customer.rtp.kept
    assert len(frames) > 50
    assert max(tone_level(frame, 2000) for frame in frames) < BLED
    client.ok("set_leg_role", leg_id=three, role="agent")
    hears(customer, 2000, True)
    for call in (customer, helper, spy):
        call.bye()
