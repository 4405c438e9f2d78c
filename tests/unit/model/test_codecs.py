"""Codecs of an offer, and their rates."""

from __future__ import annotations

import pytest

from vsi_esl.model import codecs


def test_offer_of_known_codecs_in_order():
    sdp = (
        "v=0\r\nm=audio 4000 RTP/AVP 18 8 107 96 0 101\r\na=rtpmap:107 OPUS/48000/2\r\n"
        "a=rtpmap:96 G722/8000\r\na=rtpmap:18 G729/8000\r\nm=video 0 RTP/AVP 9\r\n"
    )
    found = [(codec.name, codec.payload_type, codec.priority) for codec in codecs.offered_codecs(sdp)]
    assert found == [("PCMA", 8, 1), ("opus", 107, 2), ("G722", 96, 3), ("PCMU", 0, 4)]


def test_legs_with_the_same_offer_have_it_in_memory_once():
    sdp = "v=0\r\no=- {} 1 IN IP4 1.2.3.4\r\nm=audio 4000 RTP/AVP 0 8\r\n"
    assert codecs.offered_codecs(sdp.format(1)) is codecs.offered_codecs(sdp.format(2))


@pytest.mark.parametrize(
    "sdp", ["", "m=audio", "m=audio x y z", "a=rtpmap:0 PCMU/8000", "m=audio 1 RTP/AVP 77"]
)
def test_offers_without_a_known_codec(sdp):
    assert codecs.offered_codecs(sdp) == ()


def test_numbers_in_an_offer_may_have_any_length():
    long = "9" * 5000
    sdp = f"m=audio 1 RTP/AVP {long} 0 200\r\na=rtpmap:{long} PCMA/8000\r\na=rtpmap:0 PCMU/{long}\r\n"
    assert [(one.name, one.clock_rate) for one in codecs.offered_codecs(sdp)] == [("PCMU", 8000)]


@pytest.mark.parametrize(
    ("codec", "rate", "expected"),
    [("PCMU", "8000", 8000), ("G722", "16000", 16000), ("opus", "8000", 48000), ("x", "", 8000)],
)
def test_rates(codec, rate, expected):
    assert codecs.sample_rate(codec, rate) == expected
