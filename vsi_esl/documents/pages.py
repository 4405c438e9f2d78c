"""The documents as pages to read: no scripts, nothing fetched from elsewhere; and as Markdown tables."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..audio.tones import TONES
from ..protocol import registry, replies
from ..protocol.names import (
    COMMANDS,
    CONNECTION_COMMANDS,
    LATER,
    LATER_EVENTS,
    VERSION,
    known_commands,
    version_of,
)
from ..protocol.routes import BASE, routes
from . import asyncapi, examples, fields, glossary, openapi, views

Schema = dict[str, Any]

_templates = Environment(
    loader=PackageLoader("vsi_esl.documents"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def kind(schema: Schema) -> str:
    """A member's type in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "allOf" in schema:
        return kind(schema["allOf"][-1])
    if "const" in schema:
        return json.dumps(schema["const"])
    if schema.get("type") == "array":
        return f"array of {kind(schema['items'])}"
    if schema.get("enum"):
        return " | ".join(json.dumps(one) for one in schema["enum"])
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


_templates.filters["kind"] = kind
_templates.filters["frame"] = lambda value: json.dumps(value, ensure_ascii=False)


def index() -> str:
    """The page that leads to the others."""
    return _templates.get_template("index.html").render(title="vsi_esl")


def rest_page() -> str:
    """The REST face."""
    document = openapi.build()
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups: dict[str, list[Schema]] = {}
    for operation in operations:
        groups.setdefault(operation["tags"][0], []).append(operation)
    return _templates.get_template("rest.html").render(
        title="REST", document=document, groups=groups, errors=openapi.ERRORS, views=views.views()
    )


def vsi_page() -> str:
    """The WebSocket: commands and events."""
    return _templates.get_template("vsi.html").render(
        title="VSI",
        document=asyncapi.build(),
        commands=commands(),
        events=[
            {
                "type": one.type,
                "since": since(one.type),
                "example": examples.event(one.type),
                **_event(one),
            }
            for one in asyncapi.event_types()
        ],
        unsent=unsent(),
        views=views.views(),
    )


def words_page() -> str:
    """The words that have a list: reasons and tones."""
    return _templates.get_template("words.html").render(
        title="Reasons and tones",
        reasons=glossary.DISCONNECT_REASONS,
        answers=glossary.answers(),
        rejections=glossary.rejections(),
        tones=TONES.values(),
    )


def since(name: str) -> str:
    """The version that brought a command or event, if it was a later one; else empty."""
    version = version_of(name)
    return version if version != VERSION else ""


def commands() -> list[Schema]:
    """All commands of the protocol, those of later versions last: what the pages and the Markdown show."""
    registered, paths = registry.load_commands(), routes()
    rows = []
    for name in known_commands():
        if name in CONNECTION_COMMANDS:
            continue
        entry = registered.get(name)
        payload = fields.payload(entry.schema) if entry else {}
        rows.append(
            {
                "name": name,
                "since": since(name),
                "implemented": entry is not None,
                "summary": entry.summary if entry else "Not implemented yet.",
                "members": payload.get("properties", {}),
                "required": payload.get("required", []),
                "result": replies.shown(entry.reply) if entry else "",
                "method": paths[name].method,
                "path": BASE + paths[name].path,
                "status": paths[name].status,
                "example": examples.request(name) if entry else None,
                "answer": examples.result(name) if entry else None,
            }
        )
    return rows


def unsent() -> dict[str, list[str]]:
    """Later version -> the events of it that this server does not send."""
    sent = {one.type for one in asyncapi.event_types()}
    found = {version: [one for one in added if one not in sent] for version, added in LATER_EVENTS.items()}
    return {version: missing for version, missing in found.items() if missing}


def _event(one: type[Any]) -> Schema:
    properties, required = asyncapi.members(one)
    text = one.__doc__ or ""
    summary = "" if text.startswith(f"{one.__name__}(") else " ".join(text.split())
    return {"members": properties, "required": required, "summary": summary}


def commands_markdown() -> str:
    """Commands, their REST twins and results as a table."""
    rows = commands()
    working = sum(row["implemented"] for row in rows if not row["since"]) + len(CONNECTION_COMMANDS)
    frames = " and ".join(f"`{name}`" for name in sorted(CONNECTION_COMMANDS))
    lines = [f"{working} of the {len(COMMANDS)} commands work; one that does not answers 501 and its name."]
    lines += [f"Of them {frames} concern the connection and have no answer.", ""]
    lines += _command_rows([row for row in rows if not row["since"]])
    for version, added in LATER.items():
        later = [row for row in rows if row["since"] == version]
        working = sum(row["implemented"] for row in later)
        lines += ["", f"## Of the version {version}", ""]
        lines += [f"{working} of the {len(added)} commands that it added work; the others answer 501.", ""]
        lines += _command_rows(later)
    return "\n".join(lines) + "\n"


def _command_rows(rows: list[Schema]) -> list[str]:
    lines = ["| command | REST | answers | |", "|---|---|---|---|"]
    for row in rows:
        route = f"`{row['method']} {row['path']}`"
        answer = f"{row['status']} {row['result']}" if row["implemented"] else "501"
        lines.append(f"| `{row['name']}` | {route} | {answer} | {row['summary']} |")
    return lines


def events_markdown() -> str:
    """Events and their members as a table; members in brackets may be absent."""
    lines = ["| event | members | |", "|---|---|---|"]
    for one in asyncapi.event_types():
        found = _event(one)
        shown = [f"`{name}`" if name in found["required"] else f"[`{name}`]" for name in found["members"]]
        lines.append(f"| `{one.type}` | {' '.join(shown)} | {found['summary']} |")
    for version, missing in unsent().items():
        lines += ["", f"Of the version {version} are not sent: {', '.join(f'`{one}`' for one in missing)}."]
    return "\n".join(lines) + "\n"
