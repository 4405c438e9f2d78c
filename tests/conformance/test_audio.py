"""Mute, deaf, hold, digits and speaking."""

from __future__ import annotations

import json

import pytest

from tests.support.drivers import eventually

from .test_inbound import answered, ring


def member(switch, service, leg_id):
    """The leg's conference member, as the switch has it."""
    for conference in json.loads(switch.esl("conference json_list")):
        for one in conference.get("members", []):
            if one.get("uuid") == leg_id:
                return one["flags"]
    return None


def settled(service, leg_id):
    leg = service.ctx.legs.get(leg_id)
    eventually(lambda: leg.channel.parked or leg.channel.conference != "", "the leg is where it stays")


def played_to(client, leg_id):
    """A leg that is alone gets a conference when something is played to it."""
    playback = client.ok("leg_play_start", id=leg_id, tone="us_dial")["playback_id"]
    client.event("playback.started", playback_id=playback)


@pytest.mark.parametrize(
    ("do", "undo", "status", "done", "undone", "flag", "can"),
    [
        ("mute_leg", "unmute_leg", ("muted", "unmuted"), "leg.muted", "leg.unmuted", "muted", "can_speak"),
        ("deaf_leg", "undeaf_leg", ("deaf", "undeaf"), "leg.deaf", "leg.undeaf", "deaf", "can_hear"),
    ],
)
def test_mute_and_deaf(switch, client, service, do, undo, status, done, undone, flag, can):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    assert client.ok(do, id=leg) == {"status": status[0]}
    client.event(done, leg_id=leg)
    assert client.ok("get_leg", id=leg)[flag] is True
    eventually(lambda: member(switch, service, leg)[can] is False, f"{can} off on the switch")
    client.ok(do, id=leg)
    client.event(done, leg_id=leg)
    assert client.ok(undo, id=leg) == {"status": status[1]}
    client.event(undone, leg_id=leg)
    eventually(lambda: member(switch, service, leg)[can] is True, f"{can} on on the switch")
    assert client.error(do, id="x") == (404, "leg not found")


def test_a_deaf_leg_hears_what_it_is_played_alone(switch, client, service):
    """Outside rooms the flag is kept and applies to the next room."""
    _, leg = answered(switch, client)
    played_to(client, leg)
    client.ok("deaf_leg", id=leg)
    assert member(switch, service, leg)["can_hear"] is True
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    assert member(switch, service, leg)["can_hear"] is False


def test_mute_survives_every_move(switch, client, service):
    _, leg = answered(switch, client)
    client.ok("mute_leg", id=leg)
    client.ok("add_leg_to_room", room_id="a", leg_id=leg)
    assert member(switch, service, leg)["can_speak"] is False
    client.ok("deaf_leg", id=leg)
    client.ok("add_leg_to_room", room_id="b", leg_id=leg)
    flags = member(switch, service, leg)
    assert (flags["can_speak"], flags["can_hear"]) == (False, False)
    client.ok("remove_leg_from_room", room_id="b", leg_id=leg)
    played_to(client, leg)
    assert member(switch, service, leg)["can_speak"] is False


def test_mute_before_the_answer_is_kept(switch, client, service):
    _, leg = ring(switch, client)
    client.ok("mute_leg", id=leg)
    client.event("leg.muted")
    client.ok("answer_leg", id=leg)
    client.event("leg.connected")
    played_to(client, leg)
    assert member(switch, service, leg)["can_speak"] is False


def test_hold_and_unhold_by_us(switch, client, service):
    peer, leg = answered(switch, client)
    settled(service, leg)
    assert client.ok("hold_leg", id=leg) == {"status": "holding"}
    event = client.event("leg.hold", leg_id=leg)
    assert event["leg_type"] == "sip_inbound"
    peer.wait("INVITE sendonly")
    view = client.ok("get_leg", id=leg)
    assert (view["state"], view["held"]) == ("held", True)
    eventually(lambda: member(switch, service, leg)["can_hear"] is False, "the peer hears nothing of a room")
    client.ok("hold_leg", id=leg)  # held already: nothing is sent
    assert client.ok("unhold_leg", id=leg) == {"status": "unholding"}
    client.event("leg.unhold", leg_id=leg)
    peer.wait("INVITE sendrecv")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert client.types().count("leg.hold") == 1
    eventually(lambda: member(switch, service, leg)["can_hear"] is True, "the peer hears again")


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


def test_a_held_leg_is_given_up_after_a_while(switch, start, connect):
    client = connect(start(media={"hold_timeout": 0.5}))
    peer, leg = answered(switch, client)
    peer.hold()
    client.event("leg.hold")
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "rtp_timeout"


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
    eventually(lambda: peer.digits == "12A#", "the digits arrive", 8)
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
