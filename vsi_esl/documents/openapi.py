"""The REST face as an OpenAPI 3.1 document, made of the routes that the registry gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apispec import APISpec
from marshmallow.fields import Field

from .. import __version__
from ..protocol import ids, registry, replies, streams
from ..protocol.names import VERSION, version_of
from ..protocol.registry import Body, Command, Rest
from ..protocol.routes import BASE, UNSERVED, routes
from ..protocol.schemas import Text
from . import examples, fields, views
from .glossary import described

Schema = dict[str, Any]

LARGE_BODY = 413

ERRORS = {
    400: "The request is wrong: the body cannot be read, or a member is not what it must be.",
    401: "A bearer token is required, or the one given is not valid.",
    403: "The address, the page or the token may not do this.",
    404: "No such leg, room, playback, recording or bridge.",
    409: "It exists, but not in a state that allows this.",
    413: "The body is too large.",
    414: "The URL is too long.",
    426: "Asked for without an upgrade.",
    429: "The token's rate limit is exceeded; Retry-After says for how long.",
    500: "The command was fine and still failed.",
    501: "Not implemented by this server, or not by the connected switch.",
    503: "No connection to the switch, no answer from it in time, or the service is shutting down.",
}
STREAM_ERRORS = (400, 401, 403, 404, 409, 414, 426, 429, 503)
PENDING_ERRORS = (401, 403, 413, 414, 429, 501)

DESCRIPTION = (
    "VSI commands over HTTP. Every command has a twin here, with the same payload and the same errors. A"
    " member that is null counts as absent, unknown members are ignored, and what happens later comes as an"
    " event, over /v1/vsi and by webhook (see the AsyncAPI document)."
)


def build() -> Schema:
    """The document."""
    spec = APISpec(
        title="vsi_esl",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
        servers=[{"url": "/"}],
        security=[{"token": []}, {}],
    )
    spec.components.security_scheme(
        "token",
        {
            "type": "http",
            "scheme": "bearer",
            "description": "Made by `vsi-esl token`. Not needed while no token is configured.",
        },
    )
    error = {
        "type": "object",
        "properties": {name: described(name, views.TEXT) for name in ("instance_id", "error")},
        "required": ["instance_id", "error"],
    }
    for name, schema in {**views.views(), "Error": error}.items():
        spec.components.schema(name, schema)
    for code, text in ERRORS.items():
        spec.components.response(str(code), _error(code, text))
    commands = registry.load_commands()
    for name, rest in sorted(routes().items(), key=lambda item: item[0] not in commands):
        operation = _operation(commands[name], rest) if name in commands else _pending(name)
        operation["parameters"] = [_parameter(one, _field(name, one)) for one in rest.parameters]
        if (version := version_of(name)) != VERSION:
            operation["x-version"] = version
        spec.path(BASE + rest.path, operations={rest.method.lower(): operation})
    for path, operations in _others().items():
        spec.path(path, operations=operations)
    for one in streams.registered().values():
        spec.path(BASE + one.path, operations={"get": _stream(one)})
    return dict(spec.to_dict())


def _stream(one: streams.Stream) -> Schema:
    return {
        "summary": one.summary,
        "tags": ["WebSockets"],
        "parameters": [
            *(_parameter(name, kind()) for name, kind in one.ids.items()),
            *(_asked(name, field) for name, field in _query(one).items()),
        ],
        "responses": {
            "101": {"description": "Upgraded."},
            **{str(code): str(code) for code in STREAM_ERRORS},
        },
    }


def _query(one: streams.Stream) -> Mapping[str, Field[Any]]:
    return {} if one.payload is None else one.payload.fields


def _field(command: str, parameter: str) -> Field[Any]:
    """The field of a command's path parameter."""
    entry = registry.load_commands().get(command)
    if entry is not None and entry.schema is not None:
        return entry.schema.fields[parameter]
    route = UNSERVED[command]
    if route.about is not None and parameter == route.rest.parameters[0]:
        return route.about()
    return Text(metadata={"description": "Names what it is about."})


def _asked(name: str, field: Field[Any]) -> Schema:
    """A parameter of the query."""
    schema = fields.member(field)
    return {"name": name, "in": "query", "description": schema.pop("description"), "schema": schema}


def _parameter(name: str, field: Field[Any]) -> Schema:
    schema = fields.member(field)
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": schema.pop("description"),
        # one that is empty is no id, and `/` inside one is written %2F
        "schema": {**schema, "minLength": 1},
    }


def _operation(entry: Command, rest: Rest) -> Schema:
    operation: Schema = {
        "operationId": entry.name,
        "summary": entry.summary,
        "tags": [_tag(entry)],
        "responses": {str(rest.status): _success(entry), **{str(code): str(code) for code in ERRORS}},
    }
    if entry.description:
        operation["description"] = entry.description
    if rest.body is not Body.NONE:
        shown = examples.body(entry.name, rest, rest.parameters)
        operation["requestBody"] = {
            "required": rest.body is Body.REQUIRED,
            "content": {"application/json": _content(body_of(entry, rest), shown)},
        }
    return operation


def body_of(entry: Command, rest: Rest) -> Schema:
    """The payload without what the path gives, under the names that the body has for it."""
    schema = fields.payload(entry.schema)
    if rest.within:
        inner: Schema = schema["properties"][rest.within]
        return inner
    outside = {inside: name for name, inside in rest.names.items()}
    in_path = rest.parameters
    schema["properties"] = {
        outside.get(name, name): member
        for name, member in schema["properties"].items()
        if name not in in_path
    }
    required = [outside.get(name, name) for name in schema.pop("required", ()) if name not in in_path]
    return {**schema, **({"required": required} if required else {})}


def _success(entry: Command) -> Schema:
    schema = views.of_reply(entry.reply, rest=True)
    shown = _content(schema, examples.answer(entry.name))
    return {"description": "Done, or begun.", "content": {"application/json": shown}}


def _content(schema: Schema, example: Any) -> Schema:
    return {"schema": schema, **({"example": example} if example is not None else {})}


def _pending(name: str) -> Schema:
    return {
        "operationId": name,
        "summary": "Of a later version of the protocol; this server answers 501.",
        "tags": [UNSERVED[name].tag],
        "deprecated": False,
        "x-pending": True,
        "responses": {str(code): str(code) for code in PENDING_ERRORS},
    }


def _tag(entry: Command) -> str:
    """The group of a command: what it shows, or what it names; the part rather than the whole."""
    if entry.rest is not None and entry.rest.group:
        return entry.rest.group
    shown = [kind for kind in ids.known() if kind.view is replies.row(entry.reply)]
    named = ids.kinds(entry.schema) if entry.schema is not None else []
    about = [kind for kind in (*shown, *named) if kind.tag]
    return max(about, key=lambda kind: kind.part).tag


def _error(code: int, text: str) -> Schema:
    response: Schema = {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if code == 429:
        response["headers"] = {"Retry-After": {"schema": views.NUMBER, "description": "Seconds."}}
    return response


def _others() -> dict[str, Schema]:
    """What is no command."""

    def get(summary: str, *codes: int, **found: Schema) -> Schema:
        responses = {code.removeprefix("on_"): response for code, response in found.items()}
        return {
            "get": {
                "summary": summary,
                "tags": ["Service"],
                "responses": {**responses, **{str(code): str(code) for code in codes}},
            }
        }

    def changing(summary: str, *codes: int, **found: Schema) -> Schema:
        parameter = {"name": "name", "in": "path", "required": True, "schema": views.TEXT}
        return {"post": {**get(summary, *codes, **found)["get"], "parameters": [parameter]}}

    def array(text: str) -> Schema:
        items = {"type": "array", "items": {"type": "object"}}
        return {"description": text, "content": {"application/json": {"schema": items}}}

    def json(text: str) -> Schema:
        return {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}

    def page(text: str, kind: str) -> Schema:
        return {"description": text, "content": {kind: {"schema": views.TEXT}}}

    vsi = get(
        "The VSI WebSocket.",
        400,
        401,
        403,
        429,
        on_101={"description": "Upgraded."},
        on_426=json("Asked for without an upgrade."),
        on_503=json("Too many connections, or shutting down."),
    )
    vsi["get"]["parameters"] = [
        {"name": name, "in": "query", "schema": views.TEXT, "description": text}
        for name, text in (
            ("app_id", "Only events whose app_id matches this RE2 pattern."),
            ("since", "Event id: first what was missed after it."),
            ("token", "Bearer token, for browsers, which cannot send headers."),
        )
    ]
    return {
        f"{BASE}/vsi": vsi,
        "/healthz": get("The process lives.", 403, on_200=json("It does.")),
        "/readyz": get(
            "The switch is connected and its calls are known, and the disk takes the state.",
            403,
            on_200=json("Ready."),
            on_503=json("Not ready, or shutting down."),
        ),
        "/metrics": get(
            "Series for Prometheus.",
            401,
            403,
            429,
            on_200=page("All series.", "text/plain; version=0.0.4"),
        ),
        "/switches": get(
            "The switches: whether each is connected, drains, and how many legs it has.",
            401,
            403,
            429,
            on_200=array("One object for each."),
        ),
        **{
            f"/switches/{{name}}/{what}": changing(
                f"{text} For admin tokens.", 401, 403, 404, 429, 503, on_200=json("The switch as it is now.")
            )
            for what, text in (
                ("drain", "Have no new calls made on a switch, but for rooms that it has."),
                ("undrain", "Have calls made on it again."),
            )
        },
        "/openapi.json": get("This document.", 403, on_200=json("OpenAPI 3.1.")),
        "/asyncapi.json": get("VSI and its events.", 403, on_200=json("AsyncAPI 3.0.")),
        "/docs": get("Pages to read.", 403, on_200=page("HTML.", "text/html")),
    }
