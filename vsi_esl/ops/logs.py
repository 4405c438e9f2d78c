"""Structured logs: JSON lines for machines, coloured lines for people; nothing that must stay private.

What is private is kept out of the lines where they are written. Should it get into one all the same, it is
taken out here: by the name of its member, by known forms within strings, and by comparison with what the
command under way brought. Lines of level debug show everything.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import lru_cache, partial, update_wrapper
from typing import Any, TextIO, TypeVar, cast

import gevent
import orjson
import structlog

from .logwriter import Behind

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

PRIVATE = frozenset(
    "password secret token authorization webhook_secret auth digits digit transcript text".split()
)
"""Members of a log line that are hidden unless the line is a debug one, at any depth and in any case."""
PRIVATE_WORDS = PRIVATE | frozenset("passwd passwords secrets tokens credentials cookie signature".split())
"""A member is private as well when one of these is a word of its name: `sip_auth_password`, `X-Secret`."""
PRIVATE_ENDINGS = ("_key", "accesskey", "secretkey", "apikey")
HEADER_MEMBERS = frozenset("headers sip_headers".split())
"""Mappings whose names may be seen, and whose values not."""

REDACTED = "[redacted]"
MAX_DEPTH = 16
MAX_ID = 64
"""Longest id of a client in a line."""
MAX_VALUE = 2000
MAX_TRACEBACK = 20_000
SHORTEST_GUARDED = 3
"""Values below are too common to be told from other text."""
MAX_GUARDED = 256

TALKATIVE = ("boto3", "botocore", "s3transfer", "urllib3")
"""Libraries whose debug lines hold signatures and whole requests; theirs begin at info."""

NOISY = "geventwebsocket"
"""Says each step of an upgrade, which the line of the connection says better."""

FORMS = re.compile(
    r"""(?ix)
      (?P<header>  (?:proxy-)?authorization ["']? \s*[:=]\s* )          [^\r\n]+
    | (?P<bearer>  \bbearer\s+ (?!token\s) )                                      \S+
    | (?P<login>   (?:^|:\s) (?:auth|userauth) \s+ )                    \S+
    | (?P<digits>  \buuid_(?:send|recv)_dtmf \s+ \S+ \s+ )              \S+
    | (?P<text>    \buuid_send_text \s+ \S+ \s+ )                      [^\r\n]+
    | (?P<setting> (?:password|secret|token|signature|credential) ["']? [=:] \s? )
                                                           (?:'[^']*'|"[^"]*"|(?:\\.|[^\s,;&}])+)
    | (?P<account> ://) [^/\s@]+ (?=@)
    """
)
"""Private values in strings: what comes before them stays."""

BARE = re.compile(r"[^\s:=]*\Z")
"""A string without what all of these forms have; most are, and looking for the forms took the longest."""

QUOTED = re.compile(r"""(?s)(?:(?<!\w)|(?<=\bb))['"].*['"]""")
"""From the first opening quote (no apostrophe) to the last one, since values may hold quotes themselves."""
NAMING_CODE = (AttributeError, TypeError, NameError, ImportError, OSError)
"""Errors that quote names, not values."""

_stdout: Behind | None = None

_guarded: ContextVar[Any] = ContextVar("vsi_esl_guarded", default=None)
_bound: ContextVar[dict[str, str]] = ContextVar("vsi_esl_bound", default={})  # noqa: B039  (never changed)
_lowest = {"level": logging.NOTSET}

Work = TypeVar("Work", bound=Callable[..., Any])
Line = MutableMapping[str, Any]


def write_behind() -> None:
    """Have a thread write what goes to standard output, from the next `setup` on. For a service: what cannot
    be written would hold it up."""
    global _stdout  # noqa: PLW0603  (as there is one standard output)
    _stdout = Behind(sys.stdout)


def lines_lost() -> int:
    """Lines that could not be written, since the start."""
    return _stdout.lost if _stdout is not None else 0


def setup(level: str = "info", fmt: str = "auto", stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records to `stream`.

    The service logs to standard output, as the reference server does; a command whose output is its result
    passes `sys.stderr`. `fmt` is json, console, or auto: console when the stream is a terminal.
    """
    out = stream or _stdout or sys.stdout
    _lowest["level"] = LEVELS[level]
    console = fmt == "console" or (fmt == "auto" and out.isatty())
    shared: list[Any] = [
        add_bound,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        count_survived,
        hide_private,
    ]
    last: list[Any] = (
        [
            printable,
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if console
        else [structlog.processors.JSONRenderer(serializer=_json)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                format_exception,
                scrub,
                *last,
            ],
        )
    )
    # who wrote a line, and in which thread, is in none of ours; finding out takes a third of its time
    logging._srcfile = None  # documented: "Optimization" in logging's HOWTO
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    logging.getLogger(NOISY).setLevel(logging.WARNING)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.INFO))


def shows(level: int) -> bool:
    """Whether lines of this level (`logging.INFO`, ...) are written. To be asked where there are thousands a
    second: making a line that nobody sees takes as long as counting ten events."""
    return level >= _lowest["level"]


def take_greenlet_errors() -> None:
    """Log what a greenlet fails with, which gevent would print as it is, private values and all."""
    log = structlog.get_logger("vsi_esl.greenlets")

    def tell(context: Any, *error: Any) -> None:
        work = getattr(context, "_run", context)
        log.error(
            "greenlet failed", exc_info=error, greenlet=getattr(work, "__qualname__", type(work).__name__)
        )

    gevent.get_hub().print_exception = tell


survived: Counter[tuple[str, str]] = Counter()
"""How often an error that nobody expected was survived, by part of the service and what failed."""


def count_survived(_: Any, __: str, event: Line) -> Line:
    """Count the lines with a traceback: those are bugs, ours or of a library."""
    if event.get("exc_info"):
        own, _dot, part = str(event.get("logger", "")).partition(".")
        # what libraries say is not of a limited number of texts
        survived[(part, str(event["event"])) if own == "vsi_esl" else ("library", "")] += 1
    return event


# -- what every line of a command or leg says --


def short(value: str, limit: int = MAX_ID) -> str:
    """A client's value as a line may have it."""
    return value if len(value) <= limit else f"{value[: limit - 1]}…"


@contextmanager
def bind(*, guard: Any = None, **ids: str | None) -> Iterator[None]:
    """Put ids (request_id, leg_id, room_id, ...) on every line written inside; empty ones are left out.

    `guard` is what a client sent: its private values are taken out of the lines, tracebacks included.
    """
    shown = {name: short(value) for name, value in ids.items() if value}
    ids_before = _bound.set({**_bound.get(), **shown})
    guard_before = _guarded.set(guard) if guard is not None else None
    try:
        yield
    finally:
        if guard_before is not None:
            _guarded.reset(guard_before)
        _bound.reset(ids_before)


def add_bound(_: Any, __: str, event: Line) -> Line:
    """Put what is bound on a line; what the line says itself comes first."""
    for name, value in _bound.get().items():
        event.setdefault(name, value)
    return event


def carry(work: Work) -> Work:
    """`work` with the ids and the guard of now, which neither a new greenlet nor a queue takes along."""
    return cast(Work, update_wrapper(partial(copy_context().run, work), work))


# -- what no line says --


@lru_cache(maxsize=4096)
def private(name: str) -> bool:
    """Whether a member of this name is hidden."""
    lower = name.lower()
    if lower in PRIVATE or lower.endswith(PRIVATE_ENDINGS):
        return True
    return not PRIVATE_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", lower))


def hide_private(_: Any, method: str, event: Line) -> Line:
    """Replace the values of private members, also inside mappings and lists; those stay as they are."""
    if method == "debug":
        return event
    for key, value in event.items():
        if key != "exc_info" and not key.startswith("_"):  # those are structlog's own objects
            event[key] = _hidden(key, value, MAX_DEPTH)
    return event


def _hidden(key: str, value: Any, depth: int) -> Any:
    if private(key):
        return REDACTED
    if not isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return value
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        if key.lower() in HEADER_MEMBERS:
            return dict.fromkeys(value, REDACTED)
        return {name: _hidden(str(name), inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden("", inner, depth - 1) for inner in value]
    return value  # sets hold no mappings


def scrub(_: Any, __: str, event: Line) -> Line:
    """Take private values out of strings, and shorten what is long."""
    if event.get("level") == "debug":
        return event
    guarded = _private_values(_guarded.get())
    for key, value in event.items():
        limit = MAX_TRACEBACK if key == "exception" else MAX_VALUE
        event[key] = _scrubbed(value, guarded, limit, MAX_DEPTH)
    return event


def _scrubbed(value: Any, guarded: list[str], limit: int, depth: int) -> Any:
    if isinstance(value, str):
        value = value[: 4 * limit]
        for one in guarded:
            value = value.replace(one, REDACTED)
        return short(value if BARE.match(value) else FORMS.sub(_keep_the_start, value), limit)
    if isinstance(value, (bool, float, type(None))):
        return value
    if isinstance(value, int):
        return REDACTED if guarded and str(value) in guarded else value
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return {key: _scrubbed(inner, guarded, limit, depth - 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(inner, guarded, limit, depth - 1) for inner in value]
    return _scrubbed(str(value), guarded, limit, depth)  # as the renderer would show it


def _keep_the_start(match: re.Match[str]) -> str:
    return f"{match.group(match.lastgroup or 0)}{REDACTED}"


def _private_values(payload: Any) -> list[str]:
    """The strings in private members of a payload, longest first."""
    if payload is None:
        return []
    found: set[str] = set()
    todo: list[tuple[Any, bool, int]] = [(payload, False, MAX_DEPTH)]
    while todo and len(found) < MAX_GUARDED:
        value, hidden, depth = todo.pop()
        if isinstance(value, str):
            if hidden and len(value) >= SHORTEST_GUARDED:
                found.add(value)
        elif depth and isinstance(value, Mapping):
            for key, inner in value.items():
                name = str(key)
                todo.append((inner, hidden or private(name) or name.lower() in HEADER_MEMBERS, depth - 1))
        elif depth and isinstance(value, (list, tuple)):
            todo += [(inner, hidden, depth - 1) for inner in value]
    # as they are, and as a repr shows them
    found |= {repr(one)[1:-1] for one in found}
    return sorted(found, key=len, reverse=True)


def format_exception(_: Any, __: str, event: Line) -> Line:
    """The traceback as text: frames and source lines, no local variables; of the message, no values.

    What an error quotes may be what a client sent, so it is left out unless the line is a debug one.
    """
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    if isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        event["exception"] = _traceback(found, event.get("level") == "debug", set())
    return event


def _traceback(error: BaseException, plain: bool, seen: set[int]) -> str:
    seen.add(id(error))
    parts: list[str] = []
    cause = error.__cause__
    joint = "The above exception was the direct cause of the following exception:"
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
        joint = "During handling of the above exception, another exception occurred:"
    if cause is not None and id(cause) not in seen and len(seen) < MAX_DEPTH:
        parts += [_traceback(cause, plain, seen), "", joint, ""]
    if error.__traceback__ is not None:
        frames = "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
        parts += ["Traceback (most recent call last):", frames]
    message = _message(error, plain)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    parts.append(f"{name}: {message}" if message else name)
    return "\n".join(parts)


def _message(error: BaseException, plain: bool) -> str:
    try:
        text = str(error)
    except Exception:
        return "(no message)"
    if plain or isinstance(error, NAMING_CODE):
        return text
    if isinstance(error, KeyError):
        return REDACTED  # its message is the key, whatever that is
    return QUOTED.sub(f"'{REDACTED}'", text)


def printable(_: Any, __: str, event: Line) -> Line:
    """For terminals: what is not printable is written as an escape, so that no line is two, or coloured."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode("ascii")
    if isinstance(trace := event.get("exception"), str):
        event["exception"] = "".join(
            one if one == "\n" or one.isprintable() else repr(one)[1:-1] for one in trace
        )
    return event


def _json(event: Any, **_: Any) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        pass
    try:
        # half surrogates and integers beyond 64 bits, which orjson refuses; a log line is not to be lost
        return json.dumps(event, default=str)
    except (TypeError, ValueError):
        return json.dumps({"event": str(event.get("event")), "unprintable": repr(event)})
