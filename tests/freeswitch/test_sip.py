"""SIP on a real switch: connections that go, certificates that are not trusted, codecs and timers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gevent import socket

from tests.support import certs
from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.sipua import UserAgent
from tests.support.sipwire import Wire

from .conftest import ServiceProcess


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certs.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory, trust: Path) -> Iterator[PrivateSwitch]:
    """One with certificates."""
    switch = PrivateSwitch(tmp_path_factory.mktemp("switch"), tls=trust)
    switch.start()
    try:
        for module in ("mod_amr", "mod_amrwb"):
            switch.api(f"load {module}")  # where there are such
        switch.make_first_conference()
        yield switch
    finally:
        switch.stop()


@pytest.fixture
def reached(switch: PrivateSwitch, trust: Path) -> Iterator[Callable[..., UserAgent]]:
    """User agents that are reached by a transport."""
    agents: list[UserAgent] = []

    def by(transport: str, trusts: Path = trust, **more: str) -> UserAgent:
        port = switch.tls_port if transport == "tls" else switch.sip_port
        agents.append(UserAgent(("127.0.0.1", port), Wire(transport, trust=trusts, **more)))
        return agents[-1]

    yield by
    for agent in agents:
        agent.stop()
    switch.api("hupall")


def dialled(client, agent, transport, **request):
    uri = f"sip:instant@{agent.at};transport={transport}"
    return client.ok("create_leg", type="sip", to=uri, **request)["id"]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_callers_over_a_connection(client, reached, transport):
    call = reached(transport).call(codecs=["PCMU"])
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    call.wait("200")
    assert f";transport={transport}>" in call.message("200").get("contact")
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)
    call.bye()
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_connection_that_is_lost_is_made_again_for_the_bye(client, reached, transport):
    agent = reached(transport)
    leg = dialled(client, agent, transport)
    client.event("leg.connected", leg_id=leg)
    agent.wire.drop()
    client.ok("delete_leg", id=leg)
    agent.incoming().wait("BYE")
    assert agent.wire.connections == 2
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "api_hangup"


def test_a_peer_whose_certificate_nobody_trusts_is_told_nothing(client, reached, tmp_path):
    agent = reached("tls", certs.make(tmp_path / "other"))
    leg = dialled(client, agent, "tls", ring_timeout=1)
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "ring_timeout"
    assert agent.wire.connections == 1
    assert agent.calls == {}


def test_a_peer_that_never_finishes_its_handshake_is_given_up(client, switch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"sip:a@127.0.0.1:{silent.getsockname()[1]};transport=tls"
        leg = client.ok("create_leg", type="sip", to=uri, ring_timeout=1)["id"]
        assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "ring_timeout"
    eventually(lambda: switch.api(f"uuid_exists {leg}") == "false", "nothing is left")


def test_bytes_that_are_no_sip_do_not_hurt(client, reached, switch):
    for port in (switch.sip_port, switch.tls_port):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"\x16\x03\x01" + bytes(range(256)) * 20)
    test_callers_over_a_connection(client, reached, "tcp")


@pytest.mark.parametrize("name", ["AMR-WB", "AMR-NB", "G722", "opus"])
def test_codecs_by_name(client, agent, switch, name):
    module = {"AMR-WB": "mod_amrwb", "AMR-NB": "mod_amr", "opus": "mod_opus"}.get(name, "mod_spandsp")
    if switch.api(f"module_exists {module}").strip() != "true":
        uri = f"sip:instant@{agent.at}"
        code, message = client.error("create_leg", type="sip", to=uri, codecs=[name])
        assert code == 501 and module in message
        pytest.skip(f"the switch has no {name}")
    leg = client.ok("create_leg", type="sip", to=f"sip:instant@{agent.at}", codecs=[name, "PCMU"])["id"]
    client.event("leg.connected", leg_id=leg)
    call = agent.incoming()
    assert call.codec == {"AMR-NB": "AMR"}.get(name, name)
    rate = {"AMR-NB": 8000, "opus": 48000}.get(name, 16000)
    assert switch.api(f"uuid_getvar {leg} read_rate").strip() == str(rate)
    client.ok("send_leg_dtmf", id=leg, digits="5")
    eventually(lambda: call.rtp.digits == "5", "a digit comes")
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)


def test_a_caller_offers_amr(switch, tmp_path, connect, agent):
    if switch.api("module_exists mod_amrwb").strip() != "true":
        pytest.skip("the switch has no AMR-WB")
    process = ServiceProcess(switch, tmp_path, SIP_CODECS="AMR-WB,PCMU")
    process.start()
    try:
        client = connect(process)
        call = agent.call(codecs=["AMR-WB", "PCMU"])
        ringing = client.event("leg.ringing")
        (first, _) = ringing["offered_codecs"]
        assert first == {"name": "AMR-WB", "payload_type": 112, "clock_rate": 16000, "priority": 1}
        client.ok("answer_leg", id=ringing["leg_id"])
        client.event("leg.connected")
        call.wait("200")
        assert call.codec == "AMR-WB"
        call.bye()
    finally:
        process.end()


def test_an_update_renews_the_session(client, agent):
    call = agent.call(codecs=["PCMU"], headers={"supported": "timer", "session-expires": "90;refresher=uac"})
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    call.wait("200")
    assert "UPDATE" in call.message("200").get("allow")
    call.request("UPDATE", headers={"supported": "timer", "session-expires": "90;refresher=uac"})
    call.wait("200 UPDATE")
    assert call.message("200 UPDATE").get("session-expires") == "90;refresher=uac"
    call.request("INVITE")  # without an offer: ours comes
    eventually(lambda: call.seen.count("200") == 2, "it is answered")
    # the switch ends a call whose offer is acknowledged without an answer, soon after
    answers = [message for what, message in zip(call.seen, call.messages, strict=False) if what == "200"]
    assert "m=audio" in answers[1].body


def test_a_callee_that_wants_a_longer_session(client, agent):
    """422 with Min-SE: the INVITE goes out again with it (RFC 4028, 7.2)."""
    agent.min_se = 600
    leg = client.ok(
        "create_leg", type="sip", to=f"sip:instant@{agent.at}", headers={"Session-Expires": "90"}
    )["id"]
    client.event("leg.connected", leg_id=leg)
    invite = agent.incoming().invite
    assert invite is not None
    assert (invite.get("session-expires"), invite.get("min-se")) == ("600;refresher=uac", "600")


@pytest.mark.slow
def test_a_session_that_nobody_renews_expires(client, agent):
    call = agent.call(codecs=["PCMU"], headers={"supported": "timer", "session-expires": "90;refresher=uac"})
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    event = client.event("leg.disconnected", leg_id=leg, timeout=100)
    assert event["cdr"]["reason"] == "session_expired"
    assert 70 <= event["cdr"]["duration_answered"] <= 120
    call.wait("BYE")


@pytest.mark.slow
@pytest.mark.parametrize("offer", [True, False])
def test_a_caller_that_never_acknowledges(client, agent, offer):
    call = agent.call(offer=offer)
    call.acknowledges = False
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    event = client.event("leg.disconnected", leg_id=leg, timeout=40)
    assert event["cdr"]["reason"] == "connect_failed"
    call.wait("BYE")


@pytest.fixture
def names_directions(switch: PrivateSwitch) -> Iterator[None]:
    """The SIP profile names the direction in each SDP, as sip_settings.xml has it, from now on."""
    file = switch.settings_file
    before = file.read_text()
    param = '<param name="NDLB-sendrecv-in-session" value="true"/>'
    assert f"{param} -->" in before

    def taken_up(text: str) -> None:
        file.write_text(text)
        switch.api("reloadxml")
        switch.api("sofia profile vsi rescan")

    taken_up(before.replace(f"{param} -->", f"-->{param}"))
    yield
    taken_up(before.replace(f"{param} -->", f"-->{param.replace('true', 'false')}"))


@pytest.mark.parametrize("named", [False, True])
def test_a_peer_that_waits_for_a_direction_is_taken_off_hold(client, reached, request, named):
    """By itself the switch leaves sendrecv out, which means the same; some peers do not take it so."""
    if named:
        request.getfixturevalue("names_directions")
    agent = reached("udp")
    leg = dialled(client, agent, "udp")
    client.event("leg.connected", leg_id=leg)
    call = next(iter(agent.calls.values()))
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)
    client.ok("unhold_leg", id=leg)
    client.event("leg.unhold", leg_id=leg)
    hold, unhold = [one for one in call.messages if one.start.startswith("INVITE")][-2:]
    assert (hold.direction, unhold.direction) == ("sendonly", "sendrecv")
    assert unhold.directions == (["sendrecv"] if named else [])
    assert hold.directions == (["sendrecv", "sendonly"] if named else ["sendonly"])
    call.bye()
