"""Many events at once, for a client whose queue is as small as it can be: it reads, so it loses nothing."""

from __future__ import annotations

import pytest

from tests.support.drivers import eventually

SMALLEST = {"event_buffer_size": 16}
CALLS = 150


def dropped(client) -> int:
    return sum(frame["count"] for frame in client.frames if frame["type"] == "events_dropped")


@pytest.fixture
def crowd(start, connect, switch):
    """A client, and calls in a room."""
    service = start(vsi=SMALLEST)
    client = connect(service)
    peers = [switch.call() for _ in range(CALLS)]
    eventually(lambda: len(client.seen("leg.ringing")) + dropped(client) >= CALLS, "all ring", 60)
    assert dropped(client) == 0
    for event in client.seen("leg.ringing"):
        client.ok("answer_leg", id=event["leg_id"])
    eventually(lambda: len(client.seen("leg.connected")) == CALLS, "all are answered")
    for event in client.seen("leg.ringing"):
        client.send("add_leg_to_room", room_id="crowd", leg_id=event["leg_id"])
    eventually(lambda: len(client.seen("leg.joined_room")) == CALLS, "all are in", 60)
    assert dropped(client) == 0
    return service, client, peers


def told_all_ends(client) -> bool:
    return len(client.seen("leg.disconnected")) + dropped(client) >= CALLS


def test_all_hang_up_together(crowd):
    _, client, peers = crowd
    for peer in peers:
        peer.hang_up()
    eventually(lambda: told_all_ends(client), "all ends are told", 60)
    assert dropped(client) == 0


def test_their_room_is_deleted(crowd):
    _, client, _ = crowd
    client.ok("delete_room", id="crowd")
    eventually(lambda: told_all_ends(client), "all ends are told", 60)
    assert dropped(client) == 0


def test_their_ends_were_not_seen(crowd):
    service, client, peers = crowd
    service.ctx.nodes.default._events.pause()
    for peer in peers:
        peer.hang_up()
    service.ctx.nodes.default._events.close()
    eventually(lambda: told_all_ends(client), "all ends are told", 60)
    assert dropped(client) == 0
