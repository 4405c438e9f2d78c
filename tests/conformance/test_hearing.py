"""Who hears whom, by ear: every caller says a tone of its own."""

from __future__ import annotations

import numpy as np

from tests.support.calls import answered
from tests.support.drivers import eventually


def in_room(switch, client, room="r"):
    """A caller whose codec can be listened to, in a room."""
    peer, leg = answered(switch, client, codecs=["PCMU"])
    client.ok("add_leg_to_room", room_id=room, leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    return peer, leg


def test_those_in_a_room_hear_each_other_and_not_themselves(switch, client):
    one, _ = in_room(switch, client)
    two, leg = in_room(switch, client)
    one.says(500)
    two.says(900)
    one.hears(900)
    two.hears(500)
    one.hears(500, False)
    client.ok("mute_leg", id=leg)
    one.hears(900, False)
    two.hears(500)
    client.ok("unmute_leg", id=leg)
    one.hears(900)
    client.ok("deaf_leg", id=leg)
    two.hears(500, False)
    one.hears(900)


def test_those_of_two_rooms_do_not(switch, client):
    one, _ = in_room(switch, client, "a")
    two, _ = in_room(switch, client, "b")
    one.says(500)
    two.says(900)
    one.hears(900, False)
    two.hears(500, False)


def test_samples_are_said_once(switch, client):
    one, _ = in_room(switch, client)
    two, _ = in_room(switch, client)
    two.keep()
    one.say((8000 * np.sin(2 * np.pi * 500 / 8000 * np.arange(8000))).astype(np.int16), 8000)

    def loud() -> int:
        return int((np.abs(two.kept.astype(int)) > 1000).sum())

    # nine tenths of a second of it; a busy machine may cost some
    eventually(lambda: loud() > 5000, "most of it was heard")
    two.hears(500, False)
    assert loud() < 8000


def test_nobody_is_heard_outside_a_room(switch, client):
    one, _ = answered(switch, client, codecs=["PCMU"])
    two, _ = answered(switch, client, codecs=["PCMU"])
    one.says(500)
    two.hears(500, False)


def test_a_legs_playback_is_heard_by_that_leg_only(switch, client, long):
    one, leg = in_room(switch, client)
    two, _ = in_room(switch, client)
    two.says(900)
    playback = client.ok("leg_play_start", id=leg, url=long, mime_type="audio/wav")["playback_id"]
    one.hears(700)
    one.hears(900)
    two.hears(700, False)
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    one.hears(700, False)


def test_a_rooms_playback_is_heard_by_all(switch, client, long):
    one, _ = in_room(switch, client)
    two, _ = in_room(switch, client)
    playback = client.ok("room_play_start", id="r", url=long, mime_type="audio/wav")["playback_id"]
    one.hears(700)
    two.hears(700)
    client.ok("room_play_stop", id="r", playback_id=playback)
    two.hears(700, False)


def test_a_leg_alone_hears_its_playback(switch, client, long):
    one, leg = answered(switch, client, codecs=["PCMU"])
    client.ok("leg_play_start", id=leg, url=long, mime_type="audio/wav")
    one.hears(700)


def test_rooms_that_are_bridged_hear_each_other(switch, client):
    one, _ = in_room(switch, client, "a")
    two, _ = in_room(switch, client, "b")
    client.ok("bridge_create", room_id="a", peer_room_id="b")
    one.says(500)
    two.says(900)
    one.hears(900)
    two.hears(500)
    one.hears(500, False)
