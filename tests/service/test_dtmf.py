"""Digits by RTP, INFO and their tones: each press counts once; and how they are sent."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.calls import answered, dial, in_room, ring
from tests.support.drivers import eventually
from tests.support.rtp import RATE


def digits(client, leg, expected):
    """These were received on the leg, and no others so far."""
    for seq, digit in enumerate(expected, 1):
        event = client.event("dtmf.received", leg_id=leg)
        assert (event["digit"], event["seq"]) == (digit, seq)


def hears_tones(switch, leg):
    eventually(lambda: "spandsp_dtmf" in switch.esl(f"uuid_buglist {leg}"), "it is listened to")


def test_digits_by_info(switch, client):
    peer, leg = answered(switch, client)
    peer.info("1")
    digits(client, leg, "1")


def test_a_peer_that_sends_two_kinds_is_counted_once(switch, client):
    peer, leg = answered(switch, client)
    for digit in "1123":
        peer.dtmf(digit)
        peer.info(digit)
    peer.dtmf("#")
    digits(client, leg, "1123#")
    assert len(client.seen("dtmf.received", leg_id=leg)) == 5


def test_a_digit_that_comes_twice_is_passed_on_once(switch, client):
    first, one = in_room(switch, client)
    second, _ = in_room(switch, client)
    first.dtmf("7")
    first.info("7")
    first.info("8")
    digits(client, one, "78")
    eventually(lambda: second.digits == "78", "78 is passed on")


@pytest.mark.parametrize(("setting", "rfc4733"), [("on", True), ("auto", False)])
def test_tones_where_the_settings_say_so(switch, start, connect, setting, rfc4733):
    client = connect(start(sip={"inband_dtmf": setting}))
    peer, leg = answered(switch, client, codecs=["PCMU"], rfc4733=rfc4733)
    hears_tones(switch, leg)
    peer.tones("5#")
    digits(client, leg, "5#")


def test_tones_and_rtp_together_are_one_press(switch, start, connect):
    client = connect(start(sip={"inband_dtmf": "on"}))
    peer, leg = answered(switch, client, codecs=["PCMU"])
    hears_tones(switch, leg)
    peer.tones("5")
    digits(client, leg, "5")
    peer.dtmf("5")
    peer.dtmf("6")
    assert client.event("dtmf.received", leg_id=leg)["digit"] == "6"


def test_tones_of_legs_that_say_so(switch, client):
    peer, leg = ring(switch, client, codecs=["PCMU"])
    client.ok("answer_leg", id=leg, inband_dtmf=True)
    client.event("leg.connected", leg_id=leg)
    hears_tones(switch, leg)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    peer.say(np.zeros(RATE, np.int16), RATE)  # what is said while it joins is not heard
    peer.tones("9")
    digits(client, leg, "9")
    out = dial(switch, client, "instant", inband_dtmf=True, room_id="r")
    client.event("leg.joined_room", leg_id=out)
    hears_tones(switch, out)


@pytest.mark.parametrize(("setting", "answer"), [("on", {"inband_dtmf": False}), ("auto", {}), ("off", {})])
def test_no_tones_where_nobody_wants_them(switch, start, connect, setting, answer):
    client = connect(start(sip={"inband_dtmf": setting}))
    _, leg = ring(switch, client, codecs=["PCMU"])
    client.ok("answer_leg", id=leg, **answer)
    client.event("leg.connected", leg_id=leg)
    client.ok("send_leg_dtmf", id=leg, digits="1")  # behind it, in the leg's order of commands
    assert "spandsp_dtmf" not in switch.esl(f"uuid_buglist {leg}")


def test_tones_on_a_switch_that_cannot_hear_them(switch, client, service):
    service.ctx.nodes.default.facts.missing_modules |= {"mod_spandsp"}
    refused = (501, "this needs mod_spandsp, which the switch has not loaded")
    assert client.error("create_leg", type="sip", to="sip:a@127.0.0.1", inband_dtmf=True) == refused
    _, leg = ring(switch, client)
    assert client.error("answer_leg", id=leg, inband_dtmf=True) == refused
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)


@pytest.mark.parametrize("inbound", [True, False])
def test_a_peer_without_rfc_4733_is_sent_infos(switch, client, inbound):
    if inbound:
        peer, leg = answered(switch, client, rfc4733=False)
    else:
        leg = dial(switch, client, "no-rfc4733")
        client.event("leg.connected", leg_id=leg)
        peer = switch.callee()
    client.ok("send_leg_dtmf", id=leg, digits="4*")
    eventually(lambda: peer.infos == "4*", "4* comes by INFO")
    assert peer.digits == ""
