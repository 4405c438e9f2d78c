"""What a service that is gone has told of a switch's legs and rooms, for who takes the switch.

The state that goes with a switch is some milliseconds behind what was told, as an event is told first and
saved then. Who takes the switch would tell the last of it once more, with other ids: of what happens once in
the life of a leg or room, it is looked up in the stream whether it was told.
"""

from __future__ import annotations

import time

import orjson
import structlog

from ..errors import VsiError
from ..events.base import Event
from . import entries
from .events import SharedEvents

log = structlog.get_logger(__name__)

ONCE = frozenset(
    ("leg.ringing", "leg.early_media", "leg.connected", "leg.disconnected", "room.created", "room.deleted")
)
OF_A_FILE = frozenset(("recording.started",))
"""And these once for their file."""
LOOK_BACK = 2000
"""Entries of the stream that are looked at, the newest ones."""
KEPT_S = 60.0
"""How long after a switch was taken: by then its legs are adopted."""


class Told:
    """A filter of the bus."""

    def __init__(self, events: SharedEvents) -> None:
        self._events = events
        self._told: set[tuple[str, str]] = set()
        self._until = 0.0
        self.suppressed = 0
        events.bus.told = self.was_told

    def learn(self) -> None:
        """Look at the newest events. Waits."""
        redis, stream = self._events.redis, self._events.keys.stream
        try:
            rows = redis.command("XREVRANGE", stream, "+", "-", "COUNT", LOOK_BACK)
        except VsiError as error:
            log.info("events of a switch not read", reason=error.message)
            return
        for one in entries.entries(rows):
            if one.frame and one.origin != self._events.history.epoch:
                self._add(orjson.loads(one.frame))
        self._until = time.monotonic() + KEPT_S

    def _add(self, event: dict[str, str]) -> None:
        if event["type"] in ONCE:
            self._told.add((event["type"], event.get("leg_id") or event.get("room_id", "")))
        elif event["type"] in OF_A_FILE:
            self._told.add((event["type"], event["file"]))

    def was_told(self, event: Event) -> bool:
        """Whether clients had this from another service."""
        if not self._told:
            return False
        if time.monotonic() > self._until:
            self._told.clear()
            return False
        if event.type in OF_A_FILE:
            about = getattr(event, "file", "")
        else:
            about = getattr(event, "leg_id", None) or getattr(event, "room_id", "")
        if (event.type, about) not in self._told:
            return False
        self.suppressed += 1
        return True
