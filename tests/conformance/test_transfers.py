"""leg_transfer: what the peer is sent, and what clients are told of its answers."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from tests.support.calls import answered, dial, ring
from tests.support.transfers import OVER, TARGET, ends, referred, said, told, transfer


def test_a_blind_transfer_that_succeeds_ends_the_leg(switch, client):
    peer, leg = answered(switch, client)
    event = transfer(client, leg)
    assert (event["kind"], event["target"], "replaces_leg_id" in event) == ("blind", TARGET, False)
    assert referred(peer) == f"<{TARGET}>"
    for code, phrase in ((100, "Trying"), (180, "Ringing")):
        peer.notify(f"SIP/2.0 {code} {phrase}")
        event = client.event("leg.transfer_progress", leg_id=leg)
        assert said(event) == {"status_code": code, "reason": phrase}
    peer.notify("SIP/2.0 200 OK", OVER)
    assert said(client.event("leg.transfer_completed", leg_id=leg)) == {"status_code": 200, "reason": "OK"}
    assert ends(client, leg) == "transfer_completed"
    kinds = ["initiated", "progress", "progress", "completed"]
    assert told(client, leg) == [*(f"transfer_{kind}" for kind in kinds), "disconnected"]


def test_an_outbound_leg_is_transferred(switch, client):
    leg = dial(switch, client)
    client.event("leg.connected", leg_id=leg)
    transfer(client, leg)
    peer = switch.callee()
    assert referred(peer) == f"<{TARGET}>"
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert ends(client, leg) == "transfer_completed"


@pytest.mark.parametrize("code", [302, 403, 404, 481, 486, 500, 603, 604])
def test_a_refer_that_is_refused_leaves_the_leg_as_it_is(switch, client, code):
    peer, leg = answered(switch, client)
    peer.answers_refer(code)
    transfer(client, leg)
    event = client.event("leg.transfer_failed", leg_id=leg)
    assert re.fullmatch(rf"REFER rejected: {code} \S.*", event["error"])
    assert said(event).keys() == {"error"}
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)
    client.ok("unhold_leg", id=leg)
    client.event("leg.unhold", leg_id=leg)
    peer.answers_refer(202)
    transfer(client, leg)
    assert referred(peer, 2) == f"<{TARGET}>"
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)


def test_a_failure_that_does_not_end_the_reports_is_progress(switch, client):
    peer, leg = answered(switch, client)
    transfer(client, leg)
    referred(peer)
    peer.notify("SIP/2.0 603 Decline")
    declined = {"status_code": 603, "reason": "Decline"}
    assert said(client.event("leg.transfer_progress", leg_id=leg)) == declined
    peer.notify("what is this")
    assert said(client.event("leg.transfer_progress", leg_id=leg)) == {"status_code": 0}
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def both(switch, client):
    """Two answered calls: the one that is transferred, and the one that is replaced."""
    first, one = answered(switch, client)
    second, other = answered(switch, client, to="+15550198")
    return first, one, second, other


def test_an_attended_transfer_ends_both_legs(switch, client):
    peer, leg, other_peer, other = both(switch, client)
    event = transfer(client, leg, replaces_leg_id=other)
    assert (event["kind"], event["replaces_leg_id"]) == ("attended", other)
    found = re.fullmatch(rf"<{re.escape(TARGET)}\?Replaces=([^>;,]*)>", referred(peer))
    assert found
    assert re.fullmatch(r"[^;]+;to-tag=[^;]+;from-tag=[^;]+", unquote(found[1]))
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert {ends(client, leg), ends(client, other)} == {"transfer_completed"}
    other_peer.wait("BYE")


@pytest.mark.beyond("the reference tells of the replaced leg's end when its peer hangs up")
def test_the_end_of_the_replaced_leg_is_told_with_the_transfers(switch, client):
    peer, leg, other_peer, other = both(switch, client)
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    other_peer.hang_up()
    peer.notify("SIP/2.0 180 Ringing")  # behind the BYE
    client.event("leg.transfer_progress", leg_id=leg)
    client.rewind()
    assert "leg.disconnected" not in client.types(leg_id=other)
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert (ends(client, other), ends(client, leg)) == ("transfer_completed", "transfer_completed")


def test_the_leg_that_was_to_be_replaced_stays_when_the_transfer_fails(switch, client):
    peer, leg, other_peer, other = both(switch, client)
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    peer.notify("SIP/2.0 486 Busy Here", OVER)
    assert said(client.event("leg.transfer_failed", leg_id=leg)) == {
        "status_code": 486,
        "reason": "Busy Here",
    }
    assert client.ok("get_leg", id=other)["state"] == "connected"
    other_peer.hang_up()
    assert ends(client, other) == "remote_bye"


def refused(client, code, message, **payload):
    assert client.error("leg_transfer", **payload) == (code, message)


def test_what_cannot_be_transferred_is_refused(switch, client):
    peer, leg = answered(switch, client)
    _, ringing = ring(switch, client)
    refused(client, 400, "missing target", id=leg)
    refused(client, 400, "missing target", id="nobody")
    refused(client, 400, "target URI missing host", id=leg, target="sip:")
    refused(client, 400, "target URI missing host", id="nobody", target="sip:bob@")
    refused(client, 404, "leg not found", id="nobody", target=TARGET)
    refused(client, 404, "leg not found", target=TARGET)
    refused(client, 409, "leg must be connected to transfer", id=ringing, target=TARGET)
    refused(client, 409, "replaces_leg_id not found", id=leg, target=TARGET, replaces_leg_id="nobody")
    unsuitable = "replaces_leg_id must be a connected SIP leg"
    refused(client, 409, unsuitable, id=leg, target=TARGET, replaces_leg_id=ringing)
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)
    refused(client, 409, "leg must be connected to transfer", id=leg, target=TARGET)
    assert peer.referred == []
    client.rewind()
    assert not [kind for kind in client.types() if kind.startswith("leg.transfer_")]
