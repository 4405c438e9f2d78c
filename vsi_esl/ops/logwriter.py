"""Log lines on their way out: taken at once, and written by a native thread.

Whoever reads them may stop: a terminal that was stopped, a full pipe, a journal on a disk that is busy. With
the writing in the event loop every call stood still then. Here the lines wait, up to a bound; what is more
gets lost.
"""

from __future__ import annotations

import atexit
import os
from typing import TextIO

import structlog
from gevent import monkey

log = structlog.get_logger(__name__)

MAX_WAITING = 16 << 20
"""Characters that wait for somebody to read them."""
BLOCK = 64 << 10
"""About so many characters go out in one write."""
GATHER_S = 0.02
"""How long lines are gathered: a thread woken for each one takes the interpreter from the event loop."""
CLOSE_S = 2.0
AGAIN_S = 0.05
"""Between two attempts where the other end has made the descriptor non-blocking."""

# a queue of gevent's would have the thread wait for the event loop
_Queue = monkey.get_original("queue", "SimpleQueue")
_start_thread = monkey.get_original("_thread", "start_new_thread")
_lock = monkey.get_original("_thread", "allocate_lock")
_sleep = monkey.get_original("time", "sleep")


class Behind:
    """What a logging handler writes to, in the place of `stream`. For handlers, which write one at a time."""

    def __init__(self, stream: TextIO, max_waiting: int = MAX_WAITING) -> None:
        self._descriptor = stream.fileno()
        self._terminal = stream.isatty()
        self._max_waiting = max_waiting
        self._lines = _Queue()
        self._taken = self._written = 0
        """Characters; each is counted by one side only."""
        self._untold = 0
        self.lost = 0
        """Lines for which there was no room, or nobody any more to read them."""
        self._open = True
        self._over = _lock()
        self._over.acquire()
        _start_thread(self._run, ())
        atexit.register(self.close)

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        """Take a line. Does not wait."""
        if self._taken - self._written + len(text) > self._max_waiting:
            self.lost += 1
            self._untold += 1
            return 0
        lost, self._untold = self._untold, 0
        self._taken += len(text)
        self._lines.put(text)
        if lost:
            log.error("log lines were lost", count=lost)
        return len(text)

    def flush(self) -> None:
        """Nothing to do: the thread writes as soon as it can."""

    def close(self, timeout: float = CLOSE_S) -> None:
        """Have written what waits, for at most so many seconds. Waits in the event loop: for the very end."""
        if self._open:
            self._open = False
            self._lines.put(None)
            if self._over.acquire(timeout=timeout):
                self._over.release()

    # -- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        line: str | None = ""
        while line is not None:
            block: list[str] = []
            size = 0
            while size < BLOCK and (not block or not self._lines.empty()):
                line = self._lines.get()
                if line is None:
                    break
                block.append(line)
                size += len(line)
                if len(block) == 1 and self._open:
                    _sleep(GATHER_S)
            try:
                self._put("".join(block).encode("utf-8", "backslashreplace"))
            except OSError:  # nobody will read any more
                self.lost += len(block)
            self._written += size
        self._over.release()

    def _put(self, data: bytes) -> None:
        unwritten = memoryview(data)
        while unwritten:
            try:
                unwritten = unwritten[os.write(self._descriptor, unwritten) :]
            except BlockingIOError:
                _sleep(AGAIN_S)
