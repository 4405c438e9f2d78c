"""Timers with an owner: when the owner ends, none of its timers goes off any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from ..later import punctually


class Timers:
    """The pending timers of a channel, or of the switch."""

    def __init__(self) -> None:
        self._pending: set[gevent.Greenlet] = set()

    def later(self, seconds: float, action: Callable[..., Any], *args: Any) -> gevent.Greenlet:
        """Call `action` after so many seconds; kill what is returned to prevent it."""
        timer = punctually(seconds, action, *args)
        self._pending.add(timer)
        timer.rawlink(self._pending.discard)
        return timer

    def cancel(self) -> None:
        """Prevent all of them, except one that is running this very line."""
        for timer in self._pending - {gevent.getcurrent()}:
            timer.kill(block=False)
        self._pending.clear()
