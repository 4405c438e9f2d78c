"""The command registry: one entry per command, from which dispatch and the REST face are derived.

A command is one decorated function in `commands/`. A name that is not the protocol's, a name taken twice,
a handler without a docstring, an id that does not say what it names and a path whose parameters are no ids
fail at import.
"""

from __future__ import annotations

import importlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from ..access.tokens import OPEN, Access, Scope
from ..errors import Invalid, NotSupported, VsiError
from ..ops import logs
from . import confinement, ids, names, replies, schemas, unknown

log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    from ..calls.context import Context

Handler = Callable[..., Any]

NO_COMMAND = "unknown"
"""What the metrics call a command that is none; nothing of a client's becomes a label."""


class Body(Enum):
    """What a REST route does with the request's body."""

    NONE = "none"
    """There is none; one that is sent is ignored."""
    REQUIRED = "required"
    OPTIONAL = "optional"
    """May be absent."""


@dataclass(frozen=True, slots=True)
class Rest:
    """The command's REST twin.

    `path` is below /v1, its parameters are named as members of the payload. The rest of the payload is the
    body; `names` says which members are called otherwise there: {name in the body: name in the payload}.
    With `within` the body is this one member of the payload. `group` is that of the REST document, when it is
    not that of what the command names. `takes` is for a GET that takes away what it answers: no token that
    only reads may send it.
    """

    method: str
    path: str
    status: int = 200
    body: Body = Body.NONE
    names: Mapping[str, str] = field(default_factory=dict)
    within: str = ""
    group: str = ""
    takes: bool = False

    @property
    def parameters(self) -> list[str]:
        """The members that the path gives."""
        return re.findall(r"\{(\w+)\}", self.path)


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `schema` is None for commands that never look at their payload."""

    name: str
    schema: schemas.Payload | None
    handler: Handler
    summary: str
    description: str
    """What there is to say besides; may be empty."""
    reply: Any
    """The type of what is answered, as `replies` has it."""
    rest: Rest | None
    logged_as: Mapping[str, str] = field(default_factory=dict)
    """Member in lower case -> its name on a log line, for the ids of the payload."""
    scope: Scope = field(init=False)
    """What a token needs: whatever is not read is controlled."""

    def __post_init__(self) -> None:
        reads = self.rest is not None and self.rest.method == "GET" and not self.rest.takes
        object.__setattr__(self, "scope", Scope.READ if reads else Scope.CONTROL)

    def ids_in(self, payload: Any) -> dict[str, str]:
        """What a payload names, under the names that a log line has for it."""
        found: dict[str, str] = {}
        if isinstance(payload, (dict, Mapping)):
            for member, value in payload.items():
                name = self.logged_as.get(str(member).lower())
                if name is not None and isinstance(value, str):
                    found[name] = value
        return found

    @property
    def version(self) -> str:
        """The version of the protocol that it came with."""
        return names.version_of(self.name)


_commands: dict[str, Command] = {}


def command(
    name: str, schema: type[schemas.Payload] | None, *, rest: Rest | None = None
) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of a VSI command.

    It is called as `handler(ctx, **payload)`, returns the reply's data, of the type that its annotation says,
    and raises VsiError to refuse. Its docstring is what the documents say of the command.
    """

    def take(handler: Handler) -> Handler:
        register(name, schema, handler, about=handler.__doc__ or "", rest=rest)
        return handler

    return take


def register(
    name: str,
    schema: type[schemas.Payload] | None,
    handler: Handler,
    *,
    about: str,
    rest: Rest | None,
    reply: Any = None,
) -> None:
    """What `command` does. `about` is a sentence, and behind an empty line more; `reply` the type of the
    answer, when the handler's annotation is not it."""
    if not names.is_command(name):
        raise ValueError(f"{name!r} is no command of the protocol")
    if name in _commands:
        raise ValueError(f"{name!r} is registered twice")
    summary, _, more = about.strip().partition("\n\n")
    if not summary:
        raise ValueError(f"the handler of {name!r} has no docstring")
    loader = schema() if schema else None
    try:
        if loader is not None:
            ids.check_ids(loader)
            schemas.check_sizes(loader)
            _check_path(loader, rest)
        reply = reply or replies.of_handler(handler)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    logged_as = {} if loader is None else ids.logged_as(loader)
    description = " ".join(more.split())
    _commands[name] = Command(name, loader, handler, summary, description, reply, rest, logged_as)


def _check_path(schema: schemas.Payload, rest: Rest | None) -> None:
    for name in rest.parameters if rest is not None else ():
        if name not in schema.fields or not ids.is_typed(schema.fields[name]):
            raise ValueError(f"{name} of the path is no id")


def load_commands() -> Mapping[str, Command]:
    """The registry, with the commands of the core and of all features."""
    # whatever has commands imports this module, so it cannot import them
    importlib.import_module("vsi_esl.features").declare()
    confinement.check(entry.schema for entry in _commands.values())
    return _commands


def pending() -> list[str]:
    """The commands of all versions of the protocol that nobody has registered, in its order."""
    known = names.known_commands()
    registered = load_commands()
    return [name for name in known if name not in registered and name not in names.CONNECTION_COMMANDS]


def log_lines(name: str, request_id: str | None, payload: Any) -> AbstractContextManager[None]:
    """`logs.bind` for a command: its name, and what it names; its private values are on no line."""
    entry = _commands.get(name)
    named = {} if entry is None else entry.ids_in(payload)
    return logs.bind(guard=payload, **{**named, "command": name, "request_id": request_id})


def dispatch(ctx: Context, name: str, payload: Any, access: Access = OPEN, *, forwarded: bool = False) -> Any:
    """Run a command and return its data, and count it. Raises VsiError, whatever was wrong with it. One that
    another service has `forwarded` is done here."""
    started = time.perf_counter()
    outcome = "500"
    try:
        data = _run(ctx, name, payload, access, forwarded)
        outcome = "ok"
        return data
    except VsiError as error:
        outcome = str(error.code)
        raise
    finally:
        seconds = time.perf_counter() - started
        ctx.metrics.command(name if names.is_command(name) else NO_COMMAND, outcome, seconds)
        if logs.shows(logging.DEBUG):
            log.debug("command done", code=outcome, ms=round(seconds * 1000, 2))


def _run(ctx: Context, name: str, payload: Any, access: Access, forwarded: bool) -> Any:
    entry = _commands.get(name)
    if entry is None:
        if names.is_command(name) and name not in names.CONNECTION_COMMANDS:
            raise NotSupported(f"{name} is not implemented by this server")
        raise Invalid(f"unknown command: {name}")
    access.require(entry.scope)
    arguments = schemas.load(entry.schema, payload) if entry.schema is not None else {}
    here = partial(done_here, ctx, entry, arguments, access)
    if ctx.elsewhere is None or forwarded:
        return here()
    return ctx.elsewhere.run(entry, payload, arguments, access, here)


def done_here(ctx: Context, entry: Command, arguments: dict[str, Any], access: Access) -> Any:
    """What the command's handler answers to this client. Raises VsiError."""
    unknown.await_calls(ctx, entry, arguments, access)
    if not access.confined:
        return entry.handler(ctx, **arguments)
    confined = confinement.Confinement(ctx, access, entry)
    try:
        return confined.result(entry.handler(ctx, **confined.arguments(arguments)))
    except VsiError as error:
        raise confined.error(error) from None
