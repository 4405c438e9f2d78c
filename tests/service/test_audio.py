"""Mute, deaf, hold, digits and speaking."""

from __future__ import annotations

import json

import pytest

from tests.support.calls import answered, ring
from tests.support.drivers import eventually
from tests.support.service import settled


def member(switch, service, leg_id):
    """The leg's conference member, as the switch has it."""
    for conference in json.loads(switch.esl("conference json_list")):
        for one in conference.get("members", []):
            if one.get("uuid") == leg_id:
                return one["flags"]
    return None


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


def test_a_held_leg_is_given_up_after_a_while(switch, start, connect):
    client = connect(start(media={"hold_timeout": 0.5}))
    peer, leg = answered(switch, client)
    peer.hold()
    client.event("leg.hold")
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "rtp_timeout"
