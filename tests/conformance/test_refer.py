"""A peer's REFER, which clients decide on: told, accepted, reported on, declined, or left alone."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, dial
from tests.support.drivers import eventually
from tests.support.refers import TARGET, asked, outcome, replacing, reported

UNDECIDED = "no pending transfer for leg (unknown or already {})"


def test_one_is_accepted_and_completed(switch, client):
    peer, leg = answered(switch, client)
    event = asked(peer, client, leg)
    assert (event["kind"], event["target"], "replaces_call_id" in event) == ("blind", TARGET, False)
    assert client.ok("accept_transfer", id=leg) == {"status": "accepting"}
    peer.wait("202")
    assert client.ok("progress_transfer", id=leg, status_code=180) == {"status": "progress"}
    assert client.ok("progress_transfer", id=leg, status_code=183, reason="On its way") == {
        "status": "progress"
    }
    assert client.ok("complete_transfer", id=leg, success=True) == {"status": "completing"}
    assert outcome(client.event("leg.transfer_completed", leg_id=leg)) == (200, "OK", None)
    reported(peer, "100 Trying", "180 Ringing", "183 On its way", "200 OK")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    client.ok("delete_leg", id=leg)
    peer.wait("BYE")
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "api_hangup"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, (500, "Server Internal Error")),
        ({"status_code": 486}, (486, "Busy Here")),
        ({"status_code": 480, "reason": "Nobody, there"}, (480, "Nobody, there")),
        ({"status_code": 603, "success": False}, (603, "Decline")),
        ({"status_code": 404}, (404, "Transfer")),
    ],
)
def test_one_that_was_accepted_fails(switch, client, given, status):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    client.ok("complete_transfer", id=leg, **given)
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (*status, None)
    reported(peer, "100 Trying", f"{status[0]} {status[1]}")
    assert client.ok("get_leg", id=leg)["state"] == "connected"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, (603, "Decline")),
        ({"code": 486}, (486, "Decline")),
        ({"code": 503, "reason": "Busy, later"}, (503, "Busy, later")),
    ],
)
def test_one_is_declined(switch, client, given, status):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    assert client.ok("decline_transfer", id=leg, **given) == {"status": "declining"}
    peer.wait(str(status[0]))
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (*status, None)
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert asked(peer, client, leg)["target"] == TARGET  # the next one is another
    client.ok("decline_transfer", id=leg)


def test_nobody_decides(switch, client):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (603, "Decline", None)
    peer.wait("603")
    assert client.error("accept_transfer", id=leg) == (404, UNDECIDED.format("decided"))
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_it_is_decided_once(switch, client):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    assert client.error("progress_transfer", id=leg, status_code=180) == (404, "no accepted transfer for leg")
    assert client.error("complete_transfer", id=leg)[0] == 404
    client.ok("accept_transfer", id=leg)
    assert client.error("accept_transfer", id=leg) == (404, UNDECIDED.format("decided"))
    assert client.error("decline_transfer", id=leg) == (404, UNDECIDED.format("accepted"))
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    message = "no accepted transfer for leg (accept it first)"
    assert client.error("complete_transfer", id=leg, success=True) == (404, message)
    assert len(client.seen("leg.transfer_completed")) == 1 and not client.seen("leg.transfer_failed")


@pytest.mark.parametrize(
    "name", ["accept_transfer", "decline_transfer", "complete_transfer", "progress_transfer"]
)
def test_there_is_none(switch, client, name):
    _, leg = answered(switch, client)
    for id in (leg, "nobody", ""):
        assert client.error(name, id=id, **({"status_code": 180} if "progress" in name else {}))[0] == 404
    assert client.ok("get_leg", id=leg)["state"] == "connected"


@pytest.mark.parametrize("status", [0, 99, 700, -1])
def test_a_report_is_a_sip_status(switch, client, status):
    message = "status_code must be a SIP status (100-699)"
    assert client.error("progress_transfer", id="nobody", status_code=status) == (400, message)


def test_the_peer_hangs_up_while_it_waits(switch, client):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    peer.hang_up()
    eventually(
        lambda: client.seen("leg.transfer_failed", leg_id=leg), "its end is told"
    )  # before or behind the leg's
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"
    assert client.error("accept_transfer", id=leg)[0] == 404


def test_one_that_replaces_a_call(switch, client):
    peer, leg = answered(switch, client)
    event = asked(peer, client, leg, replacing(TARGET, ("a84b4c@host", "t1", "f1")))
    assert (event["kind"], event["target"]) == ("attended", TARGET)
    assert event["replaces_call_id"] == "a84b4c@host"
    client.ok("decline_transfer", id=leg)


def test_of_a_call_that_was_made_here(switch, client):
    leg = dial(switch, client)
    client.event("leg.connected", leg_id=leg)
    peer = switch.callee()
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    client.ok("progress_transfer", id=leg, status_code=180)
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    reported(peer, "100 Trying", "180 Ringing", "200 OK")
    client.ok("delete_leg", id=leg)
    peer.wait("BYE")
