"""Meta's side of WhatsApp calls in the sandbox: the SIP profile that reaches it, and its users.

A user is known by the last digit of the number, which says what becomes of a call: 1 answers, 2 rings until
it is told, 3 refuses with 486, 4 says nothing, 5 answers without a description, 6 with plain RTP, 9 by a
gateway with ICE lite, with which there never is media. Calls need the credentials of a business. The gateways
of callers do ICE lite: there is media when a check comes from an address that the offer names as a relay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gevent import socket

from .channels import Channel, Outcome
from .sofia import PROFILE_WHATSAPP

if TYPE_CHECKING:
    from .server import SandboxSwitch

BUSINESS, PASSWORD = "15550100", 'me;ta,"pass'
USERS = "+1555000"
ANSWERS, RINGS, REJECTS, SILENT, NO_SDP, PLAIN_SDP, LITE = "1234569"
HOST = "wa.meta.vc"
RELAY = re.compile(r"(?m)^a=candidate:\S+ 1 udp \d+ ([0-9.]+) ([0-9]+) typ relay")
CHECK = b"\0\1"
RING_DELAY_S = 0.02
ANSWER_DELAY_S = 0.05

OFFER = "\r\n".join(
    (
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
        "m=audio 3480 UDP/TLS/RTP/SAVPF 111 126",
        "c=IN IP4 127.0.0.1",
        "a=candidate:1972637320 1 udp 2113937151 127.0.0.1 3480 typ host generation 0",
        "a=ice-ufrag:6O0H8fXq",
        "a=ice-pwd:dGlL8lWyIK7RPVKqtx3SNPIX",
        "a=fingerprint:sha-256 " + ":".join(["0C"] * 32),
        "a=setup:actpass",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:126 telephone-event/8000",
        "",
    )
)


def calls(switch: SandboxSwitch, request: dict[str, Any]) -> Channel:
    """A WhatsApp user calls. `silent`: without media, ever; `offer`: in the place of the usual one."""
    channel = switch.far_ends.caller(
        {**request, "codecs": ["OPUS"]},
        PROFILE_WHATSAPP,
        str(request.get("host", HOST)),
        str(request.get("offer", OFFER)),
    )
    channel.far.no_media = bool(request.get("silent", False))
    channel.far.lite = True
    switch.far_ends.route(channel)
    return channel


def answered(switch: SandboxSwitch, channel: Channel) -> Outcome:
    """The service answers a user's call: whoever has it do so waits until there is media, or no call."""
    channel.far.seen.append("200")
    channel.variables["rtp_local_sdp_str"] = OFFER
    if not channel.far.no_media:
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.bind(("127.0.0.1", 0))
        port = near.getsockname()[1]
        channel.variables["rtp_local_sdp_str"] = OFFER.replace(" 3480 typ host", f" {port} typ host")
        channel.timers.later(0, _await_check, switch, channel, near)
    return channel.outcome


def _await_check(switch: SandboxSwitch, channel: Channel, near: socket.socket) -> None:
    with near:
        relays = RELAY.findall(channel.variables["switch_r_sdp"])
        while True:
            data, (host, port) = near.recvfrom(1500)
            if data.startswith(CHECK) and (host, str(port)) in relays:
                break
    channel.far.lite = False
    channel.far.seen.remove("200")
    switch.calls.answer(channel)
    channel.outcome.set("+OK\n")
    switch.flush()


def dialled(switch: SandboxSwitch, channel: Channel, user: str, reachable: bool) -> None:
    """Run the part of the user that a business calls."""
    far_ends, later = switch.far_ends, channel.timers.later
    if not reachable:
        later(RING_DELAY_S, far_ends.refuse, channel, 503, False)
        return
    channel.far.behaviour, channel.far.codecs = user, ("OPUS",)
    given = (channel.variables.get("sip_auth_username"), channel.variables.get("sip_auth_password"))
    channel.far.seen += ["INVITE without credentials", "INVITE"]
    if given != (BUSINESS, PASSWORD) or channel.variables.get("media_webrtc") != "true":
        channel.far.seen.pop()
        later(RING_DELAY_S, _failed, switch, channel, "NORMAL_UNSPECIFIED", 904)
        return
    kind = user.removeprefix(USERS)
    channel.far.no_media = kind == LITE
    if kind in (ANSWERS, LITE, RINGS):
        later(RING_DELAY_S, far_ends.ring, channel)
    if kind in (ANSWERS, LITE):
        later(ANSWER_DELAY_S, _answer, switch, channel)
    elif kind == REJECTS:
        later(RING_DELAY_S, far_ends.reject, channel, 486)
    elif kind == NO_SDP:
        later(RING_DELAY_S, _failed, switch, channel, "NORMAL_TEMPORARY_FAILURE", 500)
    elif kind == PLAIN_SDP:
        later(RING_DELAY_S, far_ends.bad_answer, channel)


def _answer(switch: SandboxSwitch, channel: Channel) -> None:
    switch.far_ends.answer(channel)
    if channel.alive and not channel.far.no_media:
        for _ in range(2):  # one for each direction
            switch.fire("CALL_SECURE", {"secure_type": "srtp:dtls", "caller-unique-id": channel.uuid})


def _failed(switch: SandboxSwitch, channel: Channel, cause: str, code: int) -> None:
    """The switch makes an end of the call by itself, under a code of its own."""
    status = {"sip_term_status": str(code), "proto_specific_hangup_cause": f"sip:{code}"}
    switch.calls.ended(channel, cause, "", **status)
