"""Real-time text."""

from __future__ import annotations

from tests.support.calls import answered
from tests.support.drivers import eventually


def test_a_caller_with_text(switch, client):
    peer, leg = answered(switch, client, rtt=True)
    for number, line in enumerate(["hello", "second\u00e9line"], 1):
        peer.type(line)
        event = client.event("rtt.received", leg_id=leg)
        assert (event["text"].strip(), event["seq"]) == (line, number)
        assert "loss_marker" not in event
    assert client.ok("send_leg_rtt", id=leg, text="one\ntwo") == {"status": "sent"}
    eventually(lambda: peer.texts == ["one", "two"], "both lines arrive")
    assert client.ok("reject_leg_rtt", id=leg) == {"status": "rtt_rejecting"}
    peer.type("unseen")
    assert client.ok("accept_leg_rtt", id=leg) == {"status": "rtt_accepting"}


def test_rejected_text_is_not_reported(switch, client):
    peer, leg = answered(switch, client, rtt=True)
    client.ok("reject_leg_rtt", id=leg)
    peer.type("unseen")
    peer.dtmf("1")
    client.event("dtmf.received", leg_id=leg)
    client.ok("accept_leg_rtt", id=leg)
    peer.type("seen")
    event = client.event("rtt.received", leg_id=leg)
    assert (event["text"].strip(), event["seq"]) in (("seen", 1), ("unseen", 1))


def test_text_is_passed_on_in_a_room(switch, client):
    first, one = answered(switch, client, rtt=True)
    second, two = answered(switch, client, rtt=True)
    third, three = answered(switch, client, rtt=True)
    _, four = answered(switch, client)
    for leg in (one, two, three, four):
        client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    first.type("hello")
    assert client.event("rtt.received")["leg_id"] == one
    for other in (second, third):
        eventually(lambda other=other: "hello" in other.texts, "another gets it")
        assert other.texts.count("hello") == 1
    assert first.texts == []
    assert len(client.seen("rtt.received")) == 1


def test_an_outbound_leg_with_text(switch, client):
    leg = client.ok("create_leg", type="sip", to=switch.uri("instant"), rtt=True)["id"]
    client.event("leg.connected", leg_id=leg)
    peer = switch.callee()
    peer.type("hello")
    assert client.event("rtt.received", leg_id=leg)["text"].strip() == "hello"
    client.ok("send_leg_rtt", id=leg, text="hi")
    eventually(lambda: peer.texts == ["hi"], "it arrives")


def test_refusals(switch, client):
    _, leg = answered(switch, client)
    missing = (404, "leg not found")
    for command in ("send_leg_rtt", "accept_leg_rtt", "reject_leg_rtt"):
        assert client.error(command, id="x") == missing
    assert client.error("send_leg_rtt", id=leg) == (400, "text required")
    assert client.error("send_leg_rtt", id=leg, text="x") == (409, "RTT not negotiated for this leg")
    assert client.ok("reject_leg_rtt", id=leg) == {"status": "rtt_rejecting"}
    assert client.ok("accept_leg_rtt", id=leg) == {"status": "rtt_accepting"}
