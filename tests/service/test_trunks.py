"""Trunks: the operator's gateways, by name or by From, with their credentials."""

from __future__ import annotations

import pytest

from tests.support.drivers import eventually


def by_trunk(switch, client, **request):
    """The callee of a call that wants the trunk's credentials, and the leg's leg.ringing."""
    leg = client.ok("create_leg", type="sip", **request)["id"]
    client.event("leg.connected", leg_id=leg)
    return switch.callee(), client.seen("leg.ringing", leg_id=leg)[0]


def only_there(switch):
    if switch.name != "sandbox":
        pytest.skip("cannot be arranged on a real switch")


@pytest.fixture
def carrier(switch):
    switch.trunk("carrier", "carrier.example")
    return "carrier"


def test_a_named_trunk_answers_the_challenge(switch, client, carrier):
    peer, ringing = by_trunk(switch, client, to=switch.uri("auth"), trunk=carrier)
    assert ringing["trunk_id"] == carrier
    assert peer.header("From").partition(";tag=")[0] == '"trunk" <sip:trunk@carrier.example>'


def test_a_number_goes_to_the_trunks_proxy(switch, client, carrier):
    peer, ringing = by_trunk(switch, client, to="auth", trunk=carrier, from_="+4930")
    assert ringing["uri"] == "auth"
    assert peer.request_uri == switch.uri("auth")
    assert peer.header("From").partition(";tag=")[0] == '"+4930" <sip:+4930@carrier.example>'


@pytest.mark.parametrize(
    ("from_", "trunk_id"),
    [
        ("trunk", "carrier"),
        ("sip:trunk@carrier.example", "carrier"),
        ("sip:+4930@Carrier.Example", "carrier"),
        ("+4930", None),
        ("sip:trunk@elsewhere.example", None),
    ],
)
def test_the_trunk_of_a_from(switch, client, carrier, from_, trunk_id):
    leg = client.ok("create_leg", type="sip", to=switch.uri("auth"), from_=from_)["id"]
    assert client.event("leg.ringing", leg_id=leg).get("trunk_id") == trunk_id
    if trunk_id:
        client.event("leg.connected", leg_id=leg)
    else:
        assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "unauthorized"


@pytest.mark.own_switch
def test_a_trunk_that_comes_while_the_service_runs(switch, client):
    request = {"type": "sip", "to": switch.uri("instant"), "from_": "sip:trunk@later.example"}
    leg = client.ok("create_leg", **request)["id"]
    assert "trunk_id" not in client.event("leg.ringing", leg_id=leg)
    switch.trunk("later", "later.example")

    def taken() -> bool:
        one = client.ok("create_leg", **request)["id"]
        return client.event("leg.ringing", leg_id=one).get("trunk_id") == "later"

    eventually(taken, "the trunk is taken")


def test_trunks_that_there_are_not(switch, client, carrier):
    uri = switch.uri("auth")
    assert client.error("create_leg", type="sip", to=uri, trunk="nobody") == (400, "unknown trunk: nobody")
    refused = client.error("create_leg", type="sip", to=f"{uri};transport=tcp", trunk=carrier)
    assert refused == (400, "trunk carrier sends by udp, not by tcp")
    for name in ("a b", "x\r\ny", "../x", "a/b", "carrier'"):
        assert client.error("create_leg", type="sip", to=uri, trunk=name)[0] == 400
    for to in ("1;x=y", "1,2", "1|2", "1^2", "1/2", ""):
        assert client.error("create_leg", type="sip", to=to, trunk=carrier)[0] == 400
    assert client.ok("list_legs") == []


def test_a_trunk_that_is_down(switch, client, carrier):
    only_there(switch)
    switch.switch.sofia.gateways[carrier].up = False
    refused = client.error("create_leg", type="sip", to="sip:a@127.0.0.1", trunk=carrier)
    assert refused == (503, "trunk carrier is down")


def test_somebody_elses_gateway_is_no_trunk(switch, client, carrier):
    only_there(switch)
    switch.switch.sofia.gateways[carrier].profile = "external"
    assert client.error("create_leg", type="sip", to="1", trunk=carrier) == (400, "unknown trunk: carrier")


def test_what_the_switch_is_not_configured_for(switch, client):
    only_there(switch)
    switch.switch.sofia.tls, switch.switch.sofia.profiles = False, ["vsi"]
    code, message = client.error("create_leg", type="sip", to="sips:a@127.0.0.1")
    assert (code, message) == (501, "TLS is not configured in the SIP profile vsi of the switch")
    code, message = client.error("create_leg", type="sip", to="sip:a@[::1]")
    assert (code, message) == (501, "[::1] needs the SIP profile vsi6, which the switch does not run")
    assert client.ok("list_legs") == []
