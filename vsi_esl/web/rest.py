"""The REST face: a route for every command, made of its registry entry.

Path parameters and the body together are the command's payload; what the command answers is the body of the
reply, with `instance_id` as first member of an object. The conventions are those of the reference server.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

import orjson
import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.routing import Rule

from ..calls.context import Context
from ..errors import Invalid, VsiError
from ..protocol import registry
from ..protocol.registry import Body, Rest
from ..protocol.routes import BASE, routes
from . import jsontext

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}\Z")


class Route(Rule):
    """A rule that is only matched. werkzeug compiles two functions for each that make URLs of it, which
    nothing here asks for: three quarters of what it took to make a service."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _no_url


def _no_url(*_: Any, **__: Any) -> tuple[str, str]:
    raise LookupError("no URL is made of a route")


def register(app: Flask, ctx: Context) -> None:
    """Add a route for every command, and JSON bodies for everything that goes wrong."""
    app.config["MAX_CONTENT_LENGTH"] = ctx.config.vsi.max_frame_bytes
    # an id may be empty or hold slashes: nothing is to be merged or redirected
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.before_request(_give_request_id)
    app.after_request(_show_request_id)
    app.url_rule_class = Route
    commands = registry.load_commands()
    for name, rest in routes().items():
        app.add_url_rule(
            rule_of(rest.path),
            name,
            _view(ctx, name, rest, implemented=name in commands),
            methods=[rest.method],
            provide_automatic_options=False,
        )
    app.register_error_handler(VsiError, lambda error: error_reply(ctx, error.code, error.message))
    app.register_error_handler(HTTPException, lambda error: _http_error(ctx, error))
    app.register_error_handler(Exception, lambda error: _failed(ctx, error))


def rule_of(path: str) -> str:
    """A path below /v1 as Flask writes it."""
    return BASE + re.sub(r"\{(\w+)\}", r"<\1>", path)


def raw_path(environ: dict[str, Any]) -> str:
    """The path as the client sent it: a slash inside an id is still `%2F`."""
    sent = environ.get("REQUEST_URI")
    if sent is None:
        return quote(environ.get("PATH_INFO", "").encode("latin-1"))
    return str(sent).partition("?")[0]


def one_path(application: Callable[..., Any]) -> Callable[..., Any]:
    """WSGI middleware: no path leads where another one does.

    Below /v1, routes are found by the path as it was sent; ids are unescaped later. Elsewhere an escaped
    character is the character. werkzeug would drop all slashes at the beginning but one; with a segment in
    front such a path is what it is, one that nothing has.
    """

    def with_raw_path(environ: dict[str, Any], start_response: Any) -> Any:
        path = raw_path(environ)
        if path.startswith(f"{BASE}/"):
            environ["PATH_INFO"] = path
        elif not environ["PATH_INFO"].startswith("/") or environ["PATH_INFO"].startswith("//"):
            environ["PATH_INFO"] = f"/.{environ['PATH_INFO']}"
        return application(environ, start_response)

    return with_raw_path


def reply(ctx: Context, data: Any, status: int = 200) -> Response:
    """JSON, ended by a newline; an object says first whose it is."""
    if isinstance(data, Mapping):
        members = {key: value for key, value in data.items() if key != "instance_id"}
        data = {"instance_id": ctx.config.instance_id, **members}
    return Response(orjson.dumps(data) + b"\n", status, content_type="application/json")


def error_reply(ctx: Context, code: int, message: str) -> Response:
    """The body of every error."""
    return reply(ctx, {"error": message}, code)


def _view(ctx: Context, name: str, rest: Rest, *, implemented: bool) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        payload = {key: unquote(value) for key, value in path.items()}
        if implemented:
            payload = _body(rest, payload) | payload
        with registry.log_lines(name, g.request_id, payload):
            try:
                return reply(ctx, registry.dispatch(ctx, name, payload, g.access), rest.status)
            except VsiError as error:
                return error_reply(ctx, error.code, error.message)
            except Exception:
                log.exception("command failed")
                return error_reply(ctx, 500, "internal error")

    return view


def _body(rest: Rest, path: dict[str, str]) -> dict[str, Any]:
    """The members of the body under their names in the payload; those that the path gives are left out."""
    if rest.body is Body.NONE:
        return {}
    members = jsontext.members_of(_read(rest.body))
    if rest.within:
        return {rest.within: members}
    renamed = set(rest.names.values()) | set(path)
    found: dict[str, Any] = {}
    for key, value in members.items():
        if key in rest.names:
            found[rest.names[key]] = value
        elif key not in renamed:
            found[key] = value
    return found


def _read(body: Body) -> dict[str, Any]:
    data = request.get_data(cache=False)
    if not data.strip(jsontext.BLANK) and body is not Body.REQUIRED:
        return {}
    try:
        members = jsontext.read(data, rest_ignored=True)
        problem = "" if isinstance(members, dict | None) else "not an object"
    except ValueError as error:
        members, problem = None, str(error)
    if problem:
        raise Invalid(f"invalid request body: {problem}" if body is Body.OPTIONAL else "invalid JSON")
    return members or {}


def _give_request_id() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.match(given) else secrets.token_hex(8)


def _show_request_id(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    return response


def _http_error(ctx: Context, error: HTTPException) -> Response:
    texts = {404: "not found", 405: "method not allowed", 413: "request body too large"}
    code = error.code or 500
    if isinstance(error, ClientDisconnected):
        code = 400
    answer = error_reply(ctx, code, texts.get(code, (error.name or "error").lower()))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    if isinstance(error, RequestEntityTooLarge):
        answer.headers["Connection"] = "close"  # the rest of the body is not read
    return answer


def _failed(ctx: Context, error: Exception) -> Response:
    log.error("request failed", exc_info=error, request_id=g.get("request_id", ""))
    return error_reply(ctx, 500, "internal error")
