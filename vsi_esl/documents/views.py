"""What commands answer, as JSON Schema, made of the types that their handlers return."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..protocol import registry, replies
from . import fields
from .fields import Schema
from .glossary import described

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}


@cache
def views() -> dict[str, Schema]:
    """The objects that commands answer, by name."""
    found = {kind.__name__: fields.of_typed_dict(kind, _kinds()) for kind in _kinds()}
    return dict(sorted(found.items()))


@cache
def _kinds() -> frozenset[type[Any]]:
    rows = {replies.row(entry.reply) for entry in registry.load_commands().values()}
    return frozenset(rows - {replies.Status})


def of_reply(reply: Any, *, rest: bool = False) -> Schema:
    """The data of a reply: a view, an array of views, or a status of these words."""
    schema: Schema
    if words := replies.words(reply):
        status = described("status", {**TEXT, "enum": list(words)})
        schema = {"type": "object", "properties": {"status": status}, "required": ["status"]}
    else:
        schema = fields.of_type(reply, _kinds())[0]
    if not rest or replies.is_list(reply):
        return schema
    # REST says in every object which instance answered
    whose = {"type": "object", "properties": {"instance_id": described("instance_id", TEXT)}}
    return {"allOf": [{**whose, "required": ["instance_id"]}, schema]}
