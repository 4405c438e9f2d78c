"""Events on their way into the outbox: kept in files that are only appended to, see `storage.segments`.

Nothing is sent from here, so a loss of power is the outbox's business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import structlog

from ...storage.database import MEMORY
from ...storage.segments import Segments
from .targets import Target

log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Arrival:
    """One event to be delivered. `number` counts up, `at` is Unix time in seconds."""

    number: int
    target: Target
    event_id: str
    type: str
    at: float
    frame: bytes


class WriteAhead:
    """Files beside the outbox at `path`; none for `:memory:`."""

    def __init__(self, path: str) -> None:
        self._segments = Segments("" if path == MEMORY else f"{path}.arrivals")

    def recover(self) -> Iterator[Arrival]:
        """What a previous process left, in order. To be called once, before anything is appended."""
        return self._segments.recover(_read)

    def append(self, arrival: Arrival) -> None:
        """Keep an event. When this has returned, kill -9 does not lose it. Raises OSError."""
        target = arrival.target
        head = [arrival.number, target.endpoint, target.key, target.url, target.secret]
        head += [arrival.event_id, arrival.type, arrival.at]
        # neither line has a line end within: JSON escapes those
        self._segments.append(arrival.number, orjson.dumps(head) + b"\n" + arrival.frame + b"\n")

    def committed(self, number: int) -> None:
        """Everything up to this number is in the outbox."""
        self._segments.committed(number)

    def close(self, committed: int) -> None:
        """Close, and leave only what is not in the outbox."""
        self._segments.close(committed)


def _read(name: str) -> Iterator[tuple[int, Arrival]]:
    with open(name, "rb") as file:
        while (head := file.readline()) and (frame := file.readline()).endswith(b"\n"):
            try:
                number, endpoint, key, url, secret, event_id, kind, at = orjson.loads(head)
            except (orjson.JSONDecodeError, ValueError):
                # only a loss of power leaves such a thing, and then nothing of it was sent
                log.error("unreadable rest of a file of arrivals", file=os.path.basename(name))
                return
            target = Target(endpoint, key, url, secret)
            yield number, Arrival(number, target, event_id, kind, at, frame[:-1])
