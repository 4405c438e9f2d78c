"""Hold as tests do it: the commands with what they lead to, and what the peer was told."""

from __future__ import annotations

from .drivers import eventually


def hold(client, leg):
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)


def unhold(client, peer, leg):
    client.ok("unhold_leg", id=leg)
    client.event("leg.unhold", leg_id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    eventually(lambda: told(peer) == "sendrecv", f"the peer is off hold: {peer.seen}")


def told(peer):
    """The direction of our last re-INVITE."""
    return next(what.split()[1] for what in reversed(peer.seen) if what.startswith("INVITE "))


def still_held(client, peer, leg):
    view = client.ok("get_leg", id=leg)
    assert (view["state"], view["held"]) == ("held", True)
    eventually(lambda: told(peer) == "sendonly", f"the peer is on hold: {peer.seen}")


def move(client, leg, room="b"):
    client.ok("add_leg_to_room", room_id=room, leg_id=leg)
    client.event("leg.joined_room", leg_id=leg, room_id=room)


def remove(client, leg):
    room = client.ok("get_leg", id=leg)["room_id"]
    client.ok("remove_leg_from_room", room_id=room, leg_id=leg)
    client.event("leg.left_room", leg_id=leg)
