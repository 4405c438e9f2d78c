"""What the switch is given of an offer, and the browser of its answer."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.browsers import FULL, an_offer
from vsi_esl.webrtc import sdp

ANSWER = """\
v=0
o=FreeSWITCH 1795962452 1795962453 IN IP4 127.0.0.1
s=FreeSWITCH
c=IN IP4 127.0.0.1
t=0 0
m=audio 17402 UDP/TLS/RTP/SAVPF 111 110
a=rtpmap:111 opus/48000/2
a=sendrecv
a=fingerprint:sha-256 0C:52
a=setup:active
a=rtcp-mux
a=ice-ufrag:TDezuPS9BgDbTG5I
a=ice-pwd:26Xohm8GQ0LBfRxqqpLddXh8
a=candidate:8053554865 1 udp 2130706431 127.0.0.1 17402 typ host generation 0
a=end-of-candidates
""".replace("\n", "\r\n")


def lines(text: str) -> list[str]:
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


@pytest.mark.parametrize("candidates", ["", FULL, FULL + "a=end-of-candidates\n"])
def test_one_candidate_that_never_answers_stands_for_all(candidates):
    given = lines(sdp.read_offer(an_offer(candidates)).for_switch)
    assert [line for line in given if "candidate" in line] == [sdp.PLACEHOLDER]
    assert given[given.index(sdp.PLACEHOLDER) - 1].startswith("a=ice-pwd:")


@pytest.mark.parametrize(
    "name", ["a=candidate:", "a=Candidate:", "a= candidate:", "a=CANDIDATE ", "a=candidate;", "a=rtcp:", "c="]
)
def test_no_address_of_a_client_reaches_the_switch(name):
    """It reads names in any case, and behind blanks; it would send to a port of its own machine."""
    line = f"{name}1 1 udp 2130706431 127.0.0.1 8021 typ host generation 0"
    given = sdp.read_offer(an_offer().replace("a=mid:0\r\n", f"{line}\r\na=mid:0\r\n")).for_switch
    assert "8021" not in given and given.lower().count("candidate") == 1
    assert sdp.PLACEHOLDER in lines(given)


def test_line_feeds_will_do():
    text = an_offer(FULL)
    assert sdp.read_offer(text.replace("\r\n", "\n")) == sdp.read_offer(text)


def test_credentials_of_the_session_hold_for_its_audio():
    text = an_offer()
    above = "".join(re.findall(r"a=(?:ice-ufrag|ice-pwd|fingerprint|setup):.*\r\n", text))
    below = re.sub(r"a=(?:ice-ufrag|ice-pwd|fingerprint|setup):.*\r\n", "", text)
    moved = below.replace("a=group:BUNDLE 0\r\n", f"a=group:BUNDLE 0\r\n{above}")
    given = lines(sdp.read_offer(moved).for_switch)
    audio = given[next(n for n, line in enumerate(given) if line.startswith("m=audio")) :]
    assert set(above.split("\r\n")[:-1]) <= set(audio)
    assert sdp.PLACEHOLDER in audio


def test_the_answer_says_neither_where_nor_what_the_switch_is():
    offer = sdp.read_offer(an_offer())
    answer, candidates = sdp.answer_for_client(offer, ANSWER)
    assert "candidate" not in answer and "FreeSWITCH" not in answer
    assert "a=mid:0" in lines(answer) and "a=group:BUNDLE 0" in lines(answer)
    assert candidates == [
        sdp.Candidate(
            "candidate:8053554865 1 udp 2130706431 127.0.0.1 17402 typ host generation 0",
            "0",
            0,
            "TDezuPS9BgDbTG5I",
        )
    ]


def test_audio_behind_other_sections_keeps_its_place():
    video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\n"
    text = an_offer().replace("m=audio", f"{video}m=audio", 1).replace("BUNDLE 0", "BUNDLE v 0")
    offer = sdp.read_offer(text)
    assert "VP8" not in offer.for_switch and offer.audio == 1
    answer, (candidate,) = sdp.answer_for_client(offer, ANSWER)
    sections = [line for line in lines(answer) if line.startswith("m=")]
    assert sections == ["m=video 0 UDP/TLS/RTP/SAVPF 96", "m=audio 17402 UDP/TLS/RTP/SAVPF 111 110"]
    assert (candidate.mid, candidate.index) == ("0", 1)


def test_an_offer_without_names_of_sections():
    text = an_offer().replace("a=mid:0\r\n", "").replace("a=group:BUNDLE 0\r\n", "")
    offer = sdp.read_offer(text)
    answer, (candidate,) = sdp.answer_for_client(offer, ANSWER)
    assert "mid" not in answer and "BUNDLE" not in answer
    assert candidate.mid is None


@pytest.mark.parametrize("answer", ["", "v=0\r\n", ANSWER.replace("m=audio 17402", "m=audio 0")])
def test_an_answer_without_audio_is_none(answer):
    with pytest.raises(sdp.BadOffer):
        sdp.answer_for_client(sdp.read_offer(an_offer()), answer)


@pytest.mark.parametrize(
    "spoiled",
    [
        "v=0",
        an_offer().replace("v=0", "v=1"),
        an_offer().replace("a=mid:0", "a=mid:0\r"),
        an_offer().replace("a=mid:0", "a=mid:0\x0b"),
        an_offer() + "m=audio\r\n",
        an_offer() + "m=text 9 X\r\n",
        an_offer() + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 32,
        an_offer().replace("SAVPF 111", f"SAVPF {' '.join(['1'] * 70)} 111"),
        an_offer().replace("m=audio 9", "m=audio 99999999999"),
        an_offer() + "\r\nx\r\n",
        an_offer().replace("a=mid:0", "a=mid:\ud800"),
        an_offer().replace("o=- ", "p=- "),
        re.sub(r"a=ice-ufrag:\S+", f"a=ice-ufrag:{'u' * 33}", an_offer()),
        an_offer().replace("a=mid:0", f"a=mid:0\r\na=ice-ufrag:{'u' * 33}"),
        re.sub(r"a=ice-pwd:\S+", f"a=ice-pwd:{'p' * 257}", an_offer()),
        re.sub(r"a=ice-pwd:\S+", "a=ice-pwd:", an_offer()),
    ],
)
def test_offers_that_are_none(spoiled):
    with pytest.raises(sdp.BadOffer):
        sdp.read_offer(spoiled)


ODD = ["m=", "a=", "\0", "\r", "m=audio 0 X 1", "a=mid:", "s=\ud800", "a=\u00fc"]


@given(st.lists(st.sampled_from([*an_offer(FULL).split("\r\n"), *ODD])))
def test_any_offer_is_refused_or_made_harmless(pieces):
    try:
        offer = sdp.read_offer("\r\n".join(["v=0", *pieces]))
    except (sdp.BadOffer, sdp.NoCodec):
        return
    given = lines(offer.for_switch)
    assert [line for line in given if "candidate:" in line] == [sdp.PLACEHOLDER]
    assert sum(line.startswith("m=") for line in given) == 1
    assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", offer.for_switch)
    assert offer.for_switch.isascii()


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("", True),
        ("candidate:1 1 udp 2113937151 192.0.2.2 39378 typ host", True),
        ("a=candidate:1 1 UDP 2113937151 x.local 9 typ srflx raddr 0.0.0.0 rport 0", True),
        ("candidate:1 2 tcp 1 2001:db8::1 9 typ relay tcptype active", True),
        ("candidate:1 1 udp 2113937151 192.0.2.2 39378", False),
        ("candidate:1 1 udp 2113937151 192.0.2.2 39378 typ host\r\na=x", False),
        ("candidate:1 1 sctp 1 192.0.2.2 9 typ host", False),
        ("hello", False),
    ],
)
def test_candidates_of_browsers(line, good):
    assert sdp.is_candidate(line) is good
