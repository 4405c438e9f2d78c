"""Timers that belong to something: cancelled together with it, replaced by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent

from ..later import later
from . import clock


class Timers:
    """Named timers per owner (a leg's id)."""

    def __init__(self) -> None:
        self._timers: dict[str, dict[str, gevent.Greenlet]] = {}

    def at(self, owner: str, name: str, when: float, action: Callable[..., Any], *args: Any) -> None:
        """Call `action(*args)` when `clock` says `when`, at once if that is past. Replaces the same name."""
        self.cancel(owner, name)
        timer = later(max(0.0, when - clock.now()), self._fire, owner, name, action, args)
        self._timers.setdefault(owner, {})[name] = timer

    def pending(self, owner: str, name: str) -> bool:
        """Whether a timer of this name is still to fire."""
        return name in self._timers.get(owner, {})

    def cancel(self, owner: str, name: str | None = None) -> None:
        """Drop one timer, or all of the owner."""
        owned = self._timers.get(owner)
        if owned is None:
            return
        for key in [name] if name else list(owned):
            timer = owned.pop(key, None)
            if timer is not None:
                timer.kill(block=False)
        if not owned:
            del self._timers[owner]

    def stop(self) -> None:
        for owner in list(self._timers):
            self.cancel(owner)

    def _fire(self, owner: str, name: str, action: Callable[..., Any], args: tuple[Any, ...]) -> None:
        owned = self._timers.get(owner, {})
        if owned.get(name) is gevent.getcurrent():
            del owned[name]
            if not owned:
                del self._timers[owner]
        action(*args)
