"""The times in which a service is cut off from Redis, and tells its own clients of its own events alone."""

from __future__ import annotations

from collections import deque

import structlog

from ..ownership.turn import now
from .entries import Mark

log = structlog.get_logger(__name__)

MAX_TIMES = 100
"""Times that are remembered; what is in the stream since then has been read long ago."""


class Apart:
    """Of the service whose events have this origin. `told` is always its own last event that its clients were
    told of, `read` the cursor up to which it has read the stream, None before the first look at it."""

    def __init__(self, origin: int) -> None:
        self._origin = origin
        self._times: deque[Mark] = deque(maxlen=MAX_TIMES)
        """What was told apart; the last one is under way while `on`."""
        self._marked = 0
        """Up to which of our events others know that it was."""
        self.on = False
        self.since = 0.0
        """When Redis did not answer last (`turn.now`)."""

    def begin(self, told: int, read: int | None) -> bool:
        """Redis does not answer; False when that was known."""
        self.since = now()
        if self.on:
            return False
        self.on = True
        self._times.append(Mark(self._origin, told + 1, told, -1 if read is None else read, 0))
        log.warning("events of other services do not come; own ones are told at once")
        return True

    def end(self) -> None:
        """All that we have is in the stream, and told: the next ones go there and come from there."""
        self.on = False
        if self._times[-1].last < self._times[-1].first:
            self._times.pop()  # nothing was published
        log.info("events of all services come again")

    def to_mark(self, told: int, read: int | None) -> tuple[str, str]:
        """What others are to know of it: a field, and its value; or nothing."""
        if not self.on or told < self._times[-1].first:
            return "", ""
        mark = self._times[-1]
        base = mark.base if mark.base >= 0 else read or 0
        self._times[-1] = mark = mark._replace(base=base, last=told)
        return f"{mark.origin}:{mark.first}", f"{mark.last}:{mark.base}"

    def marked(self) -> None:
        """Others know of what `to_mark` has answered last."""
        self._marked = self._times[-1].last

    def unmarked(self, told: int) -> bool:
        """Whether there is what was told apart, of which others do not know that yet."""
        return self.on and told > max(self._marked, self._times[-1].first - 1)

    def covers(self, number: int, told: int) -> bool:
        """Whether an event of ours was told apart."""
        if self.on and self._times[-1].first <= number <= told:
            return True
        return any(mark.first <= number <= mark.last for mark in self._times)
