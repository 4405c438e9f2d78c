"""`vsi-esl tail` and `vsi-esl call`: a VSI client for the terminal."""

from __future__ import annotations

import fnmatch
import json
from typing import Any
from urllib.parse import quote

import click
import websocket
from rich.console import Console
from rich.text import Text

from .. import registry, schemas
from . import cli, token_option, url_option

REPLY_TIMEOUT_S = 40.0
COLOURS = {"leg": "cyan", "room": "green", "dtmf": "yellow", "speaking": "magenta", "error": "red"}
ENVELOPE = ("type", "timestamp", "instance_id", "event_id")


def connect(url: str, app_id: str = "", token: str = "") -> websocket.WebSocket:
    """A VSI connection, past its first frame. ClickException with the reason when there is none."""
    if app_id:
        url += f"?app_id={quote(app_id)}"
    try:
        header = [f"Authorization: Bearer {token}"] if token else []
        # no page of a browser asks, so there is no origin to tell
        ws = websocket.create_connection(url, timeout=REPLY_TIMEOUT_S, header=header, suppress_origin=True)
        first = json.loads(ws.recv())
    except websocket.WebSocketBadStatusException as error:
        body = (error.resp_body or b"").decode("utf-8", "replace").strip()
        raise click.ClickException(f"{url}: refused: {body or error}") from None
    except (websocket.WebSocketException, OSError, ValueError) as error:
        raise click.ClickException(f"cannot reach {url}: {error}") from None
    if first.get("type") != "connected":
        raise click.ClickException(f"{url} is no VSI endpoint")
    return ws


@cli.command()
@url_option
@token_option
@click.option("--app-id", default="", help="Only events whose app_id matches this regular expression.")
@click.option("--type", "types", multiple=True, help="Only these event types, such as 'leg.*'. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Whole events, one JSON object a line.")
def tail(url: str, token: str, app_id: str, types: tuple[str, ...], as_json: bool) -> None:
    """Show events as they happen, until Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)
    ws = connect(url, app_id, token)
    ws.settimeout(None)
    while True:
        try:
            frame = ws.recv()
        except KeyboardInterrupt:
            return
        except (websocket.WebSocketException, OSError) as error:
            raise click.ClickException(f"the connection ended: {error}") from None
        if not frame:
            raise click.ClickException("the service closed the connection")
        event = json.loads(frame)
        if event["type"] == "ping":
            ws.send('{"type":"pong"}')
        elif not types or any(fnmatch.fnmatch(event["type"], pattern) for pattern in types):
            if as_json:
                click.echo(frame)
            else:
                console.print(_line(event))


def _line(event: dict[str, Any]) -> Text:
    line = Text(event.get("timestamp", "")[11:23].ljust(13), style="dim")
    family = event["type"].partition(".")[0]
    line.append(event["type"].ljust(22), style=COLOURS.get(family, "white"))
    for name, value in event.items():
        if name not in ENVELOPE:
            shown = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            line.append(f" {name}=", style="dim").append(shown)
    return line


@cli.command()
@url_option
@token_option
@click.argument("command")
@click.argument("members", nargs=-1)
@click.option("--pick", default="", help="Print only this part of the reply, such as 0.id or status.")
def call(url: str, token: str, command: str, members: tuple[str, ...], pick: str) -> None:
    """Send one VSI command and print its reply. MEMBERS are key=value; objects and lists are JSON."""
    payload = _payload(command, members)
    ws = connect(url, token=token)
    try:
        ws.send(json.dumps({"type": command, "request_id": "1", "payload": payload}))
        while True:
            reply = json.loads(ws.recv())
            if reply.get("request_id") == "1":
                break
    except websocket.WebSocketException as error:
        raise click.ClickException(f"no reply: {error}") from None
    finally:
        ws.close()
    data = reply["data"]
    if reply["type"] == "error":
        raise click.ClickException(f"{data.get('code')} {data['message']}")
    click.echo(_picked(data, pick))


def _payload(command: str, members: tuple[str, ...]) -> dict[str, Any]:
    entry = registry.load_commands().get(command)
    fields = entry.schema.fields if entry is not None and entry.schema is not None else {}
    kinds = {field.data_key or name: field for name, field in fields.items()}
    payload: dict[str, Any] = {}
    for item in members:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"members are key=value, not {item!r}")
        if kinds and name not in kinds:
            raise click.UsageError(f"{command} has no {name!r}; it has {', '.join(kinds)}")
        if isinstance(kinds.get(name), schemas.Text):
            payload[name] = value
        elif isinstance(kinds.get(name), schemas.TextList) and not value.startswith("["):
            payload[name] = value.split(",")
        else:
            payload[name] = _json_or_text(value)
    return payload


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _picked(data: Any, path: str) -> str:
    for step in path.split(".") if path else []:
        try:
            data = data[int(step)] if isinstance(data, list) else data[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise click.ClickException(f"the reply has no {path!r}") from None
    return data if isinstance(data, str) else json.dumps(data, indent=2)
