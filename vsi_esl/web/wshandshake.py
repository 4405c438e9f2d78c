"""The WebSocket upgrade without I/O (RFC 6455, 4.2): what a request asks for, and what is wrong with it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

VERSION = "13"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SUBPROTOCOL = "vsi"
BEARER = "bearer."
"""In front of a token among the subprotocols, where browsers can put one that is in no URL."""

Refusal = tuple[str, list[tuple[str, str]], bytes]
"""Status line, headers and body of the answer that is sent instead of 101."""


def wants_upgrade(environ: dict[str, Any]) -> bool:
    """Whether the request asks for a WebSocket; any other request belongs to the application."""
    return (
        environ.get("REQUEST_METHOD") == "GET"
        and "websocket" in _tokens(environ.get("HTTP_UPGRADE", ""))
        and "upgrade" in _tokens(environ.get("HTTP_CONNECTION", ""))
    )


def refusal(environ: dict[str, Any]) -> Refusal | None:
    """The answer to an upgrade request that breaks the rules; None when it is correct."""
    if environ.get("SERVER_PROTOCOL") != "HTTP/1.1":
        return _bad("a WebSocket needs HTTP/1.1")
    if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
        return _bad("an upgrade request has no body")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != VERSION:
        headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade, close"),
            ("Sec-WebSocket-Version", VERSION),
        ]
        return "426 Upgrade Required", headers, b"only WebSocket version 13 is spoken here\n"
    try:
        key = base64.b64decode(environ.get("HTTP_SEC_WEBSOCKET_KEY", ""), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    return None if len(key) == 16 else _bad("bad Sec-WebSocket-Key")


def accept(key: str) -> str:
    """The Sec-WebSocket-Accept value that answers a key."""
    digest = hashlib.sha1((key + GUID).encode("latin-1"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def subprotocol(environ: dict[str, Any]) -> str:
    """The one of the offered subprotocols that is spoken here; empty for none. A browser that has offered
    some wants one of them named in the answer."""
    return SUBPROTOCOL if SUBPROTOCOL in _offered(environ) else ""


def token_offered(environ: dict[str, Any]) -> str:
    """The bearer token that stands among the subprotocols, behind the one that is spoken; empty for none."""
    offered = _offered(environ)
    if SUBPROTOCOL not in offered:
        return ""
    return next((one[len(BEARER) :] for one in offered if one.startswith(BEARER)), "")


def _offered(environ: dict[str, Any]) -> list[str]:
    return [one.strip() for one in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]


def _tokens(header: str) -> set[str]:
    return {token.strip().lower() for token in header.split(",")}


def _bad(text: str) -> Refusal:
    return "400 Bad Request", [("Connection", "close")], text.encode() + b"\n"
