"""Inbound calls: ringing, early media, answer, refusal, the caller's giving up."""

from __future__ import annotations

import pytest

from tests.support.calls import REJECTIONS, answered, need, ring


def test_ringing_tells_who_calls_whom_with_what(switch, client):
    switch.call(
        "+15550199",
        "alice",
        headers={"X-App-ID": "sales", "X-Custom": "a b; c", "Subject": "no"},
        codecs=["PCMA", "G722", "OPUS"],
    )
    event = client.event("leg.ringing")
    assert event["leg_type"] == "sip_inbound"
    assert (event["from"], event["to"], event["app_id"]) == ("alice", "+15550199", "sales")
    assert event["sip_headers"] == {"X-App-ID": "sales", "X-Custom": "a b; c"}
    assert event["offered_codecs"] == [
        {"name": "PCMA", "payload_type": 8, "clock_rate": 8000, "priority": 1},
        {"name": "G722", "payload_type": 9, "clock_rate": 8000, "priority": 2},
        {"name": "opus", "payload_type": 107, "clock_rate": 48000, "priority": 3},
    ]
    assert "uri" not in event
    view = client.ok("get_leg", id=event["leg_id"])
    assert view == {
        "id": event["leg_id"],
        "type": "sip_inbound",
        "state": "ringing",
        "muted": False,
        "deaf": False,
        "accept_dtmf": True,
        "held": False,
        "app_id": "sales",
        "sip_headers": event["sip_headers"],
        "headers": event["sip_headers"],
    }
    assert client.ok("list_legs") == [view]


def test_answer_and_hang_up(switch, client):
    peer, leg = ring(switch, client)
    assert client.ok("answer_leg", id=leg) == {"status": "answering"}
    event = client.event("leg.connected", leg_id=leg)
    assert event["leg_type"] == "sip_inbound"
    peer.wait("200")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert client.ok("delete_leg", id=leg) == {"status": "hanging_up"}
    assert client.error("get_leg", id=leg) == (404, "leg not found")
    assert client.error("delete_leg", id=leg) == (404, "leg not found")
    cdr = client.event("leg.disconnected", leg_id=leg)["cdr"]
    assert cdr["reason"] == "api_hangup"
    assert cdr["duration_total"] >= cdr["duration_answered"] >= 0
    peer.wait("BYE")
    assert client.types(leg_id=leg) == ["leg.ringing", "leg.connected", "leg.disconnected"]


def test_caller_gives_up(switch, client):
    peer, leg = ring(switch, client)
    peer.cancel()
    event = client.event("leg.disconnected", leg_id=leg)
    assert event["cdr"]["reason"] == "caller_cancel"
    assert event["cdr"]["duration_answered"] == 0
    assert "quality" not in event


@pytest.mark.parametrize(("reason", "code"), REJECTIONS.items())
def test_rejection_reasons_have_their_sip_codes(switch, client, reason, code):
    peer, leg = ring(switch, client)
    client.ok("delete_leg", id=leg, reason=reason)
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == reason
    peer.wait(str(code))


@pytest.mark.beyond("the reference leaves the caller without an answer")
def test_deleting_an_unanswered_call_without_a_reason(switch, client):
    peer, leg = ring(switch, client)
    client.ok("delete_leg", id=leg)
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "api_hangup"
    peer.wait("480")


def test_an_unknown_reason_counts_only_before_the_answer(switch, client):
    _peer, leg = ring(switch, client)
    assert client.error("delete_leg", id=leg, reason="bored") == (400, 'unknown reason "bored"')
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    client.ok("delete_leg", id=leg, reason="bored")
    assert client.event("leg.disconnected")["cdr"]["reason"] == "api_hangup"


@pytest.mark.beyond("the reference sends a 180 each time")
def test_ring_sends_180_once(switch, client):
    peer, leg = ring(switch, client)
    assert client.ok("leg_ring", id=leg) == {"status": "ringing"}
    peer.wait("180")
    client.ok("leg_ring", id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "ringing"
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    peer.wait("200")
    assert peer.seen.count("180") == 1
    assert client.error("leg_ring", id=leg) == (409, "leg is connected, not ringing")


@pytest.mark.beyond("no leg.early_media for inbound legs by the reference")
def test_early_media_then_answer_keeps_the_codec(switch, client):
    need(switch, "G722")
    peer, leg = ring(switch, client, codecs=["PCMU", "PCMA", "G722"])
    assert client.ok("leg_early_media", id=leg, codec="pcma") == {"status": "early_media"}
    assert client.event("leg.early_media")["leg_type"] == "sip_inbound"
    peer.wait("183")
    assert peer.codec == "PCMA"
    assert client.ok("get_leg", id=leg)["state"] == "early_media"
    assert client.error("leg_early_media", id=leg) == (409, "leg is early_media, not ringing")
    client.ok("answer_leg", id=leg, codec="G722")
    client.event("leg.connected", leg_id=leg)
    peer.wait("200")
    assert peer.codec == "PCMA"


@pytest.mark.beyond("no leg.early_media for inbound legs by the reference")
def test_early_media_may_be_refused(switch, client):
    peer, leg = ring(switch, client)
    client.ok("leg_early_media", id=leg)
    client.event("leg.early_media")
    client.ok("delete_leg", id=leg, reason="busy")
    assert client.event("leg.disconnected")["cdr"]["reason"] == "busy"
    peer.wait("486")


@pytest.mark.parametrize("codec", ["PCMU", "pcma", "G722", "OPUS"])
def test_the_codec_asked_for_is_used(switch, client, codec):
    need(switch, codec)
    peer, leg = ring(switch, client, codecs=["PCMU", "PCMA", "G722", "OPUS"])
    client.ok("answer_leg", id=leg, codec=codec)
    client.event("leg.connected")
    peer.wait("200")
    assert peer.codec.lower() == codec.lower()


def test_without_a_wish_the_first_codec_of_the_offer_is_used(switch, client):
    need(switch, "G722")
    peer, _ = answered(switch, client, codecs=["G722", "PCMU"])
    peer.wait("200")
    assert peer.codec == "G722"


def test_codec_errors(switch, client):
    _peer, leg = ring(switch, client, codecs=["PCMU"])
    for command in ("answer_leg", "leg_early_media"):
        assert client.error(command, id=leg, codec="speex") == (400, 'unknown codec "speex"')
        assert client.error(command, id=leg, codec="G722") == (400, 'codec "G722" not in remote offer')
    assert client.ok("get_leg", id=leg)["state"] == "ringing"


def test_answering_twice(switch, client):
    _, leg = ring(switch, client)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    assert client.error("answer_leg", id=leg) == (409, "leg is connected, expected ringing or early_media")


@pytest.mark.beyond("X- headers only in the reference")
def test_what_the_network_says_of_the_caller(switch, client):
    identity = '"Bob B" <sip:+4930@carrier.example;user=phone>'
    diverted = "<sip:+49301@carrier.example>;reason=unconditional"
    switch.call(headers={"P-Asserted-Identity": identity, "Diversion": diverted, "X-Custom": "1"})
    event = client.event("leg.ringing")
    expected = {"P-Asserted-Identity": identity, "Diversion": diverted, "X-Custom": "1"}
    assert event["sip_headers"] == expected
    assert event["from"] == "+15550100"
    view = client.ok("get_leg", id=event["leg_id"])
    assert view["sip_headers"] == view["headers"] == expected


@pytest.mark.beyond("the reference refuses an INVITE without an offer")
@pytest.mark.parametrize(
    ("answer", "codec"), [({"codec": "PCMA"}, "PCMA"), ({}, None), ({"room_id": "r"}, None)]
)
def test_a_call_without_an_offer_gets_ours(switch, client, answer, codec):
    peer = switch.call(offer=False)
    ringing = client.event("leg.ringing")
    leg = ringing["leg_id"]
    assert "offered_codecs" not in ringing
    client.ok("leg_ring", id=leg)
    peer.wait("180")
    if "room_id" in answer:
        client.ok("add_leg_to_room", leg_id=leg, **answer)
    else:
        client.ok("answer_leg", id=leg, **answer)
    client.event("leg.connected", leg_id=leg)
    if "room_id" in answer:
        client.event("leg.joined_room", leg_id=leg)
    peer.wait("200")
    assert codec is None or peer.codec == codec
    peer.dtmf("7")
    assert client.event("dtmf.received", leg_id=leg)["digit"] == "7"
    peer.hang_up()
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"


@pytest.mark.beyond("the reference refuses an INVITE without an offer")
def test_what_a_call_without_an_offer_cannot_have(switch, client):
    peer = switch.call(offer=False)
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("leg_early_media", id=leg)
    failed = client.event("leg.command_failed", leg_id=leg)
    assert failed["error"] == "the call came without an offer: its media begins with the answer"
    assert client.error("answer_leg", id=leg, codec="G729") == (400, 'unknown codec "G729"')
    client.ok("delete_leg", id=leg, reason="busy")
    peer.wait("486")
