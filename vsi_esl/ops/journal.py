"""The log's account of the calls: a line of level debug for each VSI event, with its ids and nothing that was
said; and what features tell of a call when it is over, at info.

A line takes longer to write than its event to publish. So lines wait, in order, until whoever published has
nothing more to do: a command is answered before its events are in the log.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import fields
from functools import cache, partial
from typing import Any

import structlog
from gevent.event import Event as Signal

from .. import lasting
from ..events.base import Event
from ..events.legs import LegDisconnected
from . import logs

log = structlog.get_logger(__name__)

MAX_WAITING = 256
"""Lines that wait at most; with more they are written there and then."""


class Journal:
    """Keeps the account of one service."""

    def __init__(self) -> None:
        self._lines: deque[tuple[Context, Callable[[], Any]]] = deque()
        self._waiting = Signal()
        self._writer = lasting.keep(self._write_on, again=self._waiting.set)

    def keep(self, event: Event, event_id: str, frame: bytes) -> None:
        """A sink of the event bus. The ids of the command that led to it are on the line as on others."""
        if not logs.shows(logging.DEBUG):
            return
        line: dict[str, Any] = {"type": event.type, "event_id": event_id}
        line |= {name: value for name in _ids(type(event)) if (value := getattr(event, name))}  # type: ignore[arg-type]
        if isinstance(event, LegDisconnected):
            line["reason"] = event.cdr.get("reason")
        self.tell(log.debug, "vsi event", line)

    def tell(self, write: Callable[..., Any], text: str, line: dict[str, Any]) -> None:
        """Have `write`, a method of a logger, write this line soon, behind those that wait."""
        self._lines.append((copy_context(), partial(write, text, **line)))
        if len(self._lines) >= MAX_WAITING:
            self._write()
        else:
            self._waiting.set()

    def close(self) -> None:
        """Write what waits, and end."""
        self._writer.kill()
        self._write()

    def _write_on(self) -> None:
        while True:
            self._waiting.wait()
            self._waiting.clear()
            self._write()

    def _write(self) -> None:
        while self._lines:
            context, write = self._lines.popleft()
            context.run(write)


@cache
def _ids(kind: type[Event]) -> tuple[str, ...]:
    named = (field.name for field in fields(kind) if field.name not in kind.not_logged)
    return tuple(name for name in named if name.endswith("_id"))
