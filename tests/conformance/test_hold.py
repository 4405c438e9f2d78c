"""Hold from either side, and what is done to a leg meanwhile."""

from __future__ import annotations

import gevent
import pytest

from tests.support.calls import in_room
from tests.support.drivers import eventually
from tests.support.holding import hold, move, remove, still_held, told, unhold


@pytest.mark.parametrize(
    "deeds", [[move], [remove], [move, remove], [move, lambda c, leg: move(c, leg, "a")]]
)
def test_a_leg_that_we_hold_can_be_moved_and_stays_on_hold(switch, client, deeds):
    peer, leg = in_room(switch, client, "a")
    hold(client, leg)
    for deed in deeds:
        deed(client, leg)
        still_held(client, peer, leg)
    unhold(client, peer, leg)
    kinds = client.types(leg_id=leg)
    assert (kinds.count("leg.hold"), kinds.count("leg.unhold")) == (1, 1)
    hold(client, leg)
    unhold(client, peer, leg)


@pytest.mark.parametrize("deed", [move, remove])
def test_a_leg_whose_peer_holds_can_be_moved_and_the_peer_resumes(switch, client, deed):
    peer, leg = in_room(switch, client, "a")
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    deed(client, leg)
    assert client.ok("get_leg", id=leg)["state"] == "held"
    peer.unhold()
    client.event("leg.unhold", leg_id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    kinds = client.types(leg_id=leg)
    assert (kinds.count("leg.hold"), kinds.count("leg.unhold")) == (2, 1)


def test_hold_leg_while_the_peer_holds_sends_nothing(switch, client):
    peer, leg = in_room(switch, client, "a")
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    before = list(peer.seen)
    assert client.ok("hold_leg", id=leg) == {"status": "holding"}
    client.ok("send_leg_dtmf", id=leg, digits="1")  # behind it in the leg's queue
    assert [what for what in peer.seen if what.startswith("INVITE s")] == [
        what for what in before if what.startswith("INVITE s")
    ]
    peer.unhold()
    client.event("leg.unhold", leg_id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert "leg.command_failed" not in client.types()
    assert client.types().count("leg.hold") == 1


@pytest.mark.parametrize("moved", [False, True])
def test_unhold_leg_while_the_peer_holds_is_a_re_invite_and_ends_it(switch, client, moved):
    peer, leg = in_room(switch, client, "a")
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    if moved:
        move(client, leg)
    client.ok("unhold_leg", id=leg)
    client.event("leg.unhold", leg_id=leg)
    assert any(what.startswith("INVITE ") for what in peer.seen)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    hold(client, leg)
    client.ok("unhold_leg", id=leg)
    client.event("leg.unhold", leg_id=leg)


@pytest.mark.beyond("the reference forgets our hold when the peer resumes")
def test_both_hold_and_both_resume(switch, client):
    peer, leg = in_room(switch, client, "a")
    hold(client, leg)
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    peer.unhold()
    client.event("leg.unhold", leg_id=leg)
    still_held(client, peer, leg)
    unhold(client, peer, leg)
    hold(client, leg)
    unhold(client, peer, leg)


@pytest.mark.beyond("the reference fails one of two re-INVITEs that cross")
@pytest.mark.parametrize("pause", [0.0, 0.1, 0.2])
def test_a_quick_resume_of_ours(switch, client, pause):
    peer, leg = in_room(switch, client, "a")
    for _ in range(3):
        client.ok("hold_leg", id=leg)
        gevent.sleep(pause)
        client.ok("unhold_leg", id=leg)
        client.event("leg.hold", leg_id=leg)
        client.event("leg.unhold", leg_id=leg)
        eventually(lambda: told(peer) == "sendrecv", f"the peer is off hold: {peer.seen}")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert "leg.command_failed" not in client.types()


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.2])
def test_a_quick_resume_of_the_peer(switch, client, pause):
    peer, leg = in_room(switch, client, "a")
    for _ in range(3):
        peer.hold()
        gevent.sleep(pause)
        peer.unhold()
        client.event("leg.hold", leg_id=leg)
        client.event("leg.unhold", leg_id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
