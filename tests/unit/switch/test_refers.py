"""The text of REFERs."""

from __future__ import annotations

import pytest

from vsi_esl.errors import BadArgument, NotSupported
from vsi_esl.switch.lines import refers

LONG = "c" * 200


def test_a_dialog_is_named_in_one_piece():
    dialog = refers.replaces("a@h;x".replace(";x", ""), "to/1", "from+2")
    assert dialog == "a@h;to-tag=to/1;from-tag=from+2"
    named = refers.refer_to("sip:bob@example.com", dialog)
    assert named == "sip:bob@example.com?Replaces=a%40h%3Bto-tag%3Dto%2F1%3Bfrom-tag%3Dfrom%2B2"
    assert refers.refer("u-1", named) == f"uuid_deflect u-1 {named}"


@pytest.mark.parametrize("part", ["", "a b", "a;b", "a\r\nb", "ä", "a" * 257, "a\x00"])
def test_what_a_peer_may_call_its_dialog_and_cannot_be_named(part):
    assert refers.replaces(part, "t", "f") == ""
    assert refers.replaces("c", part, "f") == ""
    assert refers.replaces("c", "t", part) == ""


@pytest.mark.parametrize("call_id", ["${hostname}", "'a'", "a\\r\\nX:1", "a,b", "<a>", "%41", "a&b=c"])
def test_what_a_peer_called_its_dialog_means_nothing_to_the_switch(call_id):
    line = refers.refer("u", refers.refer_to("sip:h", refers.replaces(call_id, "t", "f")))
    assert line.count(" ") == 2
    assert not set("${}'\\,<>&") & set(line)


def test_a_semicolon_of_a_user_is_no_parameter():
    assert refers.refer_to("sip:a;b=c@example.com") == "sip:a%3Bb=c@example.com"
    for uri in ("sip:a@example.com;transport=tcp", "sip:example.com;lr", "sips:a@example.com"):
        with pytest.raises(NotSupported):
            refers.refer_to(uri)


def test_what_the_switch_would_cut_off_is_refused():
    dialog = refers.replaces(LONG, LONG, LONG)
    assert len(refers.refer_to("sip:bob@example.com", dialog)) < 1000
    with pytest.raises(BadArgument, match="longer than 1000 bytes"):
        refers.refer_to(f"sip:{LONG}@{LONG}.example.com", refers.replaces(LONG, LONG, LONG))


@pytest.mark.parametrize("what", ["sip:a b", "sip:a,b", "sip:a;b", "tel:1", "sip:a\nb", "sip:", "sip:ä"])
def test_only_what_was_made_for_it_is_referred_to(what):
    with pytest.raises(BadArgument):
        refers.refer("u", what)


@pytest.mark.parametrize("channel", ["", "a b", "a\nb", "${a}"])
def test_the_channel_is_one(channel):
    for make in (refers.prepare, refers.keep_alive, lambda one: refers.refer(one, "sip:h")):
        with pytest.raises(BadArgument):
            make(channel)
