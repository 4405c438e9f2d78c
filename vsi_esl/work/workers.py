"""Work that may wait for the switch, done in order per leg or room and concurrently between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import gevent
import structlog
from gevent.event import AsyncResult

from ..errors import SwitchUnavailable, VsiError
from ..ops import logs

log = structlog.get_logger(__name__)

MAX_QUEUED_PER_KEY = 256


Job: TypeAlias = "tuple[AsyncResult[Any], Callable[..., Any], tuple[Any, ...]]"


class Workers:
    """A queue and, while it is not empty, a greenlet for each key."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Job]] = {}
        self._greenlets: dict[str, gevent.Greenlet] = {}
        self.refused = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def submit(self, key: str, work: Callable[..., Any], *args: Any) -> AsyncResult[Any]:
        """Queue `work(*args)` behind what is queued for the key. The result carries its value or error."""
        result: AsyncResult[Any] = AsyncResult()
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            self._greenlets[key] = gevent.spawn(self._run, key, queue)
        if len(queue) >= MAX_QUEUED_PER_KEY:
            self.refused += 1
            result.set_exception(SwitchUnavailable("too many commands are waiting for this leg or room"))
            return result
        queue.append((result, logs.carry(work), args))
        return result

    def run(self, key: str, timeout: float, work: Callable[..., Any], *args: Any) -> Any:
        """Like `submit`, and wait for it: at most `timeout` seconds, then SwitchUnavailable."""
        with gevent.Timeout(timeout, SwitchUnavailable(f"not done within {timeout:g} s")):
            return self.submit(key, work, *args).get()

    def stop(self) -> None:
        """Drop what is queued and end what is under way."""
        gevent.killall(list(self._greenlets.values()), block=False)
        self._queues.clear()
        self._greenlets.clear()

    def _run(self, key: str, queue: deque[Job]) -> None:
        try:
            while queue:
                result, work, args = queue.popleft()
                try:
                    result.set(work(*args))
                except VsiError as error:
                    result.set_exception(error)
                except Exception as error:
                    log.exception("work failed", key=key, work=getattr(work, "__name__", str(work)))
                    result.set_exception(error)
        except gevent.GreenletExit:
            for result, _, _ in queue:
                result.set_exception(SwitchUnavailable("the service is shutting down"))
        finally:
            if self._queues.get(key) is queue:
                del self._queues[key]
                del self._greenlets[key]
