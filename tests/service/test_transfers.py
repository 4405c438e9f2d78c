"""Transfers on a switch: what a report does to the call, restarts, races, and what must not be sent."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, dial, in_room
from tests.support.drivers import eventually
from tests.support.receiver import Receiver
from tests.support.service import address, crash
from tests.support.transfers import (
    OVER,
    TARGET,
    ends,
    nothing_left,
    referred,
    replaced,
    said,
    told,
    transfer,
)
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.switch.actions.refers import SwitchRefers
from vsi_esl.transfers import outgoing
from vsi_esl.transfers.outgoing import Transfers

BUSY = {"status_code": 486, "reason": "Busy Here"}
STATES = [OVER, *(f"terminated;reason={why}" for why in ("timeout", "deactivated", "probation")), ""]


def failed(client, leg):
    return said(client.event("leg.transfer_failed", leg_id=leg))


def once(client, leg, *kinds):
    """Exactly these events of a transfer, in this order, and the leg's end if it is among them."""
    assert told(client, leg) == [kind if kind == "disconnected" else f"transfer_{kind}" for kind in kinds]


@pytest.mark.parametrize("state", STATES)
def test_a_failure_that_ends_the_reports_ends_the_leg(switch, client, service, state):
    """The switch has let the dialog go: what is left of the leg is ended as well."""
    peer, leg = answered(switch, client)
    transfer(client, leg)
    referred(peer)
    peer.notify("SIP/2.0 486 Busy Here", state)
    assert failed(client, leg) == BUSY
    assert ends(client, leg) == "remote_bye"
    peer.wait("BYE")
    once(client, leg, "initiated", "failed", "disconnected")
    nothing_left(switch, service, leg)
    assert (peer.seen.count("BYE"), peer.wrongs) == (1, [])


@pytest.mark.parametrize(("line", "status"), [("", None), ("SIP/2.0 200 OK", 200)])
def test_reports_that_end_without_a_word(switch, client, service, line, status):
    """A last NOTIFY with a body and one without: of the latter the switch tells a header only."""
    peer, leg = in_room(switch, client)
    transfer(client, leg)
    referred(peer)
    peer.notify(line, OVER)
    if status:
        assert said(client.event("leg.transfer_completed", leg_id=leg))["status_code"] == status
        assert ends(client, leg) == "transfer_completed"
    else:
        assert failed(client, leg) == {}
        assert ends(client, leg) == "remote_bye"
    nothing_left(switch, service, leg)


def test_a_leg_that_no_transfer_concerns_is_not_left_without_its_dialog(switch, client, service):
    """Any terminated NOTIFY ends the dialog."""
    peer, leg = answered(switch, client)
    peer.notify("", "terminated;reason=timeout", "message-summary")
    assert ends(client, leg) == "remote_bye"
    once(client, leg, "disconnected")
    nothing_left(switch, service, leg)


def test_a_challenge_without_credentials_ends_the_leg(switch, client, service):
    peer, leg = answered(switch, client)
    peer.answers_refer(401, challenge=True)
    transfer(client, leg)
    assert failed(client, leg) == {"error": "REFER rejected: 401 Unauthorized"}
    ends(client, leg)
    once(client, leg, "initiated", "failed", "disconnected")
    nothing_left(switch, service, leg)


def test_a_refusal_for_want_of_credentials_that_asks_for_none(switch, client, service, monkeypatch):
    """The switch stays silent; the leg is as it was."""
    monkeypatch.setattr(outgoing, "SILENT_S", 0.3)
    peer, leg = answered(switch, client)
    peer.answers_refer(407)
    transfer(client, leg)
    assert failed(client, leg) == {"error": "REFER rejected: 407 Proxy Authentication Required"}
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    once(client, leg, "initiated", "failed")


def test_a_refer_that_is_not_answered(switch, client):
    """The stack gives it up after 32 s."""
    if switch.name != "sandbox":
        pytest.skip("takes 32 s there: see tests/freeswitch")
    switch.switch.refers.no_answer_s = 0.2
    peer, leg = answered(switch, client)
    peer.answers_refer(0)
    transfer(client, leg)
    assert failed(client, leg) == {"error": "REFER rejected: 408 Request Timeout"}
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_reports_that_come_at_once_are_told_in_their_order(switch, client, service):
    peer, leg = answered(switch, client)
    transfer(client, leg)
    referred(peer)
    codes = [100, 180, 181, 182, 183, 180, 183]
    for code in codes:
        peer.notify(f"SIP/2.0 {code} So far")
    peer.notify("SIP/2.0 200 OK", OVER)
    assert ends(client, leg) == "transfer_completed"
    progress = client.seen("leg.transfer_progress", leg_id=leg)
    assert [event["status_code"] for event in progress] == codes
    once(client, leg, "initiated", *["progress"] * len(codes), "completed", "disconnected")


def test_reports_may_come_before_the_answer(switch, client, service):
    peer, leg = answered(switch, client)
    peer.answers_refer(0)
    transfer(client, leg)
    referred(peer)
    peer.notify("SIP/2.0 180 Ringing")
    client.event("leg.transfer_progress", leg_id=leg)
    peer.answer_refer(202)
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert ends(client, leg) == "transfer_completed"
    once(client, leg, "initiated", "progress", "completed", "disconnected")


def test_a_transfer_of_which_nothing_is_heard(switch, start, connect):
    service = start(transfers={"timeout": 1.5})
    client = connect(service)
    peer, leg = answered(switch, client)
    transfer(client, leg)
    referred(peer)
    peer.notify("SIP/2.0 100 Trying")
    assert failed(client, leg) == {"error": "no result within 1.5 s"}
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    once(client, leg, "initiated", "progress", "failed")
    transfer(client, leg)
    referred(peer, 2)
    assert failed(client, leg) == {"error": "no result within 1.5 s"}
    peer.notify("SIP/2.0 200 OK", OVER)  # too late, and it ends the dialog all the same
    assert ends(client, leg) == "remote_bye"
    once(client, leg, "initiated", "progress", "failed", "initiated", "failed", "disconnected")
    nothing_left(switch, service, leg)


# -- attended ----------------------------------------------------------------------------------------------


@pytest.fixture
def pair(switch, client):
    """A leg to transfer and one to replace, with their peers."""
    peer, leg = answered(switch, client)
    other_peer, other = in_room(switch, client, "talk")
    return peer, leg, other_peer, other


@pytest.mark.parametrize("outbound", [False, True])
def test_replaces_names_the_dialog_also_behind_holds(switch, client, outbound):
    """The switch's From and To change sides with each re-INVITE."""
    peer, leg = answered(switch, client)
    if outbound:
        other = dial(switch, client)
        client.event("leg.connected", leg_id=other)
        other_peer = switch.callee()
    else:
        other_peer, other = answered(switch, client)
    peer.answers_refer(603)

    def named(count):
        transfer(client, leg, replaces_leg_id=other)
        assert replaced(peer, count) == other_peer.identity
        client.event("leg.transfer_failed", leg_id=leg)

    named(1)
    client.ok("hold_leg", id=other)
    client.event("leg.hold", leg_id=other)
    client.ok("unhold_leg", id=other)
    client.event("leg.unhold", leg_id=other)
    named(2)
    other_peer.hold()
    client.event("leg.hold", leg_id=other)
    other_peer.unhold()
    client.event("leg.unhold", leg_id=other)
    named(3)


@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize("outbound", [False, True])
def test_replaces_names_the_dialog_also_after_a_restart(switch, start, connect, outbound, side):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    if outbound:
        other = dial(switch, client)
        client.event("leg.connected", leg_id=other)
        other_peer = switch.callee()
    else:
        other_peer, other = answered(switch, client)
    if side == "ours":
        client.ok("hold_leg", id=other)
        client.event("leg.hold", leg_id=other)
        client.ok("unhold_leg", id=other)
    else:
        other_peer.hold()
        client.event("leg.hold", leg_id=other)
        other_peer.unhold()
    client.event("leg.unhold", leg_id=other)
    crash(service)
    client = connect(start())
    transfer(client, leg, replaces_leg_id=other)
    assert replaced(peer) == other_peer.identity


def test_a_peer_that_held_and_was_moved_is_still_named_after_a_restart(switch, start, connect):
    """Moving it made the switch send a re-INVITE."""
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    other_peer, other = in_room(switch, client, "a")
    other_peer.hold()
    client.event("leg.hold", leg_id=other)
    client.ok("add_leg_to_room", room_id="b", leg_id=other)
    client.event("leg.joined_room", leg_id=other, room_id="b")
    other_peer.wait("INVITE sendrecv")
    other_peer.unhold()
    client.event("leg.unhold", leg_id=other)
    crash(service)
    client = connect(start())
    transfer(client, leg, replaces_leg_id=other)
    assert replaced(peer) == other_peer.identity


@pytest.mark.parametrize("verdict", ["completed", "failed", "timeout", "leg gone"])
def test_the_replaced_legs_bye_waits_for_the_verdict(switch, start, connect, verdict):
    service = start(transfers={"timeout": 3.0 if verdict == "timeout" else 60.0})
    client = connect(service)
    peer, leg = answered(switch, client)
    other_peer, other = in_room(switch, client, "talk")
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    other_peer.hang_up()
    client.event("leg.left_room", leg_id=other)
    eventually(lambda: client.ok("list_legs")[1:] == [], "it is gone for clients")
    assert "leg.disconnected" not in client.types(leg_id=other)
    if verdict == "completed":
        peer.notify("SIP/2.0 200 OK", OVER)
    elif verdict == "failed":
        peer.notify("SIP/2.0 486 Busy Here", OVER)
    elif verdict == "leg gone":
        peer.hang_up()
    client.event(f"leg.transfer_{'completed' if verdict == 'completed' else 'failed'}", leg_id=leg)
    assert ends(client, other) == ("transfer_completed" if verdict == "completed" else "remote_bye")
    if verdict != "timeout":
        ends(client, leg)
        nothing_left(switch, service, leg, other)


def test_the_replaced_legs_bye_may_come_behind_the_verdict(switch, client, service, pair):
    peer, leg, other_peer, other = pair
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    peer.notify("SIP/2.0 200 OK", OVER)
    other_peer.hang_up()  # crosses our BYE
    assert (ends(client, leg), ends(client, other)) == ("transfer_completed", "transfer_completed")
    nothing_left(switch, service, leg, other)


def test_a_replaced_leg_that_a_client_ends_is_not_held_back(switch, client, service, pair):
    peer, leg, _, other = pair
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    client.ok("delete_leg", id=other)
    assert ends(client, other) == "api_hangup"
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert ends(client, leg) == "transfer_completed"
    nothing_left(switch, service, leg, other)


# -- several at once, and ends on the way --------------------------------------------------------------------


def test_of_two_transfers_of_a_leg_the_second_is_refused(switch, client, connect, service):
    peer, leg = answered(switch, client)
    other = connect(service)
    numbers = [one.send("leg_transfer", id=leg, target=TARGET) for one in (client, other)]
    replies = [one.reply(number) for one, number in zip((client, other), numbers, strict=True)]
    errors = [reply["data"] for reply in replies if reply["type"] == "error"]
    assert errors == [{"code": 409, "message": "leg is being transferred already"}]
    referred(peer)
    client.event("leg.transfer_initiated", leg_id=leg)
    peer.notify("SIP/2.0 200 OK", OVER)
    ends(client, leg)
    once(client, leg, "initiated", "completed", "disconnected")
    assert len(peer.referred) == 1


def test_two_legs_that_each_are_to_replace_the_other(switch, client, service, pair):
    peer, leg, other_peer, other = pair
    transfer(client, leg, replaces_leg_id=other)
    transfer(client, other, replaces_leg_id=leg)
    assert (replaced(peer), replaced(other_peer)) == (other_peer.identity, peer.identity)
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert {ends(client, leg), ends(client, other)} == {"transfer_completed"}
    client.rewind()
    assert failed(client, other) == {"error": "no result: the leg has ended"}
    nothing_left(switch, service, leg, other)


@pytest.mark.parametrize("who", ["client", "peer", "switch"])
def test_a_leg_that_ends_in_mid_transfer(switch, client, service, who):
    peer, leg = answered(switch, client)
    transfer(client, leg)
    referred(peer)
    if who == "client":
        client.ok("delete_leg", id=leg)
    elif who == "peer":
        peer.hang_up()
    else:
        switch.esl(f"uuid_kill {leg}")
    assert failed(client, leg) == {"error": "no result: the leg has ended"}
    assert ends(client, leg) == ("remote_bye" if who == "peer" else "api_hangup")
    once(client, leg, "initiated", "failed", "disconnected")
    nothing_left(switch, service, leg)


@pytest.mark.parametrize("who", ["leg", "other"])
def test_a_leg_that_ends_before_the_transfer_has_begun(switch, client, service, pair, monkeypatch, who):
    """The command is refused; then nothing is told of it, and no end is held back for it."""
    peer, leg, other_peer, other = pair
    prepare = SwitchRefers.prepare

    def prepared(switch_, one):
        prepare(switch_, one)
        for ended in (other_peer, peer) if who == "leg" else (other_peer,):
            ended.hang_up()
        gone = leg if who == "leg" else other
        eventually(lambda: service.ctx.legs.find(gone) is None, "it has ended")

    monkeypatch.setattr(SwitchRefers, "prepare", prepared)
    refused = (404, "leg not found") if who == "leg" else (409, "replaces_leg_id not found")
    assert client.error("leg_transfer", id=leg, target=TARGET, replaces_leg_id=other) == refused
    assert ends(client, other) == "remote_bye"
    once(client, other, "disconnected")
    if who == "leg":
        assert ends(client, leg) == "remote_bye"
        once(client, leg, "disconnected")
    else:
        once(client, leg)
        monkeypatch.undo()
        transfer(client, leg)
        referred(peer)
        client.ok("delete_leg", id=leg)
        ends(client, leg)
    nothing_left(switch, service, leg, other)


def test_hanging_up_right_behind_the_command(switch, client, service):
    for _ in range(10):
        _, leg = answered(switch, client)
        numbers = [client.send("leg_transfer", id=leg, target=TARGET), client.send("delete_leg", id=leg)]
        accepted = client.reply(numbers[0])["type"] != "error"
        client.reply(numbers[1])
        ends(client, leg)
        assert told(client, leg) == [
            *(["transfer_initiated", "transfer_failed"] if accepted else []),
            "disconnected",
        ]
        nothing_left(switch, service, leg)


# -- after a REFER of the peer -------------------------------------------------------------------------------


def declined(client, peer, leg, count=1):
    """The peer's own REFER, and its refusal."""
    peer.refer("sip:elsewhere@127.0.0.1")
    client.event("leg.transfer_requested", leg_id=leg)
    eventually(lambda: sum(one.startswith("603") for one in peer.seen) >= count, "it is declined")


@pytest.mark.parametrize("restarted", [False, True])
def test_the_outcome_is_told_also_when_the_peer_has_sent_a_refer(switch, start, connect, restarted):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    other_peer, other = answered(switch, client)
    declined(client, peer, leg)
    declined(client, other_peer, other)
    if restarted:
        crash(service)
        service = start()
        client = connect(service)
    transfer(client, leg)
    transfer(client, other)
    for one, its_peer in ((leg, peer), (other, other_peer)):
        referred(its_peer)
        its_peer.notify("SIP/2.0 180 Ringing")
        client.event("leg.transfer_progress", leg_id=one)
    declined(client, other_peer, other, 2)
    assert "NOTIFY 403 Forbidden" not in other_peer.seen
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert ends(client, leg) == "transfer_completed"
    # of this one the switch tells no more; the end of the reports it does
    other_peer.notify("SIP/2.0 200 OK", OVER)
    assert failed(client, other) == {}
    assert ends(client, other) == "remote_bye"
    assert (peer.wrongs, other_peer.wrongs) == ([], [])
    nothing_left(switch, service, leg, other)


def test_a_leg_whose_peer_waits_for_a_decision_is_not_transferred(switch, client, service):
    peer, leg = answered(switch, client)
    peer.refer("sip:elsewhere@127.0.0.1")
    client.event("leg.transfer_requested", leg_id=leg)
    asked = (409, "the peer has asked for a transfer itself")
    assert client.error("leg_transfer", id=leg, target=TARGET) == asked
    assert client.ok("decline_transfer", id=leg) == {"status": "declining"}
    peer.wait("603")
    client.event("leg.transfer_failed", leg_id=leg)
    transfer(client, leg)
    referred(peer)
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert ends(client, leg) == "transfer_completed"
    nothing_left(switch, service, leg)


# -- the service, or its connection, goes away ---------------------------------------------------------------


@pytest.fixture
def again(start, connect):
    """The next service, and a client that gets what the other one has not had."""

    def start_again(client):
        service = start()
        return service, connect(service, f"?since={client.events[-1]['event_id']}")

    return start_again


def test_a_restarted_service_goes_on_with_a_transfer(switch, start, connect, again):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    other_peer, other = answered(switch, client)
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    crash(service)
    service, client = again(client)
    assert client.error("leg_transfer", id=leg, target=TARGET)[0] == 409
    peer.notify("SIP/2.0 180 Ringing")
    client.event("leg.transfer_progress", leg_id=leg)
    other_peer.hang_up()
    peer.notify("SIP/2.0 200 OK", OVER)
    client.event("leg.transfer_completed", leg_id=leg)
    assert (ends(client, leg), ends(client, other)) == ("transfer_completed", "transfer_completed")
    nothing_left(switch, service, leg, other)


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("verdict", ["completed", "failed"])
def test_an_end_that_is_held_back_is_so_over_a_restart(switch, start, connect, again, how, verdict):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    other_peer, other = in_room(switch, client, "talk")
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    other_peer.hang_up()
    client.event("leg.left_room", leg_id=other)
    eventually(lambda: other in service.ctx.legs.departing, "its end is held back")
    if how == "killed":
        crash(service)
    else:
        service.stop()
    service, client = again(client)
    peer.notify("SIP/2.0 180 Ringing")
    client.event("leg.transfer_progress", leg_id=leg)
    eventually(lambda: other in service.ctx.legs.departing, "its end is held back again")
    assert client.seen("leg.disconnected", leg_id=other) == []
    peer.notify("SIP/2.0 200 OK" if verdict == "completed" else "SIP/2.0 486 Busy Here", OVER)
    client.event(f"leg.transfer_{verdict}", leg_id=leg)
    assert ends(client, other) == ("transfer_completed" if verdict == "completed" else "remote_bye")
    ends(client, leg)
    assert len(client.seen("leg.disconnected", leg_id=other)) == 1
    nothing_left(switch, service, leg, other)


AWAY = {
    "completed": ("SIP/2.0 200 OK", OVER),
    "failed for good": ("SIP/2.0 486 Busy Here", OVER),
    "failed so far": ("SIP/2.0 486 Busy Here", "active;expires=60"),
    "ended without a word": ("", OVER),
}


@pytest.mark.parametrize("what", AWAY)
@pytest.mark.parametrize("how", ["process", "connection"])
def test_what_was_reported_while_nobody_listened(switch, start, connect, again, monkeypatch, what, how):
    monkeypatch.setattr(outgoing, "SILENT_S", 1.0)
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    _, other = answered(switch, client)
    transfer(client, leg, replaces_leg_id=other)
    referred(peer)
    if how == "process":
        crash(service)
    else:
        service.ctx.nodes.default.stop()
    peer.notify(*AWAY[what])
    if AWAY[what][1] == OVER:
        peer.wait("BYE")
    if how == "process":
        service, client = again(client)
    else:
        service.ctx.nodes.default.start()
    if what == "completed":
        client.event("leg.transfer_completed", leg_id=leg)
        assert (ends(client, leg), ends(client, other)) == ("transfer_completed", "transfer_completed")
        nothing_left(switch, service, leg, other)
        return
    assert failed(client, leg) == ({} if what == "ended without a word" else BUSY)
    if what == "failed so far":
        peer.wait("NOTIFY")
        client.ok("hold_leg", id=leg)
        client.event("leg.hold", leg_id=leg)
    else:
        assert ends(client, leg) == "remote_bye"
        nothing_left(switch, service, leg)
    assert client.ok("get_leg", id=other)["state"] == "connected"


def test_a_refusal_while_nobody_listened(switch, start, connect, again):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    peer.answers_refer(0)
    transfer(client, leg)
    referred(peer)
    crash(service)
    peer.answer_refer(403)
    _, client = again(client)
    assert failed(client, leg) == {"error": "REFER rejected: 403"}
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_a_leg_that_ended_while_nobody_listened(switch, start, connect, again):
    service = start()
    client = connect(service)
    peer, leg = answered(switch, client)
    transfer(client, leg)
    referred(peer)
    crash(service)
    peer.hang_up()
    eventually(lambda: not switch.channels(leg), "the channel is gone")
    service, client = again(client)
    assert failed(client, leg) == {"error": "no result: the leg has ended"}
    assert ends(client, leg) == "unobserved"
    nothing_left(switch, service, leg)


def test_without_a_switch_nothing_is_begun(switch, client, service):
    _, leg = answered(switch, client)
    service.ctx.nodes.default.stop()
    assert client.error("leg_transfer", id=leg, target=TARGET)[0] == 503
    assert told(client, leg) == []
    assert not service.ctx.get(Transfers).running
    service.ctx.nodes.default.start()
    assert service.ctx.nodes.default.wait_ready(20)
    transfer(client, leg)


# -- who may, and what is sent -------------------------------------------------------------------------------


def test_a_confined_token_replaces_legs_of_its_own_only(switch, start):
    acme, anyone = new_token(), new_token()
    lines = (line_of("acme", "control", acme, "acme"), line_of("op", "control", anyone))
    service = start(access={"tokens": lines})
    client = VsiClient(address(service), f"?token={acme}")
    operator = VsiClient(address(service), f"?token={anyone}")
    try:
        (peer, own), (_, second), (_, foreign) = (
            answered(switch, operator, headers={"X-App-ID": app}) for app in ("acme", "acme", "other")
        )
        payload = {"id": own, "target": TARGET}
        not_found = (409, "replaces_leg_id not found")
        assert client.error("leg_transfer", **payload, replaces_leg_id=foreign) == not_found
        assert client.error("leg_transfer", id=foreign, target=TARGET) == (404, "leg not found")
        assert peer.referred == []
        assert client.ok("leg_transfer", **payload, replaces_leg_id=second)["status"] == "transfer_initiated"
        assert client.event("leg.transfer_initiated")["app_id"] == "acme"
    finally:
        client.close()
        operator.close()


def test_a_legs_own_webhook_gets_its_transfers(switch, start, connect):
    receiver = Receiver()
    try:
        client = connect(start(webhooks={"allow_private_urls": True}))
        leg = dial(switch, client, webhook_url=receiver.url("/leg"), webhook_secret="l")
        client.event("leg.connected", leg_id=leg)
        transfer(client, leg)
        peer = switch.callee()
        referred(peer)
        peer.notify("SIP/2.0 180 Ringing")
        peer.notify("SIP/2.0 200 OK", OVER)
        receiver.event("leg.disconnected", leg_id=leg)
        kinds = [kind for kind in receiver.types(leg_id=leg) if kind.startswith("leg.transfer_")]
        assert kinds == ["leg.transfer_initiated", "leg.transfer_progress", "leg.transfer_completed"]
        assert {one.path for one in receiver.taken} == {"/leg"}
    finally:
        receiver.released.set()
        receiver.stop()


@pytest.mark.parametrize(
    ("code", "target"),
    [
        (400, "not a uri"),
        (400, "bob"),
        (400, "tel:+15550100"),
        (501, "sips:bob@example.com"),
        (400, "sip:bob@example.com?X-Evil=1"),
        (400, "sip:bob@example.com?Replaces=a"),
        (400, "sip:bob@example.com\r\nX-Evil: 1"),
        (400, "sip:bob@example.com\nuuid_kill x"),
        (400, "sip:bob@example.com\\r\\nX-Evil: 1"),
        (400, "sip:bob@example.com,sip:eve@example.com"),
        (400, "sip:bob@example.com|sip:eve@example.com"),
        (400, "sip:bob@a:_:sip:eve@b"),
        (400, "sip:bob@example.com ${hostname}"),
        (400, "sip:${hostname}@example.com"),
        (400, "sip:bob@example.com;fs_path=sip:eve@example.com"),
        (400, "<sip:bob@example.com>"),
        (400, '"Bob" <sip:bob@example.com>'),
        (400, "sip:bob@example.com'"),
        (400, "sip:bob@example.com:70000"),
        (400, "sip:bob@\x00"),
        (400, "sip:b\N{LATIN SMALL LETTER O WITH DIAERESIS}b@example.com"),
        (400, "sip:" + "b" * 5000 + "@example.com"),
        (501, "sip:bob@example.com;transport=tcp"),
        (501, "sip:bob@example.com;user=phone"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_happens(switch, client, service, code, target):
    peer, leg = answered(switch, client)
    got, message = client.error("leg_transfer", id=leg, target=target)
    assert (got, len(message) < 300) == (code, True), message
    client.ok("send_leg_dtmf", id=leg, digits="1")  # behind whatever was sent
    assert peer.referred == []
    assert told(client, leg) == []
    nothing_left(switch, service)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("SIP:bob@EXAMPLE.com:5070", "sip:bob@EXAMPLE.com:5070"),
        ("sip:example.com", "sip:example.com"),
        ("sip:[::1]:5070", "sip:[::1]:5070"),
        ("sip:a;b=c%2Cd@example.com", "sip:a;b=c,d@example.com"),
        ("sip:(a)&b=c+d$e/f@example.com", "sip:(a)&b=c+d$e/f@example.com"),
        ("sip:a%20b@example.com", "sip:a%20b@example.com"),
    ],
)
def test_what_is_odd_and_can_be_sent_arrives_as_it_is(switch, client, target, sent):
    peer, leg = answered(switch, client)
    assert transfer(client, leg, target)["target"] == target
    arrived = referred(peer).strip("<>")
    assert arrived.replace("%3B", ";").replace("%2C", ",") == sent
