"""What commands answer, as JSON Schema, under the names that the registry uses."""

from __future__ import annotations

import re
from typing import Any

from ..model.bridge import DIRECTIONS
from ..model.leg import CONNECTED, EARLY_MEDIA, HELD, RINGING, SIP_INBOUND, SIP_OUTBOUND
from ..model.room import SAMPLE_RATES
from .glossary import described

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
YES: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
MATRIX: Schema = {"type": "object", "additionalProperties": {"type": "array", "items": TEXT}}


def _object(optional: tuple[str, ...] = (), **members: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {name: described(name, schema) for name, schema in members.items()},
        "required": [name for name in members if name not in optional],
    }


def _status(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


CHANNEL = _object(channel=NUMBER, start_ms=NUMBER, end_ms=NUMBER)

VIEWS: dict[str, Schema] = {
    "LegView": _object(
        ("room_id", "role", "app_id", "sip_headers", "headers"),
        id=TEXT,
        type={"type": "string", "enum": [SIP_INBOUND, SIP_OUTBOUND]},
        state={"type": "string", "enum": [RINGING, EARLY_MEDIA, CONNECTED, HELD]},
        room_id=TEXT,
        muted=YES,
        deaf=YES,
        accept_dtmf=YES,
        held=YES,
        role=TEXT,
        app_id=TEXT,
        sip_headers=TEXTS,
        headers={**TEXTS, "description": "The same as sip_headers."},
    ),
    "RoomView": _object(
        ("app_id",),
        id=TEXT,
        app_id=TEXT,
        sample_rate={"type": "integer", "enum": list(SAMPLE_RATES)},
        participants={"type": "array", "items": {"$ref": "#/components/schemas/LegView"}},
    ),
    "BridgeView": _object(
        id=TEXT,
        room_id={**TEXT, "description": "The other room."},
        direction={"type": "string", "enum": list(DIRECTIONS)},
        sample_rate=NUMBER,
    ),
    "RoutingView": _object(matrix={**MATRIX, "description": "Listening role: the roles it hears."}),
    "PlaybackStart": _object(playback_id=TEXT, status=_status("playing")),
    "RecordingStart": _object(status=_status("recording"), file=TEXT),
    "RecordingStop": _object(status=_status("stopped"), file=TEXT),
    "RoomRecordingStop": _object(
        ("multi_channel_file", "channels", "omitted_legs"),
        status=_status("stopped"),
        file=TEXT,
        multi_channel_file=TEXT,
        channels={"type": "object", "additionalProperties": CHANNEL},
        omitted_legs={"type": "array", "items": TEXT, "description": "Whose track could not be read."},
    ),
    "Placement": _object(
        ("from", "to"),
        **{"from": {**TEXT, "description": "The room that a moved leg was in."}},
        to=TEXT,
        status=_status("added", "moved", "adding"),
        room_id=TEXT,
        leg_id=TEXT,
    ),
}


def of_result(result: str, *, rest: bool = False) -> Schema:
    """The data of a reply: a view, an array of views, or a status of these words."""
    if result in VIEWS:
        return _whose({"$ref": f"#/components/schemas/{result}"}, rest)
    if result.startswith("array of "):
        return {
            "type": "array",
            "items": {"$ref": f"#/components/schemas/{result.removeprefix('array of ')}"},
        }
    words = re.split(r", | or ", result)
    return _whose(_object(status=_status(*words)), rest)


def _whose(schema: Schema, rest: bool) -> Schema:
    """REST says in every object which instance answered."""
    if not rest:
        return schema
    return {"allOf": [_object(instance_id=TEXT), schema]}
