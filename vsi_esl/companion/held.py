"""Files of the spool that services hold: they stay while something plays them."""

from __future__ import annotations

from collections.abc import Iterable

import gevent

from ..audio.spool import Clip
from ..later import later
from ..sound.host.local import LocalHost
from .places import Places

LEFT_S = 600.0
"""How long what a service holds stays when it is gone: as long as its calls go on without it, by its
settings."""
MOST = 10_000
"""Files that one service can hold."""


class Held:
    """By the service and its switch."""

    def __init__(self, host: LocalHost, places: Places) -> None:
        self._host, self._places = host, places
        self._of: dict[str, set[str]] = {}
        self._leaving: dict[str, gevent.Greenlet] = {}

    def hold(self, service: str, path: object) -> None:
        """One more file."""
        mine = self._of.setdefault(service, set())
        if isinstance(path, str) and path not in mine and len(mine) < MOST and self._places.in_spool(path):
            mine.add(path)
            self._host.hold(_clip(path))

    def release(self, service: str, path: object) -> None:
        """One less."""
        if isinstance(path, str) and path in self._of.get(service, ()):
            self._of[service].discard(path)
            self._host.release(path)

    def all_of(self, service: str, paths: Iterable[object]) -> None:
        """All that it holds, when it has come."""
        leaving = self._leaving.pop(service, None)
        if leaving is not None:
            leaving.kill(block=False)
        before = self._of.pop(service, set())
        for path in paths:
            self.hold(service, path)
        for path in before:
            self._host.release(path)

    def left(self, service: str) -> None:
        """It is gone, and may come back."""
        if service not in self._leaving:
            self._leaving[service] = later(LEFT_S, self._forget, service)

    def for_a_while(self, clip: Clip, seconds: float) -> None:
        """Hold a clip until the service that asked for it can have said that it holds it."""
        self._host.hold(clip)
        later(seconds, self._host.release, clip.path)

    def _forget(self, service: str) -> None:
        self._leaving.pop(service, None)
        for path in self._of.pop(service, set()):
            self._host.release(path)


def _clip(path: str) -> Clip:
    return Clip(path, 0, None, False)
