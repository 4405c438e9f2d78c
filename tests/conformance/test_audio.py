"""Mute, deaf, hold, digits and speaking."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, ring
from tests.support.drivers import eventually


def test_a_refused_hold_is_reported_and_can_be_tried_again(switch, client):
    leg = client.ok("create_leg", type="sip", to=switch.uri("hold-reject"))["id"]
    client.event("leg.connected", leg_id=leg)
    for _ in range(2):
        client.ok("hold_leg", id=leg)
        failed = client.event("leg.command_failed", leg_id=leg)
        assert failed["command"] == "hold"
        assert failed["error"] == "hold re-INVITE: re-INVITE rejected: 488 Not Acceptable Here"
        assert client.ok("get_leg", id=leg)["held"] is False


@pytest.mark.parametrize("direction", ["sendonly", "inactive"])
def test_hold_by_the_peer(switch, client, direction):
    peer, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    peer.hold(direction)
    client.event("leg.hold", leg_id=leg)
    view = client.ok("get_leg", id=leg)
    assert (view["state"], view["held"], view["room_id"]) == ("held", True, "r")
    peer.unhold()
    client.event("leg.unhold", leg_id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_a_held_leg_that_ends_is_not_taken_off_hold(switch, client):
    peer, leg = answered(switch, client)
    peer.hold()
    client.event("leg.hold")
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    assert "leg.unhold" not in client.types()


def test_hold_needs_an_answered_leg(switch, client):
    _, leg = ring(switch, client)
    for command in ("hold_leg", "unhold_leg"):
        assert client.error(command, id=leg) == (409, "leg is ringing, expected connected or held")
        assert client.error(command, id="x") == (404, "leg not found")


def test_digits_are_counted_per_leg(switch, client):
    peer, leg = answered(switch, client)
    peer.wait("200")
    peer.dtmf("1*#")
    for seq, digit in enumerate("1*#", 1):
        event = client.event("dtmf.received", leg_id=leg)
        assert (event["digit"], event["seq"]) == (digit, seq)


def test_digits_are_passed_on_to_those_who_accept_them(switch, client):
    peer, leg = answered(switch, client)
    listening, second = answered(switch, client)
    deaf, third = answered(switch, client)
    client.ok("reject_leg_dtmf", id=third)
    for one in (leg, second, third):
        client.ok("add_leg_to_room", room_id="r", leg_id=one)
    peer.dtmf("5")
    client.event("dtmf.received", leg_id=leg)
    eventually(lambda: listening.digits == "5", "the other leg gets the digit")
    assert client.ok("accept_leg_dtmf", id=third) == {"status": "dtmf_accepting"}
    assert client.ok("get_leg", id=third)["accept_dtmf"] is True
    peer.dtmf("6")
    eventually(lambda: deaf.digits == "6", "now the third does too")
    assert peer.digits == ""
    assert client.ok("reject_leg_dtmf", id=third) == {"status": "dtmf_rejecting"}
    assert {event["leg_id"] for event in client.events if event["type"] == "dtmf.received"} == {leg}


def test_sending_digits(switch, client):
    peer, leg = answered(switch, client)
    assert client.ok("send_leg_dtmf", id=leg, digits="1 2-a#") == {"status": "sent"}
    eventually(lambda: peer.digits == "12A#", "the digits arrive")
    client.ok("send_leg_dtmf", id=leg, digits="xyz")
    assert client.error("send_leg_dtmf", id=leg) == (400, "digits required")
    assert client.error("send_leg_dtmf", id="x", digits="1") == (404, "leg not found")
    _, ringing = ring(switch, client)
    assert client.error("send_leg_dtmf", id=ringing, digits="1") == (500, "no DTMF channel available")


def test_speaking(switch, client):
    peer, leg = ring(switch, client)
    client.ok("answer_leg", id=leg, speech_detection=True)
    client.event("leg.connected")
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    peer.talk(True)
    client.event("speaking.started", leg_id=leg, room_id="r")
    client.ok("mute_leg", id=leg)
    client.event("speaking.stopped", leg_id=leg)
    client.ok("unmute_leg", id=leg)
    client.event("speaking.started", leg_id=leg)
    peer.talk(False)
    client.event("speaking.stopped", leg_id=leg)
    peer.talk(True)
    client.event("speaking.started", leg_id=leg)
    peer.hang_up()
    client.event("leg.disconnected")
    kinds = [kind for kind in client.types(leg_id=leg) if kind.startswith("speaking")]
    assert kinds == ["speaking.started", "speaking.stopped"] * 3


def test_speaking_is_silent_unless_asked_for(switch, client):
    peer, leg = answered(switch, client, talk=True)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    peer.dtmf("1")
    client.event("dtmf.received")
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected")
    assert not [kind for kind in client.types() if kind.startswith("speaking")]
