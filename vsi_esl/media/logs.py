"""The log of a worker: JSON lines on stderr, as the service writes them. What was said, written or is secret
never comes here: of a fault there is its type and where it happened, not its text."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress

import structlog


def setup(level: str = "info") -> None:
    """Begin; `level` is debug, info, warn or error."""
    number = {"debug": 10, "info": 20, "warn": 30, "error": 40}[level]
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: Lines(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Library())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class Lines:
    """Writes lines. Whoever read them may be gone: that is not to keep the worker from ending."""

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    log = debug = info = warn = warning = error = critical = msg


class _Library(logging.Formatter):
    """A library's line: who and where; its text may quote what came over the wire."""

    def format(self, record: logging.LogRecord) -> str:
        fault = record.exc_info[1] if record.exc_info else None
        line = {
            "event": "said by a library",
            "logger": record.name,
            "at": f"{record.module}:{record.lineno}",
            "level": record.levelname.lower(),
            **(described(fault) if fault is not None else {}),
        }
        rendered = structlog.processors.JSONRenderer()(None, "", line)
        return rendered if isinstance(rendered, str) else rendered.decode()


def described(fault: BaseException) -> dict[str, str]:
    """Members of a line for a fault."""
    steps = traceback.extract_tb(fault.__traceback__)[-6:]
    places = [f"{step.filename.rpartition('site-packages/')[2]}:{step.lineno}" for step in steps]
    return {"fault": type(fault).__name__, "trace": " ".join(places)}
