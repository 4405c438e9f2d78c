"""Transfers through a real switch, by peers that call each other, are strict, and have sound."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import pytest

from tests.support.drivers import eventually
from tests.support.hearing import hears, in_room
from tests.support.sipua import Call, UserAgent
from tests.support.transferee import Transferee
from tests.support.transfers import OVER, ends, referred, said, told, transfer
from tests.support.vsi import VsiClient

TIMES = 50


@pytest.fixture
def bob(switch) -> Iterator[UserAgent]:
    agent = UserAgent(("127.0.0.1", switch.sip_port))
    yield agent
    agent.stop()


@pytest.fixture
def transferee() -> Iterator[Callable[[Call], Transferee]]:
    made: list[Transferee] = []

    def make(call: Call) -> Transferee:
        made.append(Transferee(call))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def called(client, agent: UserAgent, frequency: float, outbound: bool) -> tuple[Call, str]:
    """An answered call with a tone, by or to this agent."""
    if not outbound:
        return in_room(client, agent, frequency)
    host, port = agent.address
    leg = client.ok("create_leg", type="sip", to=f"sip:instant@{host}:{port}", room_id="r")["id"]
    client.event("leg.joined_room", leg_id=leg)
    call = agent.incoming()
    call.rtp.frequency = frequency
    return call, leg


def target(agent: UserAgent, user: str) -> str:
    host, port = agent.address
    return f"sip:{user}@{host}:{port}"


def channels(switch) -> list[str]:
    """The ids of all channels but the bond."""
    rows = json.loads(switch.api("show channels as json")).get("rows", [])
    return [row["uuid"] for row in rows if row["uuid"] != "vsi-bond"]


@pytest.mark.parametrize("outbound", [False, True])
def test_a_blind_transfer(switch, client, agent, bob, transferee, outbound):
    call, leg = called(client, agent, 440, outbound)
    for header, value in (("Replaces", "a;to-tag=b;from-tag=c"), ("Require", "replaces")):
        switch.api(f"uuid_setvar {leg} sip_h_{header} {value}")  # as a call has that took another's place
    transfer(client, leg, target(bob, "answer"))
    referred(call)
    assert not {"replaces", "require"} & call.message("REFER").headers.keys()
    new = transferee(call).follow()
    client.event("leg.transfer_completed", leg_id=leg)
    assert ends(client, leg) == "transfer_completed"
    assert told(client, leg) == [
        "transfer_initiated",
        "transfer_progress",
        "transfer_completed",
        "disconnected",
    ]
    call.wait("BYE")
    bobs = bob.incoming()
    bobs.rtp.frequency = 700
    hears(new, 700)
    hears(bobs, 440)
    assert (call.wrongs, call.seen.count("BYE")) == ([], 1)


@pytest.mark.parametrize(("outbound", "held"), [(False, ""), (False, "by us"), (True, ""), (True, "by bob")])
def test_an_attended_transfer(switch, client, agent, bob, transferee, outbound, held):
    """Bob takes the call only if the dialog is named as he knows it."""
    call, leg = called(client, agent, 440, not outbound)
    bobs, other = called(client, bob, 700, outbound)
    hears(call, 700)
    if held == "by us":
        client.ok("hold_leg", id=other)
        client.event("leg.hold", leg_id=other)
        client.ok("unhold_leg", id=other)
        client.event("leg.unhold", leg_id=other)
    elif held:
        bobs.hold()
        client.event("leg.hold", leg_id=other)
        bobs.unhold()
        client.event("leg.unhold", leg_id=other)
    transfer(client, leg, target(bob, "bob"), replaces_leg_id=other)
    new = transferee(call).follow()
    client.event("leg.transfer_completed", leg_id=leg)
    assert (ends(client, leg), ends(client, other)) == ("transfer_completed", "transfer_completed")
    hears(new, 700)
    hears(bob.incoming(), 440)
    assert (call.wrongs, bobs.wrongs) == ([], [])
    eventually(lambda: channels(switch) == [], "no channel is left")


def test_an_attended_transfer_to_a_dialog_that_is_gone(switch, client, agent, bob, transferee):
    call, leg = called(client, agent, 440, False)
    bobs, other = called(client, bob, 700, True)
    transfer(client, leg, target(bob, "bob"), replaces_leg_id=other)
    referred(call)
    bobs.bye()
    transferee(call).follow("active;expires=60")  # the peer keeps the call
    progress = client.event("leg.transfer_progress", leg_id=leg, status_code=481)
    assert said(progress) == {"status_code": 481, "reason": "Call/Transaction Does Not Exist"}
    assert client.seen("leg.disconnected", leg_id=other) == []  # no verdict yet
    call.notify("SIP/2.0 481 Call/Transaction Does Not Exist", OVER)
    client.event("leg.transfer_failed", leg_id=leg)
    assert (ends(client, other), ends(client, leg)) == ("remote_bye", "remote_bye")


@pytest.mark.slow
def test_a_refer_that_is_not_answered(client, agent):
    call, leg = called(client, agent, 440, False)
    call.refer_code = 0
    transfer(client, leg)
    event = client.event("leg.transfer_failed", leg_id=leg, timeout=36)
    assert said(event) == {"error": "REFER rejected: 408 Request Timeout"}
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    call.bye()


def test_a_service_that_is_killed_in_mid_transfer(switch, service, connect, agent, bob, transferee):
    client = connect(service)
    call, leg = called(client, agent, 440, False)
    bobs, other = called(client, bob, 700, True)
    transfer(client, leg, target(bob, "bob"), replaces_leg_id=other)
    referred(call)
    service.end(signal.SIGKILL)
    transferee(call).follow()
    bobs.wait(lambda one: one.ended)
    last = client.events[-1]["event_id"]
    service.start()
    again = VsiClient(service.address, f"?since={last}")
    try:
        again.event("leg.transfer_completed", leg_id=leg)
        assert ends(again, leg) == "transfer_completed"
        ends(again, other)
        eventually(lambda: channels(switch) == [], "no channel is left")
    finally:
        again.close()


def gauges(service) -> dict[str, float]:
    """What the service counts, by name."""
    text = urlopen(f"http://{service.address}/metrics", timeout=20).read().decode()
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {row[0]: float(row[1]) for row in rows}


def items(directory) -> int:
    """Rows of transfers in the state."""
    with sqlite3.connect(f"file:{directory}/state.sqlite3?mode=ro", uri=True) as database:
        return database.execute("SELECT count(*) FROM items WHERE kind = 'transfer'").fetchone()[0]


def test_many_transfers_leave_nothing_behind(switch, service, client, agent, tmp_path):
    """Blind ones that succeed, are refused and fail, one after the other."""
    fate = [
        (202, "SIP/2.0 200 OK", "leg.transfer_completed"),
        (603, "", "leg.transfer_failed"),
        (202, "SIP/2.0 486 Busy Here", "leg.transfer_failed"),
    ]
    wrongs: list[str] = []
    for number in range(TIMES):
        code, line, kind = fate[number % len(fate)]
        call = agent.call(codecs=["PCMU"])
        leg = client.event("leg.ringing")["leg_id"]
        client.ok("answer_leg", id=leg)
        client.event("leg.connected", leg_id=leg)
        call.refer_code = code
        transfer(client, leg, "sip:nobody@127.0.0.1:9")
        if line:
            referred(call)
            call.notify(line, OVER)
        client.event(kind, leg_id=leg)
        if not line:
            client.ok("delete_leg", id=leg)
        ends(client, leg)
        wrongs += call.wrongs
    assert wrongs == []
    assert len(client.seen("leg.disconnected")) == TIMES
    eventually(lambda: channels(switch) == [], "no channel is left")
    eventually(lambda: items(tmp_path) == 0, "nothing is remembered")

    def counted() -> float:
        found = gauges(service)
        legs = sum(value for name, value in found.items() if name.startswith("vsi_esl_legs"))
        return found["vsi_esl_transfers"] + legs

    eventually(lambda: counted() == 0, "nothing is counted")
