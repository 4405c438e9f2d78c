"""`vsi-esl tail`: events on the terminal."""

from __future__ import annotations

import fnmatch
import json
import time
from typing import Any

import click
import websocket
from rich.console import Console
from rich.text import Text

from .connection import NotThere, connect
from .options import token_option, url_option

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
COLOURS = {"leg": "cyan", "room": "green", "dtmf": "yellow", "speaking": "magenta", "error": "red"}
ENVELOPE = ("type", "timestamp", "instance_id", "event_id")


@click.command()
@url_option
@token_option
@click.option("--app-id", default="", help="Only events whose app_id matches this regular expression.")
@click.option("--type", "types", multiple=True, help="Only these event types, such as 'leg.*'. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Whole events, one JSON object a line.")
def tail(url: str, token: str, app_id: str, types: tuple[str, ...], as_json: bool) -> None:
    """Show events as they happen, until Ctrl-C.

    When the service goes away it is waited for, and what happened meanwhile is shown first (?since=).
    """
    console = Console(highlight=False, soft_wrap=True)
    ws = connect(url, token, app_id=app_id)
    last = ""
    try:
        while True:
            event = _next(ws)
            if event is None:
                ws = _again(url, token, app_id, last)
                continue
            last = event.get("event_id") or last
            if event["type"] == "ping":
                ws.send('{"type":"pong"}')
            elif not types or any(fnmatch.fnmatch(event["type"], pattern) for pattern in types):
                if as_json:
                    click.echo(json.dumps(event, separators=(",", ":"), ensure_ascii=False))
                else:
                    console.print(_line(event))
    except KeyboardInterrupt:
        return


def _next(ws: websocket.WebSocket) -> dict[str, Any] | None:
    """The next frame; None when the connection has ended."""
    try:
        ws.settimeout(None)
        frame = ws.recv()
    except (websocket.WebSocketException, OSError):
        return None
    found: dict[str, Any] | None = json.loads(frame) if frame else None
    return found


def _again(url: str, token: str, app_id: str, since: str) -> websocket.WebSocket:
    """Connect anew, for as long as it takes. What is refused, not merely absent, ends it."""
    click.echo(f"vsi-esl: the connection to {url} ended; trying again", err=True)
    pause = FIRST_PAUSE_S
    while True:
        try:
            ws = connect(url, token, app_id=app_id, since=since)
        except NotThere:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        else:
            click.echo(f"vsi-esl: connected to {url} again", err=True)
            return ws


def _line(event: dict[str, Any]) -> Text:
    line = Text(event.get("timestamp", "")[11:23].ljust(13), style="dim")
    family = event["type"].partition(".")[0]
    line.append(event["type"].ljust(22), style=COLOURS.get(family, "white"))
    for name, value in event.items():
        if name not in ENVELOPE:
            shown = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            line.append(f" {name}=", style="dim").append(shown)
    return line
