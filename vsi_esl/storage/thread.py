"""The thread in which the service's own files are read and written, while the event loop goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import gevent
from gevent.threadpool import ThreadPool

T = TypeVar("T")


class StorageThread:
    """One native thread: what it is asked to do is done in order, one after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPool(1)

    def run(self, work: Callable[..., T], *args: Any) -> T:
        """`work(*args)`, done there. Only the calling greenlet waits; when that is killed, the work is still
        done."""
        result, error = self._pool.apply(_outcome, (work, args))
        if error is not None:
            raise error
        return cast(T, result)

    def stop(self, timeout: float) -> None:
        """End it behind what it is doing, or leave it to its work after `timeout` seconds."""
        with gevent.Timeout(timeout, False):
            self._pool.join()
            self._pool.kill()


def _outcome(work: Callable[..., T], args: tuple[Any, ...]) -> tuple[T | None, Exception | None]:
    """An error is a result too: one that leaves a thread is printed by gevent, with a traceback."""
    try:
        return work(*args), None
    except Exception as error:
        return None, error
