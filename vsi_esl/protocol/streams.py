"""WebSocket endpoints beside VSI: those that features have registered, and those that do not exist here yet.

The latter answer 501 by name. One that is registered takes the place of its line here.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from ..access.tokens import Access, Scope
from ..errors import VsiError
from .confinement import allowed
from .ids import Id

if TYPE_CHECKING:
    from ..calls.context import Context

PARAMETER = re.compile(r"\{(\w+)\}")

PLANNED = {
    "/legs/websocket": "legs over a WebSocket",
    "/rooms/{id}/ws": "room participants over a WebSocket",
}
"""Endpoints of the reference server that carry media: path below /v1, and what is not implemented yet."""


class Socket(Protocol):
    """An upgraded connection. What is sent is waited for, within the service's limits."""

    def receive(self) -> str | bytes | None:
        """The next message; None when the client has closed."""

    def send_text(self, data: str | bytes) -> None:
        """Send a text message."""

    def send_frame(self, message: str | bytes, opcode: int) -> None:
        """Send a message of this kind (RFC 6455, 11.8)."""

    def close(self, code: int = 1000, message: str | bytes | None = "") -> None:
        """Close with a code of RFC 6455, 7.4.1."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants to open: the ids of the path, the first of each query parameter, and who it is."""

    ids: Mapping[str, str]
    query: Mapping[str, str]
    access: Access


Serve = Callable[[Socket], None]
Handler = Callable[["Context", Asked], Serve]


@dataclass(frozen=True, slots=True)
class Stream:
    """One endpoint. `ids` says what each parameter of the path names."""

    path: str
    summary: str
    scope: Scope
    ids: Mapping[str, type[Id]]
    handler: Handler


_streams: dict[str, Stream] = {}


def stream(
    path: str, *, ids: Mapping[str, type[Id]] | None = None, scope: Scope = Scope.CONTROL
) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of a WebSocket at a path below /v1.

    It is called before the upgrade as `handler(ctx, asked)`, raises VsiError to refuse it, and returns what
    serves the connection; when that returns the connection is closed. An id that a confined token may not
    see is for the handler one that nothing has. ValueError for a path that is taken, a parameter that `ids`
    does not name, and a handler without a docstring.
    """
    named = dict(ids or {})

    def register(handler: Handler) -> Handler:
        if path in _streams:
            raise ValueError(f"two streams at {path}")
        if set(PARAMETER.findall(path)) != set(named):
            raise ValueError(f"{path}: ids must say what each parameter names")
        if not handler.__doc__:
            raise ValueError(f"the handler of {path} has no docstring")
        _streams[path] = Stream(path, handler.__doc__.strip().splitlines()[0], scope, named, handler)
        return handler

    return register


def registered() -> Mapping[str, Stream]:
    """Path below /v1 -> stream."""
    return _streams


def planned(path: str) -> str:
    """What a path below /v1 would be the stream of; empty for none."""
    return next((what for pattern, what in PLANNED.items() if _match(pattern, path)), "")


def find(path: str) -> Stream | None:
    """The stream at a path below /v1, as it was sent."""
    return next((one for one in _streams.values() if _match(one.path, path)), None)


def begin(ctx: Context, one: Stream, path: str, query: Mapping[str, str], access: Access) -> Serve:
    """What serves a connection that is about to be upgraded. Raises VsiError when it must not be."""
    access.require(one.scope)
    found = _match(one.path, path)
    ids = {name: unquote(value) for name, value in (found.groupdict() if found else {}).items()}
    replaced: dict[str, str] = {}
    for name, value in ids.items():
        if access.confined and not allowed(ctx, access, one.ids[name], value):
            replaced[name] = str(uuid.uuid4())
    try:
        return one.handler(ctx, Asked(ids | replaced, query, access))
    except VsiError as error:
        for name, nobody in replaced.items():
            error.message = error.message.replace(nobody, ids[name])
        raise


def _match(pattern: str, path: str) -> re.Match[str] | None:
    return re.fullmatch(PARAMETER.sub(r"(?P<\1>[^/]+)", pattern), path)
