"""One timer for all audio of a worker: a beat every 10 ms.

What comes is read at every beat (`ears`), what is said is sent at every second one, by one half of the voices
each. So a worker is woken 100 times a second, however many sessions it has.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from . import logs
from .tasks import FRAME_MS

log = structlog.get_logger(__name__)

GROUPS = 2
BEAT_S = FRAME_MS / 1000 / GROUPS
EARLY_S = 0.0025
"""Beats may come that much before what is due on them: the loop's timers have milliseconds."""


class Paced(Protocol):
    def beat(self, now: float) -> bool:
        """Send what is due; False when it needs no more beats."""

    def close(self) -> None:
        """Its beat has failed."""


class Metronome:
    """Beats while somebody needs it. Times are `clock`'s, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self.clock = clock
        self._groups: list[list[Paced]] = [[] for _ in range(GROUPS)]
        self._always: list[Callable[[], bool]] = []
        self._number = 0
        """Of the next beat, since the clock began."""
        self._timer: asyncio.TimerHandle | None = None
        self.latest_s = 0.0
        """The most that a beat was late since somebody set it to 0."""

    def join(self, one: Paced, now: float) -> None:
        """Beat for it every 20 ms: on the first beat that is not too early for what is due in 20 ms, and on
        every second one."""
        self._groups[math.ceil((now - EARLY_S) / BEAT_S) % GROUPS].append(one)
        self._start(now)

    def leave(self, one: Paced) -> None:
        for at, group in enumerate(self._groups):
            if one in group:
                self._groups[at] = [other for other in group if other is not one]

    def at_every_beat(self, look: Callable[[], bool]) -> None:
        """Call it at every beat, before who speaks, until it returns False."""
        self._always.append(look)
        self._start(self.clock())

    def _start(self, now: float) -> None:
        if self._timer is None:
            self._number = int(now / BEAT_S) + 1
            self._set(now)

    def _set(self, now: float) -> None:
        self._timer = self._loop.call_later(max(0.0, self._number * BEAT_S - now), self._beat)

    def _beat(self) -> None:
        now = self.clock()
        self.latest_s = max(self.latest_s, now - self._number * BEAT_S)
        # the loop's timers may come a millisecond early; after a stall each group has its beat once
        last = max(self._number, int(now / BEAT_S))
        self._always = [look for look in self._always if _looked(look)]
        for number in range(max(self._number, last - GROUPS + 1), last + 1):
            at = number % GROUPS
            done = [one for one in self._groups[at] if not _beaten(one, now)]
            if done:
                self._groups[at] = [one for one in self._groups[at] if one not in done]
        self._number = last + 1
        if self._always or any(self._groups):
            self._set(self.clock())
        else:
            self._timer = None


def _looked(look: Callable[[], bool]) -> bool:
    """Whether it is to be called again."""
    try:
        return look()
    except Exception as fault:
        log.error("fault at a beat", **logs.described(fault))
        return True


def _beaten(one: Paced, now: float) -> bool:
    """Whether it needs more beats. What goes wrong in one is not to silence the others."""
    try:
        return one.beat(now)
    except Exception as fault:
        log.error("fault of a voice", **logs.described(fault))
        one.close()
        return False
