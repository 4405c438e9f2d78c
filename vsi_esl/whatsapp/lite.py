"""Callers whose gateway does ICE lite: it answers checks and makes none, and the switch begins DTLS only when
it has seen one. So one is made in the gateway's place.

It comes from an address that stands in the offer, added here, as a relay of the gateway's: the switch then
counts it and stays with the gateway (measured). From an address that it does not know it would go there.
"""

from __future__ import annotations

import re
from contextlib import suppress

import gevent
import structlog
from gevent import socket

from ..calls.context import Context
from ..errors import VsiError
from ..later import Within
from ..model.leg import Leg
from ..net import stun

log = structlog.get_logger(__name__)

LITE = re.compile(r"(?m)^a=ice-lite\s*$")
UFRAG = re.compile(r"(?m)^a=ice-ufrag:([A-Za-z0-9+/]{4,256})\s*$")
PASSWORD = re.compile(r"(?m)^a=ice-pwd:([A-Za-z0-9+/]{22,256})\s*$")
CANDIDATE = re.compile(r"(?mi)^a=candidate:\S+ 1 udp \d+ ([0-9.]+) ([0-9]{1,5}) typ host")
AUDIO = re.compile(r"(?ms)^m=audio .*?(?=^m=|\Z)")
ANY_CANDIDATE = re.compile(r"(?mi)^a=candidate:[^\r\n]*")
DISCARD_PORT = 9
POLL_S = 0.03
ANSWER_TIMEOUT_S = 3.0
"""From the command to the switch's own description."""
CHECKS, CHECK_EVERY_S = 3, 0.1
"""One is enough. After 2 s without media the switch would go where they come from."""


def answering(ctx: Context, leg: Leg) -> None:
    """An inbound leg is about to be answered: if its gateway is a lite one, see to a check. Does not fail."""
    if not (leg.kind.whatsapp and leg.inbound):
        return
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        offer = ctx.switch(leg).variable(leg, "switch_r_sdp")
        theirs = UFRAG.search(offer)
        if LITE.search(offer) and theirs is not None:
            host = _near(ctx.switch(leg).variable(leg, "sip_local_network_addr"))
            near.bind((host, 0))
            ctx.switch(leg).set_offer(leg, _with_relay(offer, host, near.getsockname()[1]))
            gevent.spawn(_check, ctx, leg, near, theirs[1])
            return
    except (VsiError, OSError) as error:
        log.warning("no check for an ICE-lite gateway", leg_id=leg.id, error=str(error))
    near.close()


def _near(switch: str) -> str:
    """The address by which this machine reaches the switch."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((switch, DISCARD_PORT))
        return str(probe.getsockname()[0])


def _with_relay(offer: str, host: str, port: int) -> str:
    """The offer, with a last candidate: the switch takes the first that it can reach, and no relay. As it was
    when it has none."""
    audio = AUDIO.search(offer)
    candidates = list(ANY_CANDIDATE.finditer(offer, *audio.span())) if audio is not None else []
    if not candidates:
        return offer
    at = candidates[-1].end()
    relay = f"a=candidate:vsi 1 udp 1 {host} {port} typ relay raddr {host} rport {port}"
    return f"{offer[:at]}\r\n{relay}" + (offer[at:] or "\r\n")


def _check(ctx: Context, leg: Leg, near: socket.socket, theirs: str) -> None:
    with near, suppress(VsiError, OSError), Within(ANSWER_TIMEOUT_S, False):
        while not (own := _own(ctx.switch(leg).variable(leg, "rtp_local_sdp_str"))):
            gevent.sleep(POLL_S)
        ufrag, password, host, port = own
        for _ in range(CHECKS):
            near.sendto(stun.check(ufrag, theirs, password), (host, port))
            gevent.sleep(CHECK_EVERY_S)
            if leg.secured or leg.ending:
                return


def _own(description: str) -> tuple[str, str, str, int] | None:
    """Of the switch's description: ufrag, password, and where its media is."""
    ufrag, password = UFRAG.search(description), PASSWORD.search(description)
    candidate = CANDIDATE.search(description)
    if ufrag is None or password is None or candidate is None:
        return None
    return ufrag[1], password[1], candidate[1], int(candidate[2])
