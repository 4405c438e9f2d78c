"""Which offers of Meta's gateways are taken."""

from __future__ import annotations

import pytest

from tests.support.dtlsmedia import DtlsMedia
from tests.support.metapeer import PLAIN, description
from vsi_esl.calls import arriving
from vsi_esl.model.leg import Leg
from vsi_esl.translate.legs import caller_type
from vsi_esl.whatsapp import offers

LEG = Leg("a", "whatsapp_in", 0.0)


@pytest.fixture
def offer():
    media = DtlsMedia()
    yield description(media, "actpass")
    media.stop()


def look(sdp) -> int:
    return offers.look(LEG, {"variable_switch_r_sdp": sdp})


def test_that_of_a_gateway_is_taken(offer):
    assert look(offer) == look(offer.replace("UDP/TLS/", "")) == 0
    assert arriving.refusal(LEG, {"variable_switch_r_sdp": offer}) == 0


@pytest.mark.parametrize(
    "line", ["m=audio", "a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=candidate", "a=rtpmap:111"]
)
def test_without_one_of_its_lines_it_is_not(offer, line):
    kept = [one for one in offer.split("\r\n") if not one.startswith(line)]
    assert look("\r\n".join(kept)) == offers.BAD_OFFER


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        ("m=audio", "m=video"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        (" udp ", " tcp "),
        ("opus/48000", "speex/8000"),
        ("a=candidate", "a=xcandidate"),
    ],
)
def test_other_media_is_not_taken(offer, there, instead):
    assert look(offer.replace(there, instead)) == offers.BAD_OFFER


@pytest.mark.parametrize("sdp", [None, "", PLAIN, ["a"], "\r\n" * 10, "m=audio 0 UDP/TLS/RTP/SAVPF 111"])
def test_nor_is_anything_else(sdp):
    assert look(sdp) == offers.BAD_OFFER


def test_nor_one_without_end(offer):
    assert look(offer + "a=x\r\n" * 20_000) == offers.BAD_OFFER


def test_a_leg_of_another_type_is_not_looked_at():
    assert arriving.refusal(Leg("a", "sip_inbound", 0.0), {}) == 0


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("meta.vc", "whatsapp_in"),
        ("wa.meta.vc", "whatsapp_in"),
        ("us-east-1.wa.meta.vc", "whatsapp_in"),
        ("WA.Meta.VC", "whatsapp_in"),
        ("evilmeta.vc", "sip_inbound"),
        ("meta.vc.evil.example", "sip_inbound"),
        ("meta.vc\n", "sip_inbound"),
        ("meta.vcx", "sip_inbound"),
        (".meta.vc", "sip_inbound"),
        ("", "sip_inbound"),
        (None, "sip_inbound"),
    ],
)
def test_who_is_a_gateway(host, kind):
    assert caller_type({} if host is None else {"variable_sip_from_host": host}) == kind


@pytest.mark.parametrize("name", ["a=ice-ufrag:", "a=Ice-Ufrag :  ", "a= ice-ufrag: "])
def test_credentials_that_are_too_long_are_not_passed_on(offer, name):
    """The switch reads names in any case, and behind blanks; it takes all there are."""
    assert look(offer + name + "u" * 32 + "\r\n") == 0
    assert look(offer + name + "u" * 33 + "\r\n") == offers.BAD_OFFER
    assert look(offer + "a=ice-pwd:" + "p" * 257 + "\r\n") == offers.BAD_OFFER
