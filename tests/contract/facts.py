"""Facts of an OpenAPI or AsyncAPI document: names and numbers, no text. `python -m tests.contract.facts DIR`
writes those of the pinned documents in a directory to pinned.json."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
Facts = dict[str, dict[str, list[str]]]

PINNED = Path(__file__).with_name("pinned.json")
VERSIONS = ("2026-05-26", "2026-08-20")
METHODS = ("get", "post", "put", "patch", "delete")
ENVELOPE = {"type", "timestamp", "event_id", "instance_id"}
PENDING: dict[str, list[str]] = {}
"""What is known and answers 501."""
BESIDE = "document beside it"
FRAMES = {"connected", "ping", "events_dropped", "error", "pong", "stop", "frame_error"}


def of_openapi(document: Document, version: str = VERSIONS[-1]) -> Facts:
    """`METHOD /path` -> statuses of success, members of the body and of the answer. What is marked as of a
    later version than this is left out."""
    found: Facts = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS or operation.get("x-version", "") > version:
                continue
            if operation.get("x-pending"):
                found[_route(method, path)] = PENDING
                continue
            name = _route(method, path)
            answers = {str(code): one for code, one in operation["responses"].items() if str(code)[0] in "12"}
            found[name] = {"status": sorted(answers)}
            found[name] |= _about("body", document, [_json(document, operation.get("requestBody", {}))])
            replies = [_json(document, one) for one in answers.values()]
            found[name] |= _about("answer", document, replies, {"instance_id"})
    return found


def _route(method: str, path: str) -> str:
    return f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path.removeprefix('/v1'))}"


def of_asyncapi(document: Document, version: str = VERSIONS[-1]) -> Facts:
    """Message name -> the members of its payload or data; for events, their own. `version` as above."""
    found: Facts = {}
    for kind, reference in document["channels"]["vsi"]["messages"].items():
        message = _resolved(document, reference)
        properties = _properties(document, message["payload"])
        if kind in FRAMES or message.get("x-version", "") > version:
            continue
        if message.get("x-pending"):
            found[kind] = PENDING
        elif "payload" in properties or kind.endswith(".result"):
            inner = properties.get("payload") or properties.get("data") or {}
            found[kind] = _about("members", document, [inner])
        elif "." in kind:
            found[kind] = _about("members", document, [message["payload"]], ENVELOPE)
        else:
            found[kind] = {"members": []}
    return found


def _json(document: Document, holder: Document) -> Document:
    return dict(_resolved(document, holder).get("content", {}).get("application/json", {}).get("schema", {}))


def _resolved(document: Document, schema: Document) -> Document:
    while "$ref" in schema:
        file, _, place = schema["$ref"].partition("#/")
        target: Any = document[BESIDE] if file else document
        for step in place.split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            # the pinned AsyncAPI documents say LegView and RoomView, the OpenAPI ones Leg and Room
            target = target.get(name, target.get(name.removesuffix("View"), {}))
        schema = target
    return schema


def _properties(document: Document, schema: Document) -> Document:
    schema = _resolved(document, schema)
    if schema.get("type") == "array":
        return _properties(document, schema.get("items", {}))
    found = dict(schema.get("properties", {}))
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        found |= _properties(document, part)
    return found


def _required(document: Document, schema: Document) -> set[str]:
    schema = _resolved(document, schema)
    if schema.get("type") == "array":
        return _required(document, schema.get("items", {}))
    return set(schema.get("required", ())).union(
        *(_required(document, part) for part in schema.get("allOf", ())),
    )


def _about(
    part: str, document: Document, schemas: list[Document], but: set[str] = frozenset()
) -> dict[str, list[str]]:
    """The members of a body, their types and values as far as it says them, and which are always there."""
    members: Document = {}
    for schema in schemas:
        members |= {name: one for name, one in _properties(document, schema).items() if name not in but}
    required = set().union(*(_required(document, schema) for schema in schemas)) - but
    details = {
        f"{part} required": required & set(members),
        f"{part} types": {f"{name} {_type(document, one)}" for name, one in members.items()},
        f"{part} values": {
            f"{name} {value}"
            for name, one in members.items()
            for value in _resolved(document, one).get("enum", ())
        },
    }
    return {part: sorted(members), **{name: sorted(facts) for name, facts in details.items() if facts}}


def _type(document: Document, schema: Document) -> str:
    schema = _resolved(document, schema)
    # what has no type are views, or references between the two pinned documents to one, and constants
    kind = schema.get("type", "string" if "const" in schema else "object")
    if isinstance(kind, list):
        kind = next(one for one in kind if one != "null")
    return f"array of {_type(document, schema['items'])}" if kind == "array" else str(kind)


def read(directory: Path) -> dict[str, Facts]:
    """The facts of the pinned documents."""
    found = {}
    for version in VERSIONS:
        openapi, asyncapi = (
            yaml.safe_load((directory / f"{name}-{version}.yaml").read_text())
            for name in ("openapi", "asyncapi")
        )
        found[f"openapi {version}"] = of_openapi(openapi)
        found[f"asyncapi {version}"] = of_asyncapi(asyncapi | {BESIDE: openapi})
    return found


def _comparable(part: str, pinned: dict[str, list[str]], ours: dict[str, list[str]]) -> tuple[set[str], ...]:
    """What both documents say of a part: of members that both have, and values where both list them."""
    members, _, detail = part.partition(" ")
    there, here = set(pinned.get(part, ())), set(ours.get(part, ()))
    if not detail:
        return there, here
    both = set(pinned.get(members, ())) & set(ours.get(members, ()))
    if detail == "values":
        both &= {one.partition(" ")[0] for one in there} & {one.partition(" ")[0] for one in here}
    return tuple({one for one in side if one.partition(" ")[0] in both} for side in (there, here))


def differences(name: str, pinned: Facts, ours: Facts) -> list[str]:
    """One line for each: what is missing here, and what is more."""
    lines = []
    for entry in sorted(pinned.keys() | ours.keys()):
        if ours.get(entry) is PENDING or ours.get(entry.removesuffix(".result")) is PENDING:
            lines.append(f"{name}: {entry}: not implemented")
        elif entry not in ours:
            lines.append(f"{name}: {entry}: missing")
        elif entry not in pinned:
            lines.append(f"{name}: {entry}: more")
        else:
            for part in pinned[entry].keys() | ours[entry].keys():
                there, here = _comparable(part, pinned[entry], ours[entry])
                lines += [f"{name}: {entry}: {part}: {one}: missing" for one in there - here]
                lines += [f"{name}: {entry}: {part}: {one}: more" for one in here - there]
    return sorted(lines)


def written(facts: dict[str, Facts]) -> str:
    """As JSON, with a line for each operation or message."""
    documents = (
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(entry)}: {json.dumps(found)}" for entry, found in sorted(entries.items())
        )
        + "\n}"
        for name, entries in sorted(facts.items())
    )
    return "{" + ",\n".join(documents) + "}\n"


if __name__ == "__main__":
    PINNED.write_text(written(read(Path(sys.argv[1]))))
