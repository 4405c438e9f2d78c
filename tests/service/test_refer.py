"""A peer's REFER: what is not asked about, what is dialled, and what becomes of it when somebody ends."""

from __future__ import annotations

import gevent
import pytest

from tests.support.calls import answered, dial, in_room, reasons, ring
from tests.support.drivers import eventually
from tests.support.refers import TARGET, asked, outcome, refused, replacing, reported
from tests.support.service import crash, http
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.transfers.requests import Requests

SOON = {"consult_timeout_ms": 300}
DIALS = {"auto_dial": True}
LATER = {"consult_timeout_ms": 30_000}


# -- nobody is asked -----------------------------------------------------------------------------------


def declined(peer, client, leg, target=TARGET, code=603):
    peer.refer(target)
    assert client.event("leg.transfer_requested", leg_id=leg)["declined"] is True
    peer.wait(str(code))


def test_nobody_is_to_be_asked(switch, start, connect):
    client = connect(start(transfers={"consult_timeout_ms": 0}))
    peer, leg = answered(switch, client)
    declined(peer, client, leg)
    assert client.error("accept_transfer", id=leg)[0] == 404
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_a_call_that_rings_goes_on_ringing(switch, client):
    peer, leg = ring(switch, client)
    client.ok("leg_ring", id=leg)
    peer.wait("180")
    declined(peer, client, leg)
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    asked(peer, client, leg)
    client.ok("decline_transfer", id=leg)


@pytest.mark.parametrize(
    "target", [" ", "bob", "sip:", "sip:@", "<", "sip:bob@example.com?Replaces=%3Bto-tag%3Da"]
)
def test_one_that_names_nobody_is_refused(switch, client, target):
    peer, leg = answered(switch, client)
    peer.refer(target)
    # the switch answers one by itself in which it finds no address
    peer.wait("202" if switch.name == "freeswitch" and target in ("sip:", "sip:@") else "400")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert not client.seen("leg.transfer_requested")


@pytest.mark.parametrize(
    "target", ["tel:+15550100", "sips:bob@example.com", "sip:bob@[::1]:5080;transport=tcp"]
)
def test_any_target_is_an_application_s_to_decide_on(switch, client, target):
    peer, leg = answered(switch, client)
    assert asked(peer, client, leg, target)["target"] == target
    client.ok("decline_transfer", id=leg, code=488)
    peer.wait("488")


def test_another_before_the_first_is_decided(switch, start, connect):
    client = connect(start(transfers=LATER))
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    asked(peer, client, leg, "sip:carol@example.com")
    failed = client.seen("leg.transfer_failed")
    assert [outcome(one) for one in failed] == [(None, None, "another REFER has taken its place")]
    client.ok("accept_transfer", id=leg)
    client.ok("complete_transfer", id=leg, success=True)
    reported(peer, "100 Trying", "200 OK")


def test_another_while_the_first_is_carried_out(switch, client):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    eventually(lambda: peer.reports, "the first report")
    declined(peer, client, leg, code=491)
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    reported(peer, "100 Trying", "200 OK")


@pytest.mark.parametrize("code", [404, 410, 416, 482, 485, 502, 604])
def test_no_refusal_ends_the_call(switch, client, code):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    client.ok("decline_transfer", id=leg, code=code, reason="No")
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (603, "No", None)
    peer.wait("603")
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)  # the dialog is there


@pytest.mark.parametrize(
    "given",
    [
        {"code": 200},
        {"code": 700},
        {"code": -1},
        {"reason": "a\r\nX-Evil: 1"},
        {"reason": "${api(status)}"},
        {"reason": "x" * 129},
    ],
)
def test_what_cannot_be_sent_is_refused_and_decides_nothing(switch, client, given):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    assert client.error("decline_transfer", id=leg, **given)[0] == 400
    if "reason" in given:
        assert client.error("complete_transfer", id=leg, **given)[0] == 400
        assert client.error("progress_transfer", id=leg, status_code=180, **given)[0] == 400
    client.ok("decline_transfer", id=leg)
    peer.wait("603")


LONGEST = 509
"""Bytes of a target that the switch shows whole."""


@pytest.mark.parametrize(
    "target",
    [
        f"sip:{'x' * 200}@example.com",
        f"sip:bob@example.com;x={'y' * 128}",
        f"sip:bob@example.com;x={'y' * (LONGEST - 22)}",
    ],
)
def test_a_long_target(switch, client, target):
    peer, leg = answered(switch, client)
    assert asked(peer, client, leg, target)["target"] == target
    client.ok("decline_transfer", id=leg)


@pytest.mark.parametrize(
    "target",
    [
        f"sip:bob@example.com;x={'y' * (LONGEST - 21)}",
        f"sip:{'x' * 600}@example.com",
        f"sip:bob@{'x' * 600}.example.com",
        f"sip:bob@example.com;x={'y' * 1200}",
        f"sip:bob@example.com?X={'y' * 600}&Replaces=a%40b%3Bto-tag%3Dc%3Bfrom-tag%3Dd",
    ],
    ids=["one byte", "user", "host", "parameter", "header"],
)
def test_one_of_which_the_switch_shows_a_part_is_refused(switch, client, target):
    """What it shows may look like another address, or lack the call that is to be replaced."""
    peer, leg = answered(switch, client)
    if not refused(peer, client, target):
        assert switch.name == "freeswitch"
        client.ok("decline_transfer", id=leg)
        return
    asked(peer, client, leg)  # and the next one is as any
    client.ok("decline_transfer", id=leg)


def test_one_of_which_a_part_is_shown_takes_the_place_of_one_that_waits(switch, start, connect):
    client = connect(start(transfers=LATER))
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    peer.refer(f"sip:{'x' * 600}@example.com")
    failed = client.event("leg.transfer_failed", leg_id=leg)
    assert outcome(failed) == (None, None, "another REFER has taken its place")
    peer.wait("513")
    assert client.error("accept_transfer", id=leg)[0] == 404


def test_reasons_reach_the_peer_as_they_are(switch, client):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    client.ok("progress_transfer", id=leg, status_code=182, reason='it\'s "queued", 2nd \\ of = ü')
    client.ok("complete_transfer", id=leg, status_code=480, reason='it\'s "gone", = ü')
    reported(peer, "100 Trying", "182 it s  queued   2nd   of = ü", '480 it\'s "gone", = ü')


# -- who decides -----------------------------------------------------------------------------------------


def test_two_decide_at_once(switch, start, connect):
    service = start(transfers=LATER)
    clients = [connect(service) for _ in range(4)]
    peer, leg = answered(switch, clients[0])
    for _ in range(10):
        asked(peer, clients[0], leg)
        names = ["accept_transfer", "decline_transfer"] * 2
        asks = [one.send(name, id=leg) for one, name in zip(clients, names, strict=True)]
        replies = [one.reply(ask) for one, ask in zip(clients, asks, strict=True)]
        assert sum(reply["type"] != "error" for reply in replies) == 1
        if any(reply["type"] == "accept_transfer.result" for reply in replies):
            clients[0].ok("complete_transfer", id=leg, success=True)
            clients[0].event("leg.transfer_completed", leg_id=leg)
        else:
            clients[0].event("leg.transfer_failed", leg_id=leg)
    requested = clients[0].seen("leg.transfer_requested")
    ends = clients[0].seen("leg.transfer_completed") + clients[0].seen("leg.transfer_failed")
    assert len(requested) == len(ends) == 10
    assert clients[0].ok("get_leg", id=leg)["state"] == "connected"


def test_a_decision_at_the_last_moment(switch, start, connect):
    """The time of it ends while it is being decided: one of both counts."""
    client = connect(start(transfers={"consult_timeout_ms": 60}))
    peer, leg = answered(switch, client)
    for milliseconds in range(45, 75, 3):
        asked(peer, client, leg)
        gevent.sleep(milliseconds / 1000)
        reply = client.reply(client.send("accept_transfer", id=leg))
        if reply["type"] == "error":
            client.event("leg.transfer_failed", leg_id=leg)
        else:
            client.ok("complete_transfer", id=leg, success=True)
            client.event("leg.transfer_completed", leg_id=leg)
    ends = client.seen("leg.transfer_completed") + client.seen("leg.transfer_failed")
    assert len(ends) == 10 and client.ok("get_leg", id=leg)["state"] == "connected"


def test_a_confined_client_decides_on_its_own_legs_only(switch, start, connect):
    open_, confined = new_token(), new_token()
    tokens = (line_of("all", "control", open_), line_of("shop", "control", confined, "^shop$"))
    service = start(access={"tokens": tokens}, transfers=LATER)
    client = connect(service, f"?token={open_}")
    peer, leg = answered(switch, client, headers={"X-App-ID": "bank"})
    asked(peer, client, leg)
    shop = http(service, confined)
    for what in ("accept", "decline"):
        assert shop("POST", f"/v1/legs/{leg}/transfer/{what}").status == 404
    assert http(service, open_)("POST", f"/v1/legs/{leg}/transfer/decline").status == 202
    peer.wait("603")


def test_over_rest(switch, service, client):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    rest = http(service)
    path = f"/v1/legs/{leg}/transfer"
    assert rest("POST", f"{path}/accept").status == 202
    assert rest("POST", f"{path}/progress").status == 400
    assert rest("POST", f"{path}/progress", {"status_code": 180}).status == 202
    answer = rest("POST", f"{path}/complete", {"success": True})
    assert (answer.status, answer.body["status"]) == (202, "completing")
    reported(peer, "100 Trying", "180 Ringing", "200 OK")
    asked(peer, client, leg)
    assert rest("POST", f"{path}/decline", {"code": 480}).status == 202
    peer.wait("480")


def test_a_leg_in_a_room_on_hold_and_moved(switch, client):
    """The REFER waits and is answered wherever the leg is; reports have numbers that rise."""
    peer, leg = in_room(switch, client)
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    eventually(lambda: peer.reports, "the first report")  # which the hold could overtake
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)
    client.ok("progress_transfer", id=leg, status_code=180)
    client.ok("unhold_leg", id=leg)
    client.event("leg.unhold", leg_id=leg)
    client.ok("add_leg_to_room", room_id="other", leg_id=leg)
    client.ok("progress_transfer", id=leg, status_code=183)
    client.ok("complete_transfer", id=leg, success=True)
    reported(peer, "100 Trying", "180 Ringing", "183 Session Progress", "200 OK")
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    client.ok("complete_transfer", id=leg)
    client.event("leg.transfer_failed", leg_id=leg)
    eventually(lambda: len(peer.reports) == 6, "the reports on the second")
    assert peer.wrongs == []


# -- somebody ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [True, False])
def test_the_call_ends_while_it_waits(switch, start, connect, ours):
    service = start(transfers=LATER)
    client = connect(service)
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    if ours:
        client.ok("delete_leg", id=leg)
    else:
        peer.hang_up()
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (None, None, "the call has ended")
    client.event("leg.disconnected", leg_id=leg)
    assert client.error("accept_transfer", id=leg)[0] == 404
    requests = service.ctx.get(Requests)
    assert not requests.of_leg and not requests.numbers and not service.ctx.state.items("refer")


def test_the_call_ends_when_it_was_accepted(switch, client):
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    peer.wait("202")
    peer.hang_up()
    client.event("leg.disconnected", leg_id=leg)
    assert not client.seen("leg.transfer_failed")
    assert client.error("complete_transfer", id=leg, success=True)[0] == 404


@pytest.mark.parametrize(
    ("called", "further"), [(False, True), (False, False), (True, False)], ids=["in", "in, no other", "out"]
)
def test_a_bye_that_crosses_a_report(switch, client, called, further):
    """The switch answers it with 481, and tells nobody; the peer answers our next report so, too. Without
    one it is asked, long before its media is missed."""
    if called:
        leg = dial(switch, client)
        client.event("leg.connected", leg_id=leg)
        peer = switch.callee()
    else:
        peer, leg = answered(switch, client)
    asked(peer, client, leg)
    peer.hangs_up_at_report()
    client.ok("accept_transfer", id=leg)
    peer.wait("481 BYE")
    if further:
        client.ok("complete_transfer", id=leg, success=True)
        client.event("leg.transfer_completed", leg_id=leg)
    peer.wait("INFO")
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"


def test_a_bye_that_crosses_the_report_on_a_call_on_hold(switch, client):
    """Its media would not be missed for hours."""
    peer, leg = answered(switch, client)
    peer.hold()
    client.event("leg.hold", leg_id=leg)
    asked(peer, client, leg)
    peer.hangs_up_at_report()
    client.ok("accept_transfer", id=leg)
    peer.wait("481 BYE")
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"


def test_a_peer_that_is_asked_for_its_call_has_it(switch, client):
    """It is asked once, when no other report follows, and takes those that come later."""
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    peer.wait("INFO")
    client.ok("progress_transfer", id=leg, status_code=180)
    client.ok("progress_transfer", id=leg, status_code=183)
    client.ok("complete_transfer", id=leg, success=True)
    reported(peer, "100 Trying", "180 Ringing", "183 Session Progress", "200 OK")
    assert peer.seen.count("INFO") == 1
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_a_bye_that_crosses_a_report_before_a_restart(switch, start, connect):
    service = start(transfers=LATER)
    client = connect(service)
    peer, leg = answered(switch, client)
    last = asked(peer, client, leg)["event_id"]
    peer.hangs_up_at_report()
    client.ok("accept_transfer", id=leg)
    peer.wait("481 BYE")
    eventually(lambda: service.ctx.state.items("refer")[0]["last_cseq"], "the report is remembered")
    crash(service)
    client = connect(start(), f"?since={last}")
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "remote_bye"


def test_a_peer_that_has_forgotten_its_refer_only(switch, client):
    """It answers reports with 481, and has the call."""
    peer, leg = answered(switch, client)
    peer.answers_reports(481)
    asked(peer, client, leg)
    client.ok("accept_transfer", id=leg)
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    peer.wait("INFO")
    client.ok("hold_leg", id=leg)
    client.event("leg.hold", leg_id=leg)


def test_the_service_is_restarted_while_it_waits(switch, start, connect):
    service = start(transfers={"consult_timeout_ms": 3000})
    client = connect(service)
    peer, leg = answered(switch, client)
    last = asked(peer, client, leg)["event_id"]
    crash(service)
    service = start()
    client = connect(service, f"?since={last}")  # its time may be over by then
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (603, "Decline", None)
    peer.wait("603")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert not service.ctx.state.items("refer")


def test_it_can_be_decided_after_a_restart(switch, start, connect):
    service = start(transfers=LATER)
    client = connect(service)
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    crash(service)
    service = start()
    client = connect(service)
    client.ok("accept_transfer", id=leg)
    peer.wait("202")
    crash(service)
    client = connect(start())
    client.ok("complete_transfer", id=leg, success=True)
    client.event("leg.transfer_completed", leg_id=leg)
    eventually(lambda: any("200 OK terminated" in one for one in peer.reports), f"the end: {peer.reports}")
    assert peer.wrongs == []


def test_the_connection_to_the_switch_is_lost_while_it_waits(switch, start, connect):
    service = start(transfers=SOON)
    client = connect(service)
    peer, leg = answered(switch, client)
    asked(peer, client, leg)
    switch.drop_connections()
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (603, "Decline", None)
    peer.wait("603")
    assert client.ok("get_leg", id=leg)["state"] == "connected"


# -- it is dialled -----------------------------------------------------------------------------------------


def dialled(peer, client, leg, target):
    """The REFER was accepted without asking; the leg that is dialled for it."""
    peer.refer(target)
    assert client.event("leg.transfer_requested", leg_id=leg)["declined"] is False
    peer.wait("202")
    ringing = client.event("leg.ringing", leg_type="sip_outbound")
    assert ringing["uri"] == target
    return ringing["leg_id"]


def test_what_it_names_is_dialled(switch, start, connect):
    client = connect(start(transfers=DIALS))
    peer, leg = answered(switch, client, headers={"X-App-ID": "shop"})
    new = dialled(peer, client, leg, switch.uri("early-answer"))
    client.event("leg.connected", leg_id=new, app_id="shop")
    assert outcome(client.event("leg.transfer_completed", leg_id=leg)) == (200, "OK", None)
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "transfer_completed"
    reported(peer, "100 Trying", "180 Ringing", "200 OK")
    peer.wait("BYE")
    callee = switch.callee()
    callee.hang_up()
    assert client.event("leg.disconnected", leg_id=new)["cdr"]["reason"] == "remote_bye"


def test_whom_it_names_does_not_answer(switch, start, connect):
    service = start(transfers=DIALS)
    client = connect(service)
    peer, leg = answered(switch, client)
    new = dialled(peer, client, leg, switch.uri("ring-reject-480"))
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (500, "Server Error", None)
    assert reasons(client, new) == ["transfer_originate_failed"] or client.event(
        "leg.disconnected", leg_id=new
    )
    client.rewind()
    assert client.event("leg.disconnected", leg_id=new)["cdr"]["reason"] == "transfer_originate_failed"
    reported(peer, "100 Trying", "500 Server Error")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    assert not service.ctx.state.items("refer")


@pytest.mark.parametrize(
    "target", ["tel:+15550100", "sip:bob@127.0.0.1;fs_path=sip:127.0.0.1:9", "http://example.com"]
)
def test_what_cannot_be_dialled(switch, start, connect, target):
    client = connect(start(transfers=DIALS))
    peer, leg = answered(switch, client)
    peer.refer(target)
    client.event("leg.transfer_requested", leg_id=leg, declined=False)
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (400, "Bad Refer-To URI", None)
    reported(peer, "400 Bad Refer-To URI")
    assert [one["id"] for one in client.ok("list_legs")] == [leg]


def test_a_client_ends_the_call_that_is_dialled(switch, start, connect):
    client = connect(start(transfers=DIALS))
    peer, leg = answered(switch, client)
    new = dialled(peer, client, leg, switch.uri("ring"))
    client.ok("delete_leg", id=new)
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (500, "Server Error", None)
    client.rewind()
    assert client.event("leg.disconnected", leg_id=new)["cdr"]["reason"] == "api_hangup"


def test_the_referrer_has_gone_when_it_is_answered(switch, start, connect):
    service = start(transfers=DIALS)
    client = connect(service)
    peer, leg = answered(switch, client)
    new = dialled(peer, client, leg, switch.uri("ring"))
    # not by the peer: the switch refuses a BYE that crosses the first report (docs/differences.md)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: switch.callee().seen, "the call")
    switch.callee().answer()
    client.event("leg.connected", leg_id=new)
    assert not client.seen("leg.transfer_completed") and not client.seen("leg.transfer_failed")
    eventually(lambda: not service.ctx.get(Requests).of_leg, "nothing is left of it")


def test_the_service_is_restarted_while_it_is_dialled(switch, start, connect):
    service = start(transfers=DIALS)
    client = connect(service)
    peer, leg = answered(switch, client)
    new = dialled(peer, client, leg, switch.uri("ring"))
    eventually(lambda: switch.callee().seen, "the call")
    eventually(lambda: "100 Trying" in str(peer.reports), "the first report")
    crash(service)
    client = connect(start(transfers=DIALS))
    switch.callee().answer()
    client.event("leg.connected", leg_id=new)
    client.event("leg.transfer_completed", leg_id=leg)
    assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "transfer_completed"
    eventually(lambda: "200 OK terminated" in str(peer.reports), "the last report")


# -- it replaces a call --------------------------------------------------------------------------------------


def consulting(switch, client):
    """A caller who talks to one in a room, and in another room to a second one."""
    bob, leg_of_bob = in_room(switch, client, "first")
    alice, first = in_room(switch, client, "first")
    carol, leg_of_carol = in_room(switch, client, "second")
    other, second = in_room(switch, client, "second")
    return (alice, first), (other, second), (bob, leg_of_bob), (carol, leg_of_carol)


def test_an_application_is_told_which_leg_it_replaces(switch, client):
    (alice, first), (other, second), *_ = consulting(switch, client)
    call_id, hers, ours = other.dialog
    event = asked(alice, client, first, replacing(TARGET, (call_id, ours, hers)))
    assert (event["kind"], event["replaces_leg_id"], event["replaces_call_id"]) == (
        "attended",
        second,
        call_id,
    )
    client.ok("decline_transfer", id=first)
    event = asked(alice, client, first, replacing(TARGET, (call_id, "0", "0")))
    assert "replaces_leg_id" not in event
    client.ok("decline_transfer", id=first)


def test_two_calls_with_us_are_brought_together(switch, start, connect):
    client = connect(start(transfers=DIALS))
    (alice, first), (other, second), (bob, one), (carol, two) = consulting(switch, client)
    call_id, hers, ours = other.dialog
    alice.refer(replacing(TARGET, (call_id, ours, hers)))
    client.event("leg.transfer_requested", leg_id=first, declined=False, replaces_leg_id=second)
    client.event("leg.joined_room", leg_id=two, room_id="first")
    assert outcome(client.event("leg.transfer_completed", leg_id=first)) == (200, "OK", None)
    client.rewind()
    for leg in (first, second):
        assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "transfer_completed"
        client.rewind()
    reported(alice, "200 OK")
    room = client.ok("get_room", id="first")
    assert {leg["id"] for leg in room["participants"]} == {one, two}
    bob.says(440)
    carol.hears(440)
    bob.says(0)


def test_calls_of_two_applications_are_not_brought_together(switch, start, connect):
    client = connect(start(transfers=DIALS))
    legs = []
    for app in ("acme", "other"):
        for _ in range(2):
            peer, leg = answered(switch, client, headers={"X-App-ID": app})
            client.ok("add_leg_to_room", room_id=app, leg_id=leg)
            legs.append((peer, leg))
    (alice, first), _, (other, second), (_, carol) = legs
    call_id, hers, ours = other.dialog
    alice.refer(replacing(switch.uri("instant"), (call_id, ours, hers)))
    asked_ = client.event("leg.transfer_requested", leg_id=first)
    assert (asked_["kind"], "replaces_leg_id" in asked_) == ("attended", False)
    # who is dialled may not know the call that it is to replace
    ends = ("leg.transfer_completed", "leg.transfer_failed")
    eventually(lambda: any(client.seen(kind, leg_id=first) for kind in ends), "its end")
    assert {leg["id"] for leg in client.ok("get_room", id="other")["participants"]} == {second, carol}


def test_two_calls_that_cannot_be_brought_together_go_on(switch, start, connect):
    client = connect(start(transfers=DIALS))
    alice, first = answered(switch, client)
    other, second = answered(switch, client)
    call_id, hers, ours = other.dialog
    alice.refer(replacing(TARGET, (call_id, ours, hers)))
    assert outcome(client.event("leg.transfer_failed", leg_id=first)) == (500, "Server Error", None)
    reported(alice, "500 Server Error")
    assert {leg["id"] for leg in client.ok("list_legs")} == {first, second}


def test_a_call_of_others_is_replaced_by_the_one_that_is_dialled(switch, start, connect):
    client = connect(start(transfers=DIALS))
    peer, leg = answered(switch, client)
    call_id, own, other = switch.elsewhere()
    peer.refer(replacing(switch.uri("instant"), (call_id, own, other)))
    client.event("leg.transfer_completed", leg_id=leg)
    callee = switch.callee()
    assert callee.header("Replaces") == f"{call_id};to-tag={own};from-tag={other}"
    assert callee.header("Require") == "replaces"
    assert client.seen("leg.transfer_requested")[0]["kind"] == "attended"


def test_a_call_without_tags_is_not_replaced(switch, start, connect):
    client = connect(start(transfers=DIALS))
    peer, leg = answered(switch, client)
    peer.refer(f"{switch.uri('instant')}?Replaces=abc%40elsewhere")
    assert outcome(client.event("leg.transfer_failed", leg_id=leg)) == (400, "Bad Refer-To URI", None)
    assert len(client.ok("list_legs")) == 1
