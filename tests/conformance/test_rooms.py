"""Rooms: creating, joining, moving, leaving, deleting."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, ring


def participants(client, room):
    return [leg["id"] for leg in client.ok("get_room", id=room)["participants"]]


@pytest.mark.beyond("sample_rate is 0 in lists of the reference")
def test_create_list_get(client):
    made = client.ok("create_room", id="a", app_id="shop", sample_rate=8000)
    assert made == {"id": "a", "app_id": "shop", "sample_rate": 8000, "participants": []}
    client.event("room.created", room_id="a", app_id="shop")
    assert client.ok("get_room", id="a") == made
    assert client.ok("list_rooms") == [made]
    assert client.error("create_room", id="a") == (409, "room a already exists")
    unnamed = client.ok("create_room")
    assert unnamed["sample_rate"] == 16000
    assert len(unnamed["id"]) == 36
    assert client.error("get_room", id="b") == (404, "room not found")
    assert client.error("create_room", sample_rate=11025) == (
        400,
        "invalid sample_rate: must be 8000, 16000, or 48000",
    )


def test_delete_empty_room(client):
    client.ok("create_room", id="a")
    assert client.ok("delete_room", id="a") == {"status": "deleted"}
    client.event("room.deleted", room_id="a")
    assert client.ok("list_rooms") == []
    assert client.error("delete_room", id="a") == (404, "room a not found")


@pytest.mark.beyond("the reference answers without the ids")
def test_two_legs_in_a_room_that_was_not_there(switch, client):
    _, first = answered(switch, client, headers={"X-App-ID": "shop"})
    _, second = answered(switch, client)
    assert client.ok("add_leg_to_room", room_id="r", leg_id=first) == {
        "status": "added",
        "room_id": "r",
        "leg_id": first,
    }
    client.event("leg.joined_room", leg_id=first, room_id="r", app_id="shop")
    client.ok("add_leg_to_room", room_id="r", leg_id=second)
    assert client.ok("get_room", id="r")["app_id"] == "shop"
    assert sorted(participants(client, "r")) == sorted([first, second])
    assert client.ok("get_leg", id=first)["room_id"] == "r"
    assert client.error("add_leg_to_room", room_id="r", leg_id=first) == (400, "leg already in this room")


@pytest.mark.beyond("the reference answers without the ids")
def test_move(switch, client):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="a", leg_id=leg)
    moved = client.ok("add_leg_to_room", room_id="b", leg_id=leg)
    assert moved == {"status": "moved", "from": "a", "to": "b", "room_id": "b", "leg_id": leg}
    client.event("leg.left_room", leg_id=leg, room_id="a")
    client.event("leg.joined_room", leg_id=leg, room_id="b")
    assert participants(client, "a") == []
    assert participants(client, "b") == [leg]


def test_moving_back_and_forth_quickly(switch, client):
    _, leg = answered(switch, client)
    numbers = [client.send("add_leg_to_room", room_id="ab"[n % 2], leg_id=leg) for n in range(12)]
    for number in numbers:
        assert client.reply(number)["type"] == "add_leg_to_room.result"
    assert client.ok("get_leg", id=leg)["room_id"] == "b"
    kinds = [kind for kind in client.types(leg_id=leg) if kind in ("leg.joined_room", "leg.left_room")]
    assert kinds == ["leg.joined_room"] + ["leg.left_room", "leg.joined_room"] * 11


@pytest.mark.beyond("the reference answers without the ids")
def test_ringing_leg_is_answered_into_the_room(switch, client):
    peer, leg = ring(switch, client)
    reply = client.ok("add_leg_to_room", room_id="r", leg_id=leg, role="agent", mute=True)
    assert reply == {"status": "adding", "room_id": "r", "leg_id": leg}
    client.event("leg.joined_room", leg_id=leg)
    client.event("room.routing_changed", room_id="r", reason="leg_joined")
    peer.wait("200")
    assert client.types() == [
        "leg.ringing",
        "room.created",
        "leg.connected",
        "leg.joined_room",
        "room.routing_changed",
    ]
    view = client.ok("get_leg", id=leg)
    assert (view["role"], view["muted"], view["state"]) == ("agent", True, "connected")


@pytest.mark.beyond("no leg.early_media for inbound legs by the reference")
def test_inbound_early_media_is_answered_by_joining(switch, client):
    peer, leg = ring(switch, client)
    client.ok("leg_early_media", id=leg)
    client.event("leg.early_media")
    assert client.ok("add_leg_to_room", room_id="r", leg_id=leg)["status"] == "adding"
    client.event("leg.joined_room", leg_id=leg)
    peer.wait("200")


def test_flags_at_the_join_are_not_reported(switch, client):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg, mute=True, deaf=True, accept_dtmf=False)
    view = client.ok("get_leg", id=leg)
    assert (view["muted"], view["deaf"], view["accept_dtmf"]) == (True, True, False)
    assert not {"leg.muted", "leg.deaf"} & set(client.types())
    client.ok("add_leg_to_room", room_id="s", leg_id=leg, mute=False)
    view = client.ok("get_leg", id=leg)
    assert (view["muted"], view["deaf"]) == (False, True)


def test_remove_keeps_the_call(switch, client):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    assert client.ok("remove_leg_from_room", room_id="r", leg_id=leg) == {"status": "removed"}
    client.event("leg.left_room", leg_id=leg, room_id="r")
    view = client.ok("get_leg", id=leg)
    assert view["state"] == "connected"
    assert "room_id" not in view
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)


def test_removing_a_stranger_is_reported_all_the_same(client):
    client.ok("create_room", id="r")
    client.ok("remove_leg_from_room", room_id="r", leg_id="nobody")
    client.event("leg.left_room", leg_id="nobody", room_id="r")
    assert client.error("remove_leg_from_room", room_id="x", leg_id="y") == (400, "room x not found")


def test_leaving_precedes_the_end(switch, client):
    peer, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    assert client.types(leg_id=leg)[-2:] == ["leg.left_room", "leg.disconnected"]
    assert participants(client, "r") == []
    client.ok("get_room", id="r")


def test_deleting_a_room_hangs_its_legs_up(switch, client):
    first, one = answered(switch, client)
    second, two = answered(switch, client)
    for leg in (one, two):
        client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("delete_room", id="r")
    for leg in (one, two):
        event = client.event("leg.disconnected", leg_id=leg)
        assert event["cdr"]["reason"] == "room_deleted"
        client.rewind()
    assert "leg.left_room" not in client.types()
    assert client.types().index("room.deleted") < client.types().index("leg.disconnected")
    first.wait("BYE")
    second.wait("BYE")
    assert client.ok("list_legs") == []


def test_adding_what_cannot_be_added(switch, client):
    assert client.error("add_leg_to_room", room_id="r", leg_id="x") == (400, "leg x not found")
    assert client.ok("list_rooms") == []
    leg = client.ok("create_leg", type="sip", to=switch.uri("ring"))["id"]
    expected = (400, f"leg {leg} is not connected (state: ringing)")
    assert client.error("add_leg_to_room", room_id="r", leg_id=leg) == expected
    assert [room["id"] for room in client.ok("list_rooms")] == ["r"]
    assert client.error("add_leg_to_room", room_id="", leg_id=leg) == (400, "room  not found")


def test_roles(switch, client):
    assert client.error("set_leg_role", leg_id="x", role="a") == (404, "leg x not found")
    _, leg = answered(switch, client)
    assert client.ok("set_leg_role", leg_id=leg, role="agent")["role"] == "agent"
    event = client.event("leg.role_changed", leg_id=leg)
    assert (event["old_role"], event["new_role"]) == ("", "agent")
    assert "room_id" not in event
    client.ok("set_leg_role", leg_id=leg, role="agent")
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    assert "role" not in client.ok("set_leg_role", leg_id=leg)
    event = client.event("leg.role_changed", leg_id=leg, room_id="r")
    assert (event["old_role"], event["new_role"]) == ("agent", "")
    client.event("room.routing_changed", room_id="r", reason="leg_role_changed")
    assert client.types().count("leg.role_changed") == 2
    client.ok("add_leg_to_room", room_id="s", leg_id=leg, role="boss")
    client.event("leg.joined_room", room_id="s")
    client.event("leg.role_changed", room_id="s", new_role="boss")
    client.event("room.routing_changed", room_id="s", reason="leg_role_changed")


def test_a_leg_can_be_moved_for_ever(switch, client):
    """The switch counts 70 transfers, and ends the call with the last."""
    leg = client.ok("create_leg", type="sip", to=switch.uri("instant"))["id"]
    client.event("leg.connected", leg_id=leg)
    for number in range(160):
        client.ok("add_leg_to_room", room_id=f"room {number % 2}", leg_id=leg)
    assert client.ok("get_leg", id=leg)["room_id"] == "room 1"
    assert "leg.disconnected" not in client.types()
