"""Waiting for what only an event of the switch can confirm."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from gevent.event import AsyncResult


class Waits:
    """Expectations by key. Register before telling the switch, so that a fast event is not missed.

    `began` is called for each of them.
    """

    def __init__(self, began: Callable[[], None] = lambda: None) -> None:
        self._began = began
        self._waiting: dict[Hashable, list[AsyncResult[Any]]] = {}

    @contextmanager
    def expect(self, *key: Hashable) -> Iterator[AsyncResult[Any]]:
        """A result that `fulfil` with the same key sets; forgotten when the block is left."""
        result: AsyncResult[Any] = AsyncResult()
        self._waiting.setdefault(key, []).append(result)
        self._began()
        try:
            yield result
        finally:
            remaining = self._waiting.get(key, [])
            if result in remaining:
                remaining.remove(result)
            if not remaining:
                self._waiting.pop(key, None)

    def fulfil(self, *key: Hashable, value: Any = None) -> bool:
        """Wake everyone who expects the key; False when nobody does."""
        waiting = self._waiting.pop(key, [])
        for result in waiting:
            result.set(value)
        return bool(waiting)

    def fail(self, owner: Hashable, error: Exception) -> None:
        """Fail everything expected of an owner: the second part of a key, a leg's id."""
        for key in [key for key in self._waiting if isinstance(key, tuple) and owner in key[1:2]]:
            for result in self._waiting.pop(key, []):
                result.set_exception(error)

    def fail_all(self, error: Exception) -> None:
        for key in list(self._waiting):
            for result in self._waiting.pop(key, []):
                result.set_exception(error)
