"""The log's account of the calls: one line for each VSI event, with its ids and nothing that was said."""

from __future__ import annotations

import logging
from dataclasses import fields
from functools import cache

import structlog

from ..events.base import Event
from ..events.legs import LegDisconnected
from . import logs

log = structlog.get_logger(__name__)


def keep(event: Event, event_id: str, frame: bytes) -> None:
    """A sink of the event bus. The ids of the command that led to it are on the line as on every other."""
    if not logs.shows(logging.INFO):
        return
    told = {name: value for name in _ids(type(event)) if (value := getattr(event, name))}  # type: ignore[arg-type]
    if isinstance(event, LegDisconnected):
        told["reason"] = event.cdr.get("reason")
    log.info("vsi event", type=event.type, event_id=event_id, **told)


@cache
def _ids(kind: type[Event]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name.endswith("_id"))
