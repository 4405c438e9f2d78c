"""Real-time text."""

from __future__ import annotations

import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually


def agreed(client, peer, leg):
    """Until text has come through: both sides know then that they can."""
    peer.type("ready")
    client.event("rtt.received", leg_id=leg)


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


@pytest.mark.parametrize("text", ["a\bb", "\x07"])
def test_control_characters_cannot_be_sent(switch, client, text):
    peer, leg = answered(switch, client, rtt=True)
    agreed(client, peer, leg)
    assert client.error("send_leg_rtt", id=leg, text=text)[0] == 400


@pytest.mark.parametrize(
    "text",
    [
        "a\\b",
        "it's",
        '"x"',
        "${hangup_cause}",
        "%p %n %s",
        "a,b|c;d",
        "{a=b}c",
        "\\n\\s",
        "gr\u00fc\u00df 😀",
    ],
)
def test_text_arrives_as_it_was_sent(switch, client, text):
    peer, leg = answered(switch, client, rtt=True)
    agreed(client, peer, leg)
    client.ok("send_leg_rtt", id=leg, text=text)
    eventually(lambda: peer.text.endswith("\r\n"), "a line arrives")
    assert peer.text.lstrip("\u2028") == f"{text}\r\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("third\nline", "third\u2028line"),
        ("a\r\n\r\nb\rc\n", "a\u2028\u2028b\u2028c"),
        ("\n a", "\u2028 a"),
        ("a\u2028b\u2029", "a\u2028b"),
    ],
)
def test_lines_of_one_text_stay_together(switch, client, text, line):
    peer, leg = answered(switch, client, rtt=True)
    agreed(client, peer, leg)
    client.ok("send_leg_rtt", id=leg, text=f"|{text}")
    eventually(lambda: peer.text.endswith("\r\n"), "it arrives")
    assert peer.text.partition("|")[2] == f"{line}\r\n"
    assert peer.text_by_timestamp.partition("|")[2] == line


@pytest.mark.parametrize("text", ["\n", " \r\n", "\u2028"])
def test_a_line_end_alone_is_not_sent(switch, client, text):
    peer, leg = answered(switch, client, rtt=True)
    agreed(client, peer, leg)
    assert client.ok("send_leg_rtt", id=leg, text=text) == {"status": "sent"}
    client.ok("send_leg_rtt", id=leg, text="next")
    eventually(lambda: peer.text.endswith("\r\n"), "the next one arrives")
    assert peer.text.lstrip("\u2028") == "next\r\n"


def test_texts_in_a_row_have_timestamps_of_their_own(switch, client):
    peer, leg = answered(switch, client, rtt=True)
    agreed(client, peer, leg)
    for text in ("|one", "two", "three"):
        client.ok("send_leg_rtt", id=leg, text=text)
    eventually(lambda: "three\r\n" in peer.text, "all arrive")
    assert peer.text.partition("|")[2] == "one\r\ntwo\r\nthree\r\n"
    assert peer.text_by_timestamp.partition("|")[2] == "onetwothree"
