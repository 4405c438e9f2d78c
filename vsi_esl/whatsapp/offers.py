"""The offers of Meta's gateways: what an answer needs of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..calls.arriving import looks_at
from ..model.leg import Leg
from ..model.legtypes import WHATSAPP_IN

BAD_OFFER = 400
AUDIO = re.compile(r"(?m)^m=audio [1-9][0-9]* (?:UDP/TLS/)?RTP/SAVPF ")
NEEDED = (
    AUDIO,
    re.compile(r"(?m)^a=ice-ufrag:[^\s]+"),
    re.compile(r"(?m)^a=ice-pwd:[^\s]+"),
    re.compile(r"(?mi)^a=fingerprint:[a-z0-9-]+ [0-9a-f:]+"),
    re.compile(r"(?mi)^a=candidate:[^\s]+ 1 udp "),
    re.compile(r"(?mi)^a=rtpmap:[0-9]+ opus/48000"),
)
"""Without one of these lines the switch answers with what nobody can use, or not at all."""
LONG_CREDENTIALS = re.compile(r"(?mi)ice-ufrag\s*:\s*\S{33}|ice-pwd\s*:\s*\S{257}")
"""Longer than an agent may send them (RFC 8839, 5.4): a ufrag of 100 ends the process of the switch. It reads
names in any case, and behind blanks."""
LONGEST = 64 * 1024
"""Characters of an offer that are looked at."""


@looks_at(WHATSAPP_IN)
def look(leg: Leg, event: Mapping[str, Any]) -> int:
    """Refuse an offer that is not of WebRTC audio with opus."""
    offer = event.get("variable_switch_r_sdp")
    if not isinstance(offer, str) or len(offer) > LONGEST or LONG_CREDENTIALS.search(offer):
        return BAD_OFFER
    return 0 if all(line.search(offer) for line in NEEDED) else BAD_OFFER
