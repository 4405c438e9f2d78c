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
from .lines.builder import decode_text, encode_text

LEG = "vsi_leg"
"""Marks a channel as ours: `inbound` (set by the dialplan) or `outbound`."""

INTERNAL = "vsi_internal"
"""Marks a channel that serves the service itself and is no leg."""

ROOM = "vsi_room"
"""The id of the room the leg is in or on its way to."""

JOINING = "vsi_joining"
"""With which flags the switch puts a leg into its room that it dials for it."""

_TEXT = {"app_id": "vsi_app_id", "role": "vsi_role", "uri": "vsi_uri", "target_room": ROOM}
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


def variables(leg: Leg, *names: str) -> dict[str, str]:
    """The variables that hold these attributes of the leg; without names, those that are set."""
    result: dict[str, str] = {}
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


_NEW = Leg(id="", type="", created_at=0.0)


def first_variables(leg: Leg) -> dict[str, str]:
    """The variables that a new channel needs: without them an attribute is what it is of a new leg. Every one
    would ride in each event of the channel, and the switch reads its commands a byte at a time."""
    told = [name for name in _KEYS if getattr(leg, name) != getattr(_NEW, name)]
    return variables(leg, *told)


def recall(leg: Leg, event: Mapping[str, Any]) -> None:
    """Set the leg's attributes from the variables of an event or dump. What is absent stays as it is."""
    for name, key in _TEXT.items():
        value = event.get(f"variable_{key}")
        if isinstance(value, str):
            setattr(leg, name, decode_text(value))
    for name, key in _FLAGS.items():
        value = event.get(f"variable_{key}")
        if value in ("true", "false"):
            setattr(leg, name, value == "true")
    for name, key in _NUMBERS.items():
        value = event.get(f"variable_{key}")
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                continue
            setattr(leg, name, int(number) if name.endswith("_seq") else number)
    for name, key in _THRESHOLDS.items():
        value = event.get(f"variable_{key}")
        if isinstance(value, str):
            with suppress(ValueError):
                setattr(leg, name, AmdParameters.from_text(value))
