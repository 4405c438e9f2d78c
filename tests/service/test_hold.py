"""Hold from either side, and what is done to a leg meanwhile."""

from __future__ import annotations

import json

from tests.support.calls import in_room
from tests.support.holding import hold, move, remove, still_held, unhold
from tests.support.service import crash


def test_nothing_of_a_room_reaches_a_held_peer_that_was_moved(switch, client, service):
    peer, leg = in_room(switch, client, "a")
    hold(client, leg)
    move(client, leg)
    still_held(client, peer, leg)
    conference = service.ctx.rooms.get("b").conference
    (room,) = json.loads(service.ctx.nodes.default.command(f"conference {conference} json_list"))
    assert [member["flags"]["can_hear"] for member in room["members"]] == [False]


def test_a_held_leg_that_was_moved_is_taken_off_hold_by_the_next_process(switch, start, connect):
    service = start()
    client = connect(service)
    peer, leg = in_room(switch, client, "a")
    hold(client, leg)
    move(client, leg)
    still_held(client, peer, leg)
    crash(service)
    client = connect(start())
    still_held(client, peer, leg)
    remove(client, leg)
    still_held(client, peer, leg)
    unhold(client, peer, leg)
    assert client.types(leg_id=leg) == ["leg.left_room", "leg.unhold"]


def test_a_peer_that_resumes_after_a_restart_is_noticed(switch, start, connect):
    service = start()
    client = connect(service)
    peer, leg = in_room(switch, client, "a")
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    move(client, leg)
    crash(service)
    client = connect(start())
    assert client.ok("get_leg", id=leg)["state"] == "held"
    peer.unhold()
    client.event("leg.unhold", leg_id=leg)
    assert client.types(leg_id=leg) == ["leg.unhold"]
