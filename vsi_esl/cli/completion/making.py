"""Makes payloads.json, from the registry and from what the documents say of it."""

from __future__ import annotations

import json
from typing import Any

import marshmallow

from ...documents import fields
from ...protocol import registry
from ...protocol.ids import LegId, RoomId, RoomToJoin
from .payloads import Member, Payload

PATHS = {LegId: "/v1/legs", RoomId: "/v1/rooms", RoomToJoin: "/v1/rooms"}


def text() -> str:
    """The file, one line a command, so that a change of one is seen as one."""
    lines = (
        f"{json.dumps(name)}: {json.dumps(_payload(entry))}"
        for name, entry in registry.load_commands().items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _payload(entry: registry.Command) -> Payload:
    kinds = {} if entry.schema is None else entry.schema.fields
    by_name = {field.data_key or name: field for name, field in kinds.items()}
    described: dict[str, dict[str, Any]] = fields.payload(entry.schema)["properties"]
    members = {name: _member(schema, by_name.get(name)) for name, schema in described.items()}
    return {"help": entry.summary, "members": members}


def _member(schema: dict[str, Any], field: marshmallow.fields.Field[object] | None) -> Member:
    values = ["true", "false"] if schema.get("type") == "boolean" else map(str, schema.get("enum", ()))
    path = next((path for kind, path in PATHS.items() if isinstance(field, kind)), "")
    return {"help": schema.get("description", ""), "values": list(values), "path": path}
