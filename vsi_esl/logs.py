"""Structured logs: JSON lines for machines, coloured lines for people; nothing that must stay private."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

PRIVATE = frozenset(
    "password secret token authorization webhook_secret auth digits digit transcript text".split()
)
"""Members of a log line that are hidden unless the level is debug, at any depth and in any case."""

REDACTED = "[redacted]"
MAX_DEPTH = 16


def setup(level: str = "info", fmt: str = "auto", stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records to `stream`.

    The service logs to standard output, as the reference server does; a command whose output is its result
    passes `sys.stderr`. `fmt` is json, console, or auto: console when the stream is a terminal.
    """
    out = stream or sys.stdout
    console = fmt == "console" or (fmt == "auto" and out.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if level != "debug":
        shared.append(hide_private)
    last: list[Any] = (
        # plain: the rich traceback prints local variables, and with them whatever secret a frame holds
        [
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
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
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])


def hide_private(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of private members, also inside mappings and lists; those stay as they are."""
    for key, value in event.items():
        if key.lower() in PRIVATE:
            event[key] = REDACTED
        elif key != "exc_info" and not key.startswith("_"):  # those are structlog's own objects
            event[key] = _hidden(value, MAX_DEPTH)
    return event


def _hidden(value: Any, depth: int) -> Any:
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if depth == 0:
        return REDACTED
    if isinstance(value, Mapping):
        return {
            key: REDACTED if str(key).lower() in PRIVATE else _hidden(inner, depth - 1)
            for key, inner in value.items()
        }
    return [_hidden(inner, depth - 1) for inner in value]


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
