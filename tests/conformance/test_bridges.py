"""Bridges between rooms."""

from __future__ import annotations


def rooms(client, *names: str, rate: int = 16000) -> None:
    for name in names:
        client.ok("create_room", id=name, sample_rate=rate, app_id=f"app-{name}")


def test_refusals(switch, client):
    rooms(client, "a", "b")
    rooms(client, "low", rate=8000)
    create = "bridge_create"
    assert client.error(create, room_id="a") == (400, "room_id is required")
    bad = (400, "invalid direction: must be bidirectional, send, receive, or none")
    assert client.error(create, room_id="a", peer_room_id="a", direction="up") == bad
    assert client.error(create, room_id="a", peer_room_id="a") == (400, "cannot bridge a room to itself")
    assert client.error(create, room_id="x", peer_room_id="b") == (404, "room not found: x")
    assert client.error(create, room_id="a", peer_room_id="y") == (404, "room not found: y")
    mismatch = (400, "sample rate mismatch: room a is 16000Hz, room low is 8000Hz")
    assert client.error(create, room_id="a", peer_room_id="low") == mismatch
    client.ok(create, room_id="a", peer_room_id="b", bridge_id="x")
    taken = (409, "bridge between these rooms already exists: bridge id x already exists")
    assert client.error(create, room_id="a", peer_room_id="b", bridge_id="x") == taken
    again = (409, "bridge between these rooms already exists")
    assert client.error(create, room_id="b", peer_room_id="a") == again
    missing = (404, "bridge not found")
    for command in ("bridge_get", "bridge_update", "bridge_delete"):
        assert client.error(command, room_id="a", bridge_id="y") == missing
        assert client.error(command, room_id="low", bridge_id="x") == missing
    assert client.error("bridge_list", room_id="z") == (404, "room not found")
    assert client.error("bridge_update", room_id="a", bridge_id="x") == (400, "direction is required")
    assert client.error("bridge_update", room_id="a", bridge_id="x", direction="up") == bad
