"""Bridges between rooms."""

from __future__ import annotations

import json

import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually
from vsi_esl.model.sound_stores import Bridges


def rooms(client, *names: str, rate: int = 16000) -> None:
    for name in names:
        client.ok("create_room", id=name, sample_rate=rate, app_id=f"app-{name}")


def ends(switch, service, room: str) -> list[dict]:
    """The members that are no legs of a room's conference."""
    conference = service.ctx.rooms.get(room).conference
    legs = service.ctx.rooms.get(room).legs
    for one in json.loads(switch.esl("conference json_list")):
        if one["conference_name"] == conference:
            return [member for member in one["members"] if member["uuid"] not in legs]
    return []


def flags(switch, service, bridge: str) -> tuple[bool, bool]:
    """Whether the end in room A speaks and hears."""
    here = service.ctx.get(Bridges).find(bridge)
    for member in ends(switch, service, here.room_a):
        if member["uuid"] == here.channel:
            return member["flags"]["can_speak"], member["flags"]["can_hear"]
    return (False, False)


def test_the_life_of_a_bridge(switch, client, service):
    rooms(client, "a", "b")
    view = {"id": "x", "room_id": "b", "direction": "bidirectional", "sample_rate": 16000}
    assert client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b") == view
    event = client.event("room.bridged")
    assert (event["bridge_id"], event["room_a_id"], event["room_b_id"]) == ("x", "a", "b")
    assert (event["direction"], event["app_id"]) == ("bidirectional", "app-a")
    assert client.ok("bridge_get", room_id="b", bridge_id="x") == view | {"room_id": "a"}
    assert client.ok("bridge_list", room_id="a") == [view]
    assert len(ends(switch, service, "a")) == len(ends(switch, service, "b")) == 1
    assert client.ok("get_room", id="a")["participants"] == []
    assert client.ok("list_legs") == []
    assert client.ok("bridge_delete", room_id="b", bridge_id="x") == {"status": "deleted"}
    assert "reason" not in client.event("room.unbridged", bridge_id="x")
    assert client.ok("bridge_list", room_id="a") == []
    eventually(lambda: not switch.channels("br-"), "the channels are gone")
    assert not client.seen("leg.ringing") and not client.seen("leg.joined_room")


@pytest.mark.parametrize(
    ("given", "canonical", "seen_from_b", "speaks", "hears"),
    [
        ("bidirectional", "bidirectional", "bidirectional", True, True),
        ("send", "a_to_b", "receive", False, True),
        ("receive", "b_to_a", "send", True, False),
        ("none", "none", "none", False, False),
    ],
)
def test_directions(switch, client, service, given, canonical, seen_from_b, speaks, hears):
    rooms(client, "a", "b")
    first = client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b", direction=given)
    assert first["direction"] == given
    assert client.event("room.bridged")["direction"] == canonical
    assert client.ok("bridge_get", room_id="b", bridge_id="x")["direction"] == seen_from_b
    assert flags(switch, service, "x") == (speaks, hears)
    # from the other side, and from every direction to every other
    for direction in ("none", "bidirectional", seen_from_b, seen_from_b):
        changed = client.ok("bridge_update", room_id="b", bridge_id="x", direction=direction)
        assert (changed["direction"], changed["room_id"]) == (direction, "a")
        client.event("room.bridge_updated", bridge_id="x")
    assert client.ok("bridge_get", room_id="a", bridge_id="x")["direction"] == given
    assert flags(switch, service, "x") == (speaks, hears)
    assert client.seen("room.bridge_updated")[-1]["direction"] == canonical


@pytest.mark.parametrize("room", ["a", "b"])
def test_deleting_a_room_ends_its_bridges_first(switch, client, room):
    rooms(client, "a", "b", "c")
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
    client.ok("bridge_create", room_id="c", bridge_id="y", peer_room_id=room)
    client.ok("delete_room", id=room)
    client.event("room.deleted")
    ended = client.seen("room.unbridged")
    assert {(one["bridge_id"], one["reason"], one["app_id"]) for one in ended} == {
        ("x", "room_deleted", f"app-{room}"),
        ("y", "room_deleted", f"app-{room}"),
    }
    assert client.types().index("room.deleted") > client.types().index("room.unbridged")
    assert client.ok("bridge_list", room_id="c") == []
    eventually(lambda: not switch.channels("br-"), "the channels are gone")


def test_a_bridge_is_no_leg(switch, client, service):
    rooms(client, "a", "b")
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b")
    peer, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="a", leg_id=leg)
    assert [one["id"] for one in client.ok("get_room", id="a")["participants"]] == [leg]
    client.ok("room_routing_set", room_id="a", matrix={"agent": ["agent"]})
    client.ok("set_leg_role", leg_id=leg, role="agent")
    assert not service.ctx.rooms.get("a").relations
    peer.dtmf("5")
    client.event("dtmf.received")
    client.ok("remove_leg_from_room", room_id="a", leg_id=leg)
    assert len(ends(switch, service, "a")) == 1
    assert client.error("room_play_start", id="a", tone="us_dial") == (409, "room has no participants")


def test_a_bridge_that_the_switch_ended_is_made_anew(switch, client, service):
    rooms(client, "a", "b")
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b", direction="send")
    channel = service.ctx.get(Bridges).find("x").channel
    switch.esl(f"uuid_kill {channel}")
    eventually(lambda: not service.ctx.get(Bridges).find("x").member_id, "the loss is noticed")
    eventually(lambda: flags(switch, service, "x") == (False, True), "it is back, and in its direction")
    assert not client.seen("room.unbridged") and len(client.seen("room.bridged")) == 1


def test_bridges_survive_a_restart_of_the_service(switch, connect, start):
    first = start()
    client = connect(first)
    rooms(client, "a", "b", "c")
    client.ok("bridge_create", room_id="a", bridge_id="x", peer_room_id="b", direction="receive")
    client.ok("bridge_create", room_id="b", bridge_id="y", peer_room_id="c")
    kept = first.ctx.get(Bridges).find("x").channel
    first.stop()
    switch.esl(f"uuid_kill {first.ctx.get(Bridges).find('y').channel}")
    second = start()
    client = connect(second)
    assert client.ok("bridge_get", room_id="a", bridge_id="x")["direction"] == "receive"
    assert second.ctx.get(Bridges).find("x").channel == kept
    eventually(lambda: flags(switch, second, "x") == (True, False), "the kept one")
    eventually(lambda: flags(switch, second, "y") == (True, True), "the lost one")
    client.ok("bridge_delete", room_id="b", bridge_id="x")
    client.ok("bridge_delete", room_id="b", bridge_id="y")
    eventually(lambda: not switch.channels("br-"), "the channels are gone")
