"""The VSI WebSocket as an AsyncAPI 3.0 document: commands, their replies, and the typed events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import __version__
from ..events.base import Event
from ..protocol import registry
from ..protocol.names import CONNECTION_COMMANDS, LATER_EVENTS, VERSION, known_commands, version_of
from ..protocol.registry import Command
from . import examples, fields, views
from .glossary import described

Schema = dict[str, Any]

ENVELOPE = {
    "timestamp": {"type": "string", "format": "date-time", "description": "UTC, to the nanosecond."},
    "event_id": {"type": "string", "format": "uuid", "description": "What `?since=` takes."},
    "instance_id": {"type": "string", "description": "Which service it comes from."},
}
REQUEST_ID = {"type": "string", "description": "Chosen by the client, and repeated in the reply."}
CHANNEL = "#/channels/vsi"


def build() -> Schema:
    """The document."""
    commands = registry.load_commands()
    messages: dict[str, Schema] = {}
    operations: dict[str, Schema] = {}
    for name in known_commands():
        if name in commands:
            messages[name] = _request(name, commands[name].summary, fields.payload(commands[name].schema))
            messages[f"{name}.result"] = _result(commands[name])
        elif name in CONNECTION_COMMANDS:
            messages[name] = _request(name, _CONNECTION[name], None)
        else:
            messages[name] = _request(name, "Not implemented yet: answered by error 501.", {"type": "object"})
            messages[name]["x-pending"] = True
        operations[f"recv_{name}"] = _receive(name, name in commands, name not in CONNECTION_COMMANDS)
    messages |= _connection_frames()
    for kind in event_types():
        messages[kind.type] = _event(kind)
        operations[f"send_{kind.type}"] = _send(kind.type)
    for added in LATER_EVENTS.values():
        messages |= {name: _event_to_come(name) for name in added if name not in messages}
    for name, message in messages.items():
        if (version := version_of(name.removesuffix(".result"))) != VERSION:
            message["x-version"] = version
    for name in _connection_frames():
        operations[f"send_{name}"] = _send(name)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "vsi_esl",
            "version": __version__,
            "description": "Commands, replies and events are JSON objects, one a text frame. The same events"
            " are posted to webhooks.",
            "license": {"name": "MIT"},
        },
        "channels": {
            "vsi": {
                "address": "/v1/vsi",
                "title": "VSI",
                "description": "Query: app_id (RE2 pattern), since (event id), token.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": operations,
        "components": {"messages": messages, "schemas": views.views()},
    }


_CONNECTION = {"pong": "The answer to a ping; may be left out.", "stop": "Close the connection."}


def event_types() -> list[type[Event]]:
    """All events of the service, by name."""
    registry.load_commands()  # with which all of them are declared

    def below(kind: type[Event]) -> Iterator[type[Event]]:
        for one in kind.__subclasses__():
            if isinstance(vars(one).get("type"), str):
                yield one
            yield from below(one)

    found: dict[str, type[Event]] = {kind.type: kind for kind in below(Event)}
    return [found[name] for name in sorted(found)]


def members(kind: type[Event]) -> tuple[dict[str, Schema], list[str]]:
    """An event's own members, and which of them are always there."""
    return fields.of_class(kind)


def _event(kind: type[Event]) -> Schema:
    properties, required = members(kind)
    payload = {
        "type": "object",
        "properties": {"type": {"const": kind.type}, **ENVELOPE, **properties},
        "required": ["type", "timestamp", "event_id", *required],
    }
    # a dataclass without a docstring has its signature for one
    text = kind.__doc__ or ""
    summary = "" if text.startswith(f"{kind.__name__}(") else " ".join(text.split())
    return {
        "name": kind.type,
        "title": kind.type,
        **({"summary": summary} if summary else {}),
        "payload": payload,
        **_shown(examples.event(kind.type)),
    }


def _event_to_come(name: str) -> Schema:
    """One of a later version: nothing sends it."""
    payload = {"type": "object", "properties": {"type": {"const": name}}, "required": ["type"]}
    return {
        "name": name,
        "title": name,
        "summary": "Not sent by this server yet.",
        "payload": payload,
        "x-pending": True,
    }


def _request(name: str, summary: str, payload: Schema | None) -> Schema:
    properties: Schema = {"type": {"const": name}}
    if payload is not None:
        properties |= {"request_id": REQUEST_ID, "payload": described("payload", payload)}
    frame = {"type": "object", "properties": properties, "required": ["type"]}
    found = {"name": name, "title": name, "summary": summary, "payload": frame}
    return found | _shown(examples.request(name))


def _result(entry: Command) -> Schema:
    frame = {
        "type": "object",
        "properties": {
            "type": {"const": f"{entry.name}.result"},
            "request_id": REQUEST_ID,
            "data": described("data", views.of_reply(entry.reply)),
        },
        "required": ["type", "data"],
    }
    name = f"{entry.name}.result"
    return {"name": name, "title": name, "payload": frame} | _shown(examples.result(entry.name))


def _shown(example: Schema | None) -> Schema:
    return {"examples": [{"name": "recorded", "payload": example}]} if example else {}


def _connection_frames() -> dict[str, Schema]:
    def frame(name: str, summary: str, *optional: str, **members: Schema) -> Schema:
        members = {member: described(member, schema) for member, schema in members.items()}
        properties = {"type": {"const": name}, **members}
        payload = {
            "type": "object",
            "properties": properties,
            "required": [one for one in properties if one not in optional],
        }
        return {"name": name, "title": name, "summary": summary, "payload": payload}

    data = {
        "type": "object",
        "properties": {
            "code": described("code", {"type": "integer"}),
            "message": described("message", views.TEXT),
        },
        "required": ["code", "message"],
    }
    return {
        "connected": frame("connected", "The first frame of a connection."),
        "ping": frame("ping", "Sent now and then.", event_id=views.NUMBER, seq=views.NUMBER),
        "events_dropped": frame(
            "events_dropped", "So many events were lost before this place.", count=views.NUMBER
        ),
        "error": frame(
            "error",
            "A command was refused; the codes are HTTP's.",
            "request_id",
            request_id=REQUEST_ID,
            data=data,
        ),
    }


def _receive(name: str, implemented: bool, answered: bool) -> Schema:
    operation: Schema = {
        "action": "receive",
        "channel": {"$ref": CHANNEL},
        "messages": [{"$ref": f"{CHANNEL}/messages/{name}"}],
    }
    if answered:
        replies = [f"{name}.result", "error"] if implemented else ["error"]
        operation["reply"] = {
            "channel": {"$ref": CHANNEL},
            "messages": [{"$ref": f"{CHANNEL}/messages/{reply}"} for reply in replies],
        }
    return operation


def _send(name: str) -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": CHANNEL},
        "messages": [{"$ref": f"{CHANNEL}/messages/{name}"}],
    }
