"""Calls as most tests have them: ringing, answered, dialled, in a room."""

from __future__ import annotations

import pytest

from .drivers import eventually

REJECTIONS = {
    "busy": 486,
    "declined": 603,
    "rejected": 603,
    "unavailable": 480,
    "not_found": 404,
    "forbidden": 403,
    "server_error": 500,
}
"""delete_leg's reasons for a caller who was not answered, and what the caller is told."""


def need(switch, codec):
    """Skip where the switch lacks the codec; what is answered then, tests/service/test_inbound.py says."""
    if codec.upper() in switch.missing_codecs:
        pytest.skip(f"the switch has no {codec}")


def ring(switch, client, **call):
    """A caller, and the leg it became."""
    peer = switch.call(**call)
    return peer, client.event("leg.ringing")["leg_id"]


def answered(switch, client, **call):
    """A caller whom the client has answered, and the leg."""
    peer, leg = ring(switch, client, **call)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    return peer, leg


def in_room(switch, client, room="r", **join):
    """A caller who has been put into a room."""
    peer, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id=room, leg_id=leg, **join)
    client.event("leg.joined_room", leg_id=leg)
    return peer, leg


TIMES = 20
"""How often what depends on a few milliseconds is tried."""


def dial(switch, client, behaviour="instant", **request):
    """Have somebody called; the leg."""
    return client.ok("create_leg", type="sip", to=switch.uri(behaviour), **request)["id"]


def reasons(client, leg):
    """Of what a leg has ended, as often as it did."""
    return [event["cdr"]["reason"] for event in client.seen("leg.disconnected", leg_id=leg)]


def play(client, leg):
    playback = client.ok("leg_play_start", id=leg, tone="us_dial")["playback_id"]
    client.event("playback.started", playback_id=playback)


def started(client, playback_id):
    return client.event("playback.started", playback_id=playback_id)


def finished(client, playback_id):
    return client.event("playback.finished", playback_id=playback_id)


def media_passed(switch, peer):
    """Until a few packets have passed: the end of the call tells their quality."""
    if switch.name == "freeswitch":
        eventually(lambda: peer._call.rtp.received > 10, "RTP from the switch")
    else:
        eventually(lambda: peer.packets > 5, "simulated RTP")
