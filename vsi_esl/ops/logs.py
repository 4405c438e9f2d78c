"""Structured logs: JSON lines for machines, coloured lines for people; nothing that must stay private.

What is private is kept out of the lines where they are written. Should it get into one all the same, it is
taken out (`privacy`). Lines of level debug show everything.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, TextIO

import gevent
import orjson
import structlog

from . import privacy
from .logwriter import Behind
from .privacy import Line, short
from .tracebacks import format_exception

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

TALKATIVE = ("boto3", "botocore", "s3transfer", "urllib3")
"""Libraries whose debug lines hold signatures and whole requests; theirs begin at info."""

NOISY = "geventwebsocket"
"""Says each step of an upgrade, which the line of the connection says better."""

_stdout: Behind | None = None

_bound: ContextVar[dict[str, str]] = ContextVar("vsi_esl_bound", default={})  # noqa: B039  (never changed)
_lowest = {"level": logging.NOTSET}


def write_behind() -> None:
    """Have a thread write what goes to standard output, from the next `setup` on. For a service: what cannot
    be written would hold it up."""
    global _stdout  # noqa: PLW0603  (as there is one standard output)
    _stdout = Behind(sys.stdout)


def lines_lost() -> int:
    """Lines that could not be written, since the start."""
    return _stdout.lost if _stdout is not None else 0


def setup(
    level: str = "info", fmt: str = "auto", stream: TextIO | None = None, *, numbers: bool = False
) -> None:
    """Send structlog's and the standard library's records to `stream`.

    The service logs to standard output, as the reference server does; a command whose output is its result
    passes `sys.stderr`. `fmt` is json, console, or auto: console when the stream is a terminal. With
    `numbers` lines may say who called whom.
    """
    out = stream or _stdout or sys.stdout
    _lowest["level"] = LEVELS[level]
    privacy.show_numbers(numbers)
    console = fmt == "console" or (fmt == "auto" and out.isatty())
    shared: list[Any] = [
        add_bound,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        count_survived,
        privacy.hide_private,
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
                privacy.scrub,
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


class Bound:
    """What `bind` says. Every command is surrounded by one, and a generator would take twice as long."""

    __slots__ = ("_guard", "_guard_before", "_ids", "_ids_before")

    def __init__(self, guard: Any, ids: Mapping[str, str]) -> None:
        self._guard, self._ids = guard, ids
        self._guard_before: Token[Any] | None = None

    def __enter__(self) -> None:
        self._ids_before = _bound.set({**_bound.get(), **self._ids})
        if self._guard is not None:
            self._guard_before = privacy.guarded.set(self._guard)

    def __exit__(self, *_: object) -> None:
        if self._guard_before is not None:
            privacy.guarded.reset(self._guard_before)
        _bound.reset(self._ids_before)


def bind(*, guard: Any = None, **ids: str | None) -> Bound:
    """Put ids (request_id, leg_id, room_id, ...) on every line written inside; empty ones are left out.

    `guard` is what a client sent: its private values are taken out of the lines, tracebacks included.
    """
    return Bound(guard, {name: short(value) for name, value in ids.items() if value})


def add_bound(_: Any, __: str, event: Line) -> Line:
    """Put what is bound on a line; what the line says itself comes first."""
    for name, value in _bound.get().items():
        event.setdefault(name, value)
    return event


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
