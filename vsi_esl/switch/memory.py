"""What a leg must remember over a restart of the service: channel variables with the prefix `vsi_`.

Text is percent-encoded, so that a client's string means nothing to any parser of the switch. Variables
ride in every later event of the channel and in `uuid_dump`, from which a leg is built anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..model.amd import AmdParameters
from ..model.leg import Leg
from ..model.legtypes import LEG_TYPES, SIP_INBOUND, SIP_OUTBOUND
from .lines.builder import decode_text, encode_text

LEG = "vsi_leg"
"""Marks a channel as ours: `inbound` (set by the dialplan) or `outbound`."""

TYPE = "vsi_type"
"""The type of a leg that is no plain SIP leg, which its direction tells."""

INTERNAL = "vsi_internal"
"""Marks a channel that serves the service itself and is no leg."""

ROOM = "vsi_room"
"""The id of the room the leg is in or on its way to."""

JOINING = "vsi_joining"
"""With which flags the switch puts a leg into its room that it dials for it."""

URI = "vsi_uri"
"""What was dialled."""

_TEXT = {
    "inband_dtmf": "vsi_inband_dtmf",
    "app_id": "vsi_app_id",
    "role": "vsi_role",
    "uri": URI,
    "target_room": ROOM,
    "local_tag": "vsi_local_tag",
    "remote_tag": "vsi_remote_tag",
}
_FLAGS = {
    "muted": "vsi_muted",
    "deaf": "vsi_deaf",
    "accept_dtmf": "vsi_accept_dtmf",
    "speech_detection": "vsi_speech_detection",
    "early_media_asked": "vsi_early_media",
    "held_by_us": "vsi_held",
    "rtt": "vsi_rtt",
    "rtt_negotiated": "vsi_rtt_negotiated",
    "accept_rtt": "vsi_accept_rtt",
    "refer_held": "vsi_refer_held",
}
_NUMBERS = {
    "created_at": "vsi_created_at",
    "ring_deadline": "vsi_ring_deadline",
    "max_duration": "vsi_max_duration",
    "dtmf_seq": "vsi_dtmf_seq",
    "rtt_seq": "vsi_rtt_seq",
    "held_since": "vsi_held_since",
}
_THRESHOLDS = {"amd": "vsi_amd"}
_KEYS = _TEXT | _FLAGS | _NUMBERS | _THRESHOLDS
_SHOWN = {name: f"variable_{key}" for name, key in _KEYS.items()}
"""The headers of an event or dump that show them."""
_PLAIN = (SIP_INBOUND, SIP_OUTBOUND)


def variables(leg: Leg, *names: str) -> dict[str, str]:
    """The variables that hold these attributes of the leg; without names, those that are set."""
    result: dict[str, str] = {}
    if not names:
        result |= type_variable(leg)
    for name in names or _KEYS:
        key = _KEYS[name]
        value = getattr(leg, name)
        if value is None or (not names and (value == "" or (value == 0 and name not in _FLAGS))):
            continue
        if name in _TEXT:
            result[key] = encode_text(value)
        elif name in _FLAGS:
            result[key] = "true" if value else "false"
        elif name in _THRESHOLDS:
            result[key] = value.text
        else:
            result[key] = repr(value)
    return result


_NEW = Leg(id="", type=SIP_OUTBOUND, created_at=0.0)


def first_variables(leg: Leg) -> dict[str, str]:
    """The variables that a new channel needs: without them an attribute is what it is of a new leg. Every one
    would ride in each event of the channel, and the switch reads its commands a byte at a time."""
    told = [name for name in _KEYS if getattr(leg, name) != getattr(_NEW, name)]
    return type_variable(leg) | variables(leg, *told)


def type_variable(leg: Leg) -> dict[str, str]:
    """The variable that holds the leg's type, if it takes one."""
    return {} if leg.type in _PLAIN else {TYPE: leg.type}


_ABSENT = variables(_NEW)


def forgotten(leg: Leg, event: Mapping[str, Any]) -> dict[str, str]:
    """The variables that the channel needs and, by an event or dump of it, lacks or has otherwise. What is
    absent is recalled as it is of a new leg."""
    found = {key: value for key, value in variables(leg).items() if event.get(f"variable_{key}") != value}
    return {
        key: value for key, value in found.items() if f"variable_{key}" in event or _ABSENT.get(key) != value
    }


def type_of(event: Mapping[str, Any]) -> str:
    """The type that the channel remembers; empty when it remembers none."""
    known = event.get(f"variable_{TYPE}")
    return known if isinstance(known, str) and known in LEG_TYPES else ""


def recall(leg: Leg, event: Mapping[str, Any]) -> None:
    """Set the leg's attributes from the variables of an event or dump. What is absent stays as it is."""
    for name in _TEXT:
        value = event.get(_SHOWN[name])
        if isinstance(value, str):
            setattr(leg, name, decode_text(value))
    for name in _FLAGS:
        value = event.get(_SHOWN[name])
        if value in ("true", "false"):
            setattr(leg, name, value == "true")
    for name in _NUMBERS:
        value = event.get(_SHOWN[name])
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                continue
            setattr(leg, name, int(number) if name.endswith("_seq") else number)
    for name in _THRESHOLDS:
        value = event.get(_SHOWN[name])
        if isinstance(value, str):
            with suppress(ValueError):
                setattr(leg, name, AmdParameters.from_text(value))
