"""What `vsi-esl call` does with a command: it is described, its payload read, sent, and its reply printed."""

from __future__ import annotations

import difflib
import json
from typing import Any

import click
import websocket

from ..documents import fields
from ..protocol import registry, schemas
from ..protocol.names import CONNECTION_COMMANDS, known_commands
from .connection import connect

NAMES = [name for name in known_commands() if name not in CONNECTION_COMMANDS]


def implemented() -> list[str]:
    """The commands that this server has."""
    return list(registry.load_commands())


def reply_to(url: str, token: str, command: str, payload: dict[str, Any]) -> Any:
    """The data that a service answers with. Raises ClickException, also for its errors."""
    ws = connect(url, token)
    try:
        ws.send(json.dumps({"type": command, "request_id": "1", "payload": payload}))
        while True:
            reply = json.loads(ws.recv())
            if reply.get("request_id") == "1":
                break
    except (websocket.WebSocketException, OSError, ValueError) as error:
        raise click.ClickException(f"no reply from {url}: {error}") from None
    finally:
        ws.close()
    data = reply["data"]
    if reply["type"] == "error":
        raise click.ClickException(f"{data.get('code')} {data['message']}")
    return data


def unknown(text: str, given: str, known: list[str]) -> str:
    """That something is not there, with names that are near to it."""
    near = difflib.get_close_matches(given, known, 3)
    return f"{text}; did you mean {' or '.join(near)}?" if near else text


def _members(command: str) -> dict[str, fields.Schema]:
    """The members of a command's payload, as the documents describe them."""
    entry = registry.load_commands().get(command)
    found: dict[str, fields.Schema] = fields.payload(entry.schema)["properties"] if entry else {}
    return found


def _needed(command: str) -> list[str]:
    entry = registry.load_commands().get(command)
    found: list[str] = fields.payload(entry.schema).get("required", []) if entry else []
    return found


def described(command: str) -> str:
    """What a command does, and the members of its payload."""
    entry = registry.load_commands().get(command)
    if entry is None:
        return f"{command} is not implemented by this server: it answers 501."
    needed = _needed(command)
    formatter = click.HelpFormatter(max_width=100)
    formatter.write_usage(f"vsi-esl call {command}", " ".join([f"{name}=..." for name in needed] + ["..."]))
    formatter.write_paragraph()
    formatter.write_text(entry.summary)
    if rows := [
        (f"{name} ({_kind(schema)}{', required' if name in needed else ''})", schema.get("description", ""))
        for name, schema in _members(command).items()
    ]:
        with formatter.section("Members"):
            formatter.write_dl(rows, col_max=40)
    return formatter.getvalue().rstrip()


def _kind(schema: fields.Schema) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = str(schema.get("type", "any"))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return kind
    return f"{kind} from {low} to {high}" if high is not None else f"{kind} from {low}"


def payload(command: str, members: tuple[str, ...]) -> dict[str, Any]:
    """The payload that `key=value` words stand for. Raises UsageError."""
    entry = registry.load_commands().get(command)
    found = entry.schema.fields if entry is not None and entry.schema is not None else {}
    kinds = {field.data_key or name: field for name, field in found.items()}
    given: dict[str, Any] = {}
    for item in members:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"members are key=value, not {item!r}")
        if entry is not None and name not in kinds:
            has = f"it has {', '.join(kinds)}" if kinds else "it has none"
            raise click.UsageError(unknown(f"{command} has no {name!r}; {has}", name, list(kinds)))
        if isinstance(kinds.get(name), schemas.Text):
            given[name] = value
        elif isinstance(kinds.get(name), schemas.TextList) and not value.startswith("["):
            given[name] = value.split(",")
        else:
            given[name] = _json_or_text(value)
    if missing := [name for name in _needed(command) if name not in given]:
        raise click.UsageError(f"{command} needs {' and '.join(f'{name}=...' for name in missing)}")
    return given


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def picked(data: Any, path: str) -> str:
    """A part of a reply by its path, such as `0.id`, as text. Raises ClickException where there is none."""
    for step in path.split(".") if path else []:
        try:
            data = data[int(step)] if isinstance(data, list) else data[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise click.ClickException(f"the reply has no {path!r}") from None
    return data if isinstance(data, str) else json.dumps(data, indent=2)
