"""Events as soon as they are there, while somebody waits for one.

The switch looks every 20 ms for events to send, and whenever something arrives on their connection
(mod_event_socket, read_packet). So when an event is about to come, it is sent an empty line every few
milliseconds, which it answers with nothing else: the end of a recording is known 1.2 ms after the command
instead of 15.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from .client import EslClient

EVERY_S = 0.004
FOR_S = 0.15
"""From when an event is first waited for. What takes longer can take 20 ms more."""


class Hurry:
    """Nudges the connection of the events for a moment, again and again; `events` is the one there is."""

    def __init__(self, events: Callable[[], EslClient | None]) -> None:
        self._events = events
        self._until = 0.0
        self._greenlet: gevent.Greenlet | None = None

    def begin(self) -> None:
        """An event is waited for from now on."""
        self._until = time.monotonic() + FOR_S
        if not self._greenlet:
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Nothing is waited for any more."""
        if self._greenlet:
            self._greenlet.kill(block=False)

    def _run(self) -> None:
        while True:
            gevent.sleep(EVERY_S)
            if (connection := self._events()) is not None:
                connection.nudge()
            if time.monotonic() >= self._until:  # behind the first nudge, however late that comes
                return
