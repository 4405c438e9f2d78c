"""Tracebacks as text: frames and source lines, no local variables; of the message, no values."""

from __future__ import annotations

import re
import sys
import traceback
from typing import Any

from .privacy import MAX_DEPTH, REDACTED, Line

QUOTED = re.compile(r"""(?s)(?:(?<!\w)|(?<=\bb))['"].*['"]""")
"""From the first opening quote (no apostrophe) to the last one, since values may hold quotes themselves."""
NAMING_CODE = (AttributeError, TypeError, NameError, ImportError, OSError)
"""Errors that quote names, not values."""


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
