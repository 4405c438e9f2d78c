"""`vsi-esl call`: one VSI command from the terminal."""

from __future__ import annotations

import difflib
import json
from typing import Any

import click
import websocket
from click.shell_completion import CompletionItem

from ..documents import fields
from ..protocol import registry, schemas
from ..protocol.names import COMMANDS, CONNECTION_COMMANDS
from .connection import connect
from .options import token_option, url_option

NAMES = [name for name in COMMANDS if name not in CONNECTION_COMMANDS]


def _complete_name(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    commands = registry.load_commands()
    return [
        CompletionItem(name, help=commands[name].summary) for name in commands if name.startswith(incomplete)
    ]


def _complete_member(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    given = {item.partition("=")[0] for item in ctx.params.get("members") or ()}
    found = _members(ctx.params.get("command") or "")
    return [
        CompletionItem(f"{name}=", type="nospace", help=schema.get("description", ""))
        for name, schema in found.items()
        if name not in given and name.startswith(incomplete)
    ]


@click.command(add_help_option=False)
@url_option
@token_option
@click.argument("command", required=False, shell_complete=_complete_name)
@click.argument("members", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=_complete_member)
@click.option("--pick", default="", help="Print only this part of the reply, such as 0.id or status.")
@click.option(
    "-h", "--help", "helped", is_flag=True, help="Show this message, or the members of COMMAND, and exit."
)
@click.pass_context
def call(
    ctx: click.Context,
    *,
    url: str,
    token: str,
    command: str | None,
    members: tuple[str, ...],
    pick: str,
    helped: bool,
) -> None:
    """Send one VSI command and print its reply. Objects and lists are given as JSON.

    `vsi-esl call COMMAND --help` shows what the command takes.
    """
    if command is None:
        if not helped:
            raise click.UsageError(f"name a command: {', '.join(registry.load_commands())}")
        click.echo(ctx.get_help())
        return
    if command not in NAMES:
        raise click.UsageError(_unknown(f"{command!r} is no command", command, NAMES))
    if helped:
        click.echo(_described(command))
        return
    payload = _payload(command, members)
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
    click.echo(_picked(data, pick))


def _unknown(text: str, given: str, known: list[str]) -> str:
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


def _described(command: str) -> str:
    entry = registry.load_commands().get(command)
    if entry is None:
        return f"{command} is not implemented yet: it answers 501."
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


def _payload(command: str, members: tuple[str, ...]) -> dict[str, Any]:
    entry = registry.load_commands().get(command)
    found = entry.schema.fields if entry is not None and entry.schema is not None else {}
    kinds = {field.data_key or name: field for name, field in found.items()}
    payload: dict[str, Any] = {}
    for item in members:
        name, equals, value = item.partition("=")
        if not equals:
            raise click.UsageError(f"members are key=value, not {item!r}")
        if entry is not None and name not in kinds:
            has = f"it has {', '.join(kinds)}" if kinds else "it has none"
            raise click.UsageError(_unknown(f"{command} has no {name!r}; {has}", name, list(kinds)))
        if isinstance(kinds.get(name), schemas.Text):
            payload[name] = value
        elif isinstance(kinds.get(name), schemas.TextList) and not value.startswith("["):
            payload[name] = value.split(",")
        else:
            payload[name] = _json_or_text(value)
    if missing := [name for name in _needed(command) if name not in payload]:
        raise click.UsageError(f"{command} needs {' and '.join(f'{name}=...' for name in missing)}")
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
