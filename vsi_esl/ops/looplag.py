"""How late the event loop comes to what is due, and who held it up.

One greenlet is woken at short intervals and sees how late that is: so late was whatever else became ready in
the meantime. A native thread, which a busy loop cannot hold up, looks at where the loop's thread is when that
greenlet is overdue. gevent's own monitor thread does not fit: it traces every switch of greenlets, which is
paid for by each event, knows no histogram, and prints instead of logging.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

import gevent
import structlog
from gevent import monkey

from .. import lasting

log = structlog.get_logger(__name__)

EVERY_S = 0.025
"""Between two looks of the greenlet."""
HELD_S = 0.1
"""So late is told in the log."""
TELL_EVERY_S = 10.0
"""At most one line in so many seconds; the next one says how many there were not."""
MAX_SAMPLES = 20
DEEPEST = 15
"""Frames of a stack that are told, from the innermost on."""

Stack = tuple[str, ...]

# the loop must be seen from outside: a thread of gevent's is a greenlet, and its sleep waits for the loop
_start_thread = monkey.get_original("_thread", "start_new_thread")
_lock = monkey.get_original("_thread", "allocate_lock")
_ident = monkey.get_original("_thread", "get_ident")


class LoopWatch:
    """Watches the loop of the thread it is started in. `observe` gets each lateness, in seconds; what is
    later than `held` is told in the log."""

    def __init__(self, observe: Callable[[float], None], held: float = HELD_S) -> None:
        self._observe = observe
        self._held = held
        self._due = 0.0
        self._thread_id = 0
        self._samples: Counter[Stack] = Counter()
        self._told_at = 0.0
        self._untold = 0
        self._greenlet: gevent.Greenlet | None = None
        self._running = _lock()
        """Held until the thread is to end."""
        self.watching = False
        """Whether the thread is there."""

    @property
    def samples(self) -> int:
        """How often the loop's thread was looked at since the greenlet had its last turn."""
        return self._samples.total()

    def start(self) -> None:
        """Begin. To be called once, in the loop's thread."""
        self._thread_id = _ident()
        self._due = time.monotonic() + EVERY_S
        self._running.acquire()
        self.watching = True
        self._greenlet = lasting.keep(self._beat)
        _start_thread(self._watch, ())

    def stop(self) -> None:
        """End; the thread does so within moments."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None
            self._running.release()

    def _beat(self) -> None:
        busy = time.thread_time()
        while True:
            gevent.sleep(EVERY_S)
            now = time.monotonic()
            late, before = max(0.0, now - self._due), busy
            busy = time.thread_time()
            self._due = now + EVERY_S
            samples, self._samples = self._samples, Counter()
            self._observe(late)
            if late > self._held:
                self._tell(late, busy - before, samples)

    def _tell(self, late: float, busy: float, samples: Counter[Stack]) -> None:
        """`busy` is the CPU time of the loop's thread: much less than `late` when it waited in a call of the
        system, or the machine had no time for it."""
        now = time.monotonic()
        if self._told_at and now - self._told_at < TELL_EVERY_S:
            self._untold += 1
            return
        stack, count = samples.most_common(1)[0] if samples else ((), 0)
        log.warning(
            "the event loop was held up",
            seconds=round(late, 3),
            cpu_seconds=round(busy, 3),
            held_by=list(stack),
            seen=f"{count} of {samples.total()} times",
            more=self._untold or None,
        )
        self._told_at, self._untold = now, 0

    # -- in the native thread: nothing here may touch the loop, or a lock of gevent's ------------------------

    def _watch(self) -> None:
        while not self._running.acquire(timeout=self._patience()):
            if time.monotonic() - self._due > self._held and self.samples < MAX_SAMPLES:
                frame = sys._current_frames().get(self._thread_id)
                if frame is not None:
                    self._samples[stack_of(frame)] += 1
        self.watching = False

    def _patience(self) -> float:
        """Until the greenlet is overdue if it has no turn, or until the next look when it is."""
        overdue = self._due + self._held - time.monotonic()
        return overdue + 0.001 if overdue > 0 else self._held


def stack_of(frame: FrameType) -> Stack:
    """Module, line and function of a frame and those that called it, the innermost first. Nothing of what
    their variables hold."""
    found: list[str] = []
    above: FrameType | None = frame
    while above is not None and len(found) < DEEPEST:
        found.append(f"{above.f_globals.get('__name__', '?')}:{above.f_lineno} {above.f_code.co_name}")
        above = above.f_back
    return tuple(found)
