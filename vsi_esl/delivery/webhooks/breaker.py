"""When to try again, and when to leave a receiver alone."""

from __future__ import annotations

import random
import time

from .failure import ANSWERED, UNREACHED, Undelivered

LANES_TO_OPEN = 3
"""So many lanes in a row that get no answer are the receiver's fault; one alone may be its event's."""
MAX_AVOIDED = 8
DOUBLINGS = 32


class Backoff:
    """Waits in seconds between two bounds: doubled with each attempt, the second half of each by chance."""

    def __init__(self, shortest: float, longest: float) -> None:
        self._shortest = shortest
        self._longest = max(shortest, longest)

    def wait(self, attempts: int) -> float:
        """How long to wait after so many failed attempts (from 1)."""
        whole = min(self._longest, self._shortest * 2 ** min(attempts - 1, DOUBLINGS))
        return max(self._shortest, random.uniform(whole / 2, whole))  # noqa: S311  (no secret)


class Breaker:
    """Open while a receiver is taken to be dead: then one probe at a time is all it gets."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._failed: set[str] = set()
        self._times = 0
        self.open = False
        self.due = 0.0
        """When the next probe may go out (monotonic)."""
        self.avoided: list[str] = []
        """Keys of the latest probes: the next one is of another lane, should it be the event's fault."""

    def succeeded(self) -> None:
        self.open = False
        self._failed.clear()
        self._times = 0
        self.avoided.clear()

    def failed(self, key: str, failure: Undelivered) -> None:
        """An event of this lane was not delivered."""
        if self.open:
            self.avoided = [*self.avoided[1 - MAX_AVOIDED :], key]
            self._again()
            return
        if failure.stage == ANSWERED:
            return  # somebody is there; what it refuses is this event, or what one of its URLs is sent
        self._failed.add(key)
        if failure.stage == UNREACHED or len(self._failed) >= LANES_TO_OPEN:
            self.trip()

    def trip(self) -> None:
        """Open."""
        self.open = True
        self._failed.clear()
        self._again()

    def _again(self) -> None:
        self._times += 1
        self.due = time.monotonic() + self._backoff.wait(self._times)
