"""Inbound calls: ringing, early media, answer, refusal, the caller's giving up."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, media_passed, ring
from tests.support.drivers import eventually
from vsi_esl.translate.hangup import mos


def test_remote_bye_has_quality_of_what_was_received(switch, client):
    peer, leg = answered(switch, client)
    media_passed(switch, peer)
    peer.hang_up()
    event = client.event("leg.disconnected", leg_id=leg)
    assert event["cdr"]["reason"] == "remote_bye"
    quality = event["quality"]
    assert quality["rtp_packets_received"] >= 2
    assert quality["rtp_packets_lost"] <= 1
    # how steadily the packets came is this machine's matter, what is made of it is ours
    loss = quality["rtp_packets_lost"] / (quality["rtp_packets_received"] + quality["rtp_packets_lost"])
    assert quality["mos_score"] == pytest.approx(mos(quality["rtp_jitter_ms"], loss), abs=0.02)


def test_auto_ringing(switch, start, connect):
    client = connect(start(sip={"auto_ringing": True}))
    peer, _ = ring(switch, client)
    peer.wait("180")


def test_a_call_that_nobody_takes_is_not_dropped_by_the_dialplan(switch, client):
    """The dialplan's own limit is cancelled when the service takes the call."""
    peer, leg = ring(switch, client)
    if switch.name == "sandbox":
        eventually(lambda: peer._channel.scheduled is None, "schedule deleted")
    else:
        eventually(lambda: leg not in switch.esl("show tasks"), "no scheduled hangup")
    assert client.ok("get_leg", id=leg)["state"] == "ringing"


def test_media_timeout(switch, start, connect):
    client = connect(start(media={"rtp_timeout": 0.6}))
    peer, leg = answered(switch, client)
    peer.rtp(False)
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "rtp_timeout"


def test_a_codec_that_is_not_configured_is_refused_though_it_is_offered(switch, start, connect):
    client = connect(start(sip={"codecs": ("PCMU",)}))
    peer, leg = ring(switch, client, codecs=["G722", "PCMU"])
    expected = (400, 'codec "G722" not in engine\'s supported codecs')
    for command in ("answer_leg", "leg_early_media"):
        assert client.error(command, id=leg, codec="G722") == expected
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    peer.wait("200")
    assert peer.codec == "PCMU"


def test_a_codec_that_the_switch_lacks_is_named_and_not_chosen(switch, client, service):
    service.ctx.nodes.default.facts.missing_codecs = frozenset({"G722"})
    peer, leg = ring(switch, client, codecs=["G722", "PCMU"])
    expected = (501, 'codec "G722" needs mod_spandsp, which the switch has not loaded')
    assert client.error("answer_leg", id=leg, codec="G722") == expected
    assert client.error("create_leg", type="sip", to="sip:a@127.0.0.1", codecs=["G722"]) == expected
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    peer.wait("200")
    assert peer.codec == "PCMU"


def test_names_of_a_callers_headers_have_no_case(switch, client):
    switch.call(
        headers={"x-app-id": "sales", "x-customer": "42", "X-CUSTOMER": "43", "x-WEBHOOK-secret": "s"}
    )
    event = client.event("leg.ringing")
    assert event["app_id"] == "sales"
    assert event["sip_headers"] == {"x-app-id": "sales", "x-customer": "42", "X-CUSTOMER-1": "43"}
    assert client.ok("get_leg", id=event["leg_id"])["app_id"] == "sales"


def test_a_secret_that_is_there_twice_is_not_shown(switch, client):
    switch.call(headers={"X-Webhook-Secret": "s", "X-WEBHOOK-SECRET": "t", "X-Webhook-Secret-Name": "n"})
    assert client.event("leg.ringing")["sip_headers"] == {"X-Webhook-Secret-Name": "n"}
