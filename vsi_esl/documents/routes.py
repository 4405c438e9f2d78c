"""/openapi.json, /asyncapi.json and /docs: made once, on the first request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import orjson
from flask import Flask, Response, redirect, request

from . import asyncapi, openapi, pages

JSON = "application/json"
HTML = "text/html; charset=utf-8"


@cache
def _made(path: str) -> tuple[bytes, str]:
    """A document and its ETag."""
    makers: dict[str, Callable[[], bytes]] = {
        "/openapi.json": lambda: orjson.dumps(openapi.build()) + b"\n",
        "/asyncapi.json": lambda: orjson.dumps(asyncapi.build()) + b"\n",
        "/docs": lambda: pages.index().encode(),
        "/docs/rest": lambda: pages.rest_page().encode(),
        "/docs/vsi": lambda: pages.vsi_page().encode(),
        "/docs/words": lambda: pages.words_page().encode(),
    }
    body = makers[path]()
    return body, hashlib.sha256(body).hexdigest()[:32]


def register(app: Flask) -> None:
    """Add the routes."""

    def show(path: str, content_type: str) -> Callable[[], Response]:
        def view() -> Response:
            body, tag = _made(path)
            response = Response(body, 200, content_type=content_type)
            response.set_etag(tag)
            response.cache_control.no_cache = True  # ask again, and be told that it is the same
            response.make_conditional(request)
            return response

        return view

    for path in ("/openapi.json", "/asyncapi.json"):
        app.add_url_rule(path, path, show(path, JSON), methods=["GET"])
    for path in ("/docs", "/docs/rest", "/docs/vsi", "/docs/words"):
        app.add_url_rule(path, path, show(path, HTML), methods=["GET"])
    app.add_url_rule("/", "/", lambda: redirect("/docs"), methods=["GET"])
