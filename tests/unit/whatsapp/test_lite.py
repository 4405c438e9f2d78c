"""The check in place of an ICE-lite gateway: what the offer gets, and what is read from the answer."""

from __future__ import annotations

import re

import pytest

from tests.support.dtlsmedia import DtlsMedia
from tests.support.metapeer import description
from vsi_esl.errors import BadArgument
from vsi_esl.switch.lines import builder
from vsi_esl.whatsapp import lite


@pytest.fixture
def offer():
    media = DtlsMedia(lite=True)
    yield description(media, "actpass")
    media.stop()


def test_the_relay_stands_behind_all_candidates(offer):
    two = offer.replace("a=ice-ufrag", "a=candidate:2 1 udp 1 2001:db8::1 3480 typ host\r\na=ice-ufrag")
    lines = lite._with_relay(two, "192.0.2.9", 4000).split("\r\n")
    assert [line.split()[-1] for line in lines if line.startswith("a=candidate")] == ["0", "host", "4000"]
    relay = "a=candidate:vsi 1 udp 1 192.0.2.9 4000 typ relay raddr 192.0.2.9 rport 4000"
    assert [line for line in lines if line != relay] == two.split("\r\n")


def relays(text):
    return [line for line in text.split("\r\n") if line.startswith("a=candidate:vsi ")]


@pytest.mark.parametrize("end", ["", "\r\n"])
def test_a_candidate_that_is_the_last_line(offer, end):
    short = offer[: offer.index("\r\n", offer.index("a=candidate"))] + end
    made = lite._with_relay(short, "192.0.2.9", 4000)
    assert made.startswith(short.removesuffix(end) + "\r\na=candidate:vsi ") and made.endswith("\r\n")


def test_names_of_attributes_have_no_case(offer):
    assert len(relays(lite._with_relay(offer.replace("a=cand", "A=Cand"), "192.0.2.9", 4000))) == 1


def test_the_relay_is_one_of_the_audio(offer):
    both = offer + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=candidate:9 1 udp 1 192.0.2.1 9 typ host\r\n"
    audio, _, video = lite._with_relay(both, "192.0.2.9", 4000).partition("m=video")
    assert len(relays(audio)) == 1 and not relays(video)


def test_without_a_candidate_nothing_is_added(offer):
    bare = offer.replace("a=candidate", "a=x")
    assert lite._with_relay(bare, "192.0.2.9", 4000) == bare


def test_what_is_read_of_an_answer(offer):
    ufrag, password, host, port = lite._own(re.sub(r"127\.0\.0\.[12]", "192.0.2.1", offer))
    assert f"a=ice-ufrag:{ufrag}\r\n" in offer and f"a=ice-pwd:{password}\r\n" in offer
    assert host == "192.0.2.1" and f" {port} typ host" in offer
    assert lite._own("") is lite._own(offer.replace("a=ice-pwd", "a=x")) is None


def test_a_description_is_one_line_for_the_switch():
    line = builder.set_lines("a", "switch_r_sdp", "v=0\r\ns=it's \\n here\r\n\r")
    assert line == "uuid_setvar a switch_r_sdp v=0\\ns=it\\'s \\\\n here\\n"


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "x\n" * 10_000])
def test_what_no_line_can_carry_is_refused(text):
    with pytest.raises(BadArgument):
        builder.set_lines("a", "switch_r_sdp", text)
