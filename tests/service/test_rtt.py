"""Real-time text."""

from __future__ import annotations

import pytest

from tests.support.calls import answered
from tests.support.drivers import eventually


def test_text_survives_a_restart_of_the_service(switch, connect, start):
    first = start()
    client = connect(first)
    peer, leg = answered(switch, client, rtt=True)
    peer.type("hello")
    client.event("rtt.received", leg_id=leg)
    client.ok("reject_leg_rtt", id=leg)
    first.stop()
    second = start()
    client = connect(second)
    assert not second.ctx.legs.get(leg).accept_rtt
    client.ok("accept_leg_rtt", id=leg)
    client.ok("send_leg_rtt", id=leg, text="back")
    eventually(lambda: "back" in peer.texts, "it arrives")
    peer.type("again")
    assert client.event("rtt.received", leg_id=leg)["seq"] == 2


def agreed(client, peer, leg):
    """Until text has come through: both sides know then that they can."""
    peer.type("ready")
    client.event("rtt.received", leg_id=leg)


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
