"""Descriptions that are the end of the switch, or of whoever has it answer, if it is given them."""

from __future__ import annotations

import re

import pytest

from tests.support.browsers import an_offer
from tests.support.hearing import hears

PASSWORD = "p" * 24


def ice(ufrag: int, *, dtls: bool) -> tuple[str, ...]:
    """Attributes of a peer with ICE, with a ufrag of so many characters."""
    secure = ("a=fingerprint:sha-256 " + ":".join(["A5"] * 32), "a=setup:actpass") if dtls else ()
    candidate = "a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host"
    return (f"a=ice-ufrag:{'u' * ufrag}", f"a=ice-pwd:{PASSWORD}", *secure, "a=rtcp-mux", candidate)


def is_up(switch) -> bool:
    return "RUNNING" in switch.api("sofia status")


@pytest.mark.parametrize("dtls", [False, True], ids=["ICE", "ICE and DTLS"])
def test_a_caller_who_offers_ice_has_plain_audio(client, switch, agent, dtls):
    agent.describes = ice(255, dtls=dtls)
    call = agent.call()
    leg = client.event("leg.ringing")["leg_id"]
    client.ok("answer_leg", id=leg)
    client.event("leg.connected", leg_id=leg)
    call.wait("200")
    assert "a=ice" not in call.message("200").body and "m=audio 0" not in call.message("200").body
    client.ok("leg_play_start", id=leg, tone="us_dial", repeat=-1)
    hears(call, 350, True)
    call.hold("sendrecv")  # the same in a re-INVITE
    hears(call, 350, True)
    assert is_up(switch)


def test_a_callee_who_answers_with_ice_has_plain_audio(client, switch, agent):
    agent.describes = ice(255, dtls=True)
    host, port = agent.address
    leg = client.ok("create_leg", type="sip", to=f"sip:instant@{host}:{port}")["id"]
    client.event("leg.connected", leg_id=leg)
    client.ok("leg_play_start", id=leg, tone="us_dial", repeat=-1)
    hears(agent.incoming(), 350, True)
    assert is_up(switch)


def test_a_caller_who_wants_dtls_is_refused(client, agent):
    agent.describes = ice(8, dtls=True)
    for agent.audio_over in ("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"):
        agent.call().wait("488")
    assert client.ok("list_legs") == [] and not client.seen("leg.ringing")


def test_a_browser_s_credentials(client, switch):
    for length in (33, 255, 20_000):
        offer = re.sub(r"(a=ice-ufrag:)\S+", rf"\1{'u' * length}", an_offer())
        assert client.error("webrtc_offer", sdp=offer) == (400, "invalid SDP offer")
    offer = re.sub(r"(a=ice-ufrag:)\S+", rf"\1{'u' * 32}", an_offer())
    offer = re.sub(r"(a=ice-pwd:)\S+", rf"\1{'p' * 256}", offer)
    leg = client.ok("webrtc_offer", sdp=offer)["leg_id"]
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    assert is_up(switch)
