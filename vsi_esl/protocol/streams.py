"""WebSocket endpoints beside VSI: those that features have registered."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from ..access.tokens import Access, Scope
from ..errors import VsiError
from .confinement import allowed, check_named
from .ids import Id, check_ids
from .schemas import Payload, check_sizes, load

if TYPE_CHECKING:
    from ..calls.context import Context

PARAMETER = re.compile(r"\{(\w+)\}")


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

    def hand_over(self, give: Callable[[int, bytes], None], close: Callable[[], None]) -> None:
        """Have another process go on with it: `give` gets the descriptor and what has been read already,
        `close` is called when it is to be closed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants to open: the ids of the path, the first of each query parameter, who it is, the
    query as the stream's payload has it, and the headers of the request by their usual spelling."""

    ids: Mapping[str, str]
    query: Mapping[str, str]
    access: Access
    arguments: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


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
    payload: Payload | None = None
    """What the query may say."""


_streams: dict[str, Stream] = {}


def stream(
    path: str,
    *,
    ids: Mapping[str, type[Id]] | None = None,
    query: type[Payload] | None = None,
    scope: Scope = Scope.CONTROL,
) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of a WebSocket at a path below /v1.

    It is called before the upgrade as `handler(ctx, asked)`, raises VsiError to refuse it, and returns what
    serves the connection; when that returns the connection is closed. An id that a confined token may not
    see is for the handler one that nothing has; of the query, what it may not name is refused as it is of a
    command. ValueError for a path that is taken, a parameter that `ids` does not name, and a handler without
    a docstring.
    """
    named = dict(ids or {})
    payload = query() if query is not None else None
    if payload is not None:
        check_ids(payload)
        check_sizes(payload)

    def register(handler: Handler) -> Handler:
        if path in _streams:
            raise ValueError(f"two streams at {path}")
        if set(PARAMETER.findall(path)) != set(named):
            raise ValueError(f"{path}: ids must say what each parameter names")
        if not handler.__doc__:
            raise ValueError(f"the handler of {path} has no docstring")
        summary = handler.__doc__.strip().splitlines()[0]
        _streams[path] = Stream(path, summary, scope, named, handler, payload)
        return handler

    return register


def registered() -> Mapping[str, Stream]:
    """Path below /v1 -> stream."""
    return _streams


def find(path: str) -> Stream | None:
    """The stream at a path below /v1, as it was sent."""
    return next((one for one in _streams.values() if _match(one.path, path)), None)


def begin(
    ctx: Context,
    one: Stream,
    path: str,
    query: Mapping[str, str],
    access: Access,
    *,
    headers: Mapping[str, str] | None = None,
) -> Serve:
    """What serves a connection that is about to be upgraded. Raises VsiError when it must not be."""
    access.require(one.scope)
    arguments: dict[str, Any] = {}
    if one.payload is not None:
        arguments = load(one.payload, query)
        if access.confined:
            check_named(ctx, access, one.payload, arguments)
    found = _match(one.path, path)
    ids = {name: unquote(value) for name, value in (found.groupdict() if found else {}).items()}
    replaced: dict[str, str] = {}
    for name, value in ids.items():
        if access.confined and not allowed(ctx, access, one.ids[name], value):
            replaced[name] = str(uuid.uuid4())
    try:
        return one.handler(ctx, Asked(ids | replaced, query, access, arguments, headers or {}))
    except VsiError as error:
        for name, nobody in replaced.items():
            error.message = error.message.replace(nobody, ids[name])
        raise


def _match(pattern: str, path: str) -> re.Match[str] | None:
    return re.fullmatch(PARAMETER.sub(r"(?P<\1>[^/]+)", pattern), path)
