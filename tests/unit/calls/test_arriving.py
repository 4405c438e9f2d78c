"""Inbound SIP calls that are refused before anybody is told of them."""

from __future__ import annotations

import pytest

from vsi_esl.calls import arriving
from vsi_esl.model.leg import Leg

LEG = Leg("a", "sip_inbound", 0.0)
KEY = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"


def refusal(*lines):
    offer = "v=0\r\n" + "".join(lines)
    return arriving.refusal(LEG, {"variable_switch_r_sdp": offer})


def audio(over, port="4000"):
    return f"m=audio {port} {over} 0 8\r\n"


@pytest.mark.parametrize("over", ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "rtp/savp"])
def test_audio_over_dtls_only_is_refused(over):
    assert refusal(audio(over)) == refusal(audio("RTP/AVP", "0"), audio(over)) == arriving.NOT_ACCEPTABLE
    assert refusal(audio(over), audio("RTP/AVP")) == 0


@pytest.mark.parametrize("over", ["RTP/AVP", "RTP/AVPF"])
def test_plain_audio_is_taken(over):
    assert refusal(audio(over)) == refusal(audio(over), "a=fingerprint:sha-256 A5\r\n") == 0


def test_keys_of_the_description_are_the_switch_s_to_take():
    assert refusal(audio("RTP/SAVP"), KEY) == 0
    assert refusal(audio("UDP/TLS/RTP/SAVP"), KEY) == arriving.NOT_ACCEPTABLE


@pytest.mark.parametrize("offer", [None, "", ["v=0"], "m=image 4000 udptl t38\r\n"])
def test_what_has_no_audio_is_the_switch_s_to_judge(offer):
    assert arriving.refusal(LEG, {"variable_switch_r_sdp": offer}) == 0
