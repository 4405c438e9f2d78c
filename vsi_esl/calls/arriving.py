"""Inbound calls: what is looked at before one is announced, of types other than SIP by their features."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..model.leg import Leg

Look = Callable[[Leg, Mapping[str, Any]], int]
"""Looks at an inbound leg and the event of its arrival: 0 to take it, else the SIP code to refuse it with. It
must not wait."""

AUDIO = re.compile(r"(?mi)^m=audio [1-9][0-9]*(?:/[0-9]+)? (\S+)")
KEYS = re.compile(r"(?mi)^a=crypto:")
NOT_ACCEPTABLE = 488

_looks: dict[str, Look] = {}


def looks_at(leg_type: str) -> Callable[[Look], Look]:
    """Register the decorated function as the one that looks at inbound legs of a type."""

    def register(look: Look) -> Look:
        if leg_type in _looks:
            raise ValueError(f"two that look at {leg_type}")
        _looks[leg_type] = look
        return look

    return register


def refusal(leg: Leg, event: Mapping[str, Any]) -> int:
    """The SIP code that refuses an inbound leg, which there is not then; 0 to take it."""
    if leg.kind.plain:
        return _of_sip(event.get("variable_switch_r_sdp"))
    look = _looks.get(leg.type)
    return look(leg, event) if look is not None else 0


def _of_sip(offer: object) -> int:
    """Refuse an offer of audio over DTLS only, which no SIP call here has."""
    if not isinstance(offer, str):
        return 0
    transports = [found.upper() for found in AUDIO.findall(offer)]
    keys = KEYS.search(offer) is not None
    dtls = [one for one in transports if "TLS/" in one or ("SAVP" in one and not keys)]
    return NOT_ACCEPTABLE if dtls and len(dtls) == len(transports) else 0
