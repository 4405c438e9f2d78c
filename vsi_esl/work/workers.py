"""Work that may wait for the switch, done in order per leg or room and concurrently between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

import gevent
import structlog
from gevent.event import AsyncResult

from ..errors import SwitchUnavailable, VsiError
from ..later import Within

log = structlog.get_logger(__name__)

MAX_QUEUED_PER_KEY = 256


@dataclass(slots=True, eq=False)
class Job:
    """Work that waits for its turn, and where its outcome goes."""

    result: AsyncResult[Any]
    context: Context
    """The ids on the lines of the log, and what is kept out of them, of whoever asked for it."""
    work: Callable[..., Any]
    arguments: tuple[Any, ...]


class Workers:
    """A queue and, while it is not empty, a greenlet for each key."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Job]] = {}
        self._greenlets: dict[str, gevent.Greenlet] = {}
        self.refused = 0
        self.withdrawn = 0
        """Work that was not begun in time, and therefore not done."""

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def submit(self, key: str, work: Callable[..., Any], *args: Any) -> AsyncResult[Any]:
        """Queue `work(*args)` behind what is queued for the key. The result carries its value or error."""
        return self._queue(key, work, args).result

    def run(self, key: str, timeout: float, work: Callable[..., Any], *args: Any) -> Any:
        """Like `submit`, and wait for it: at most `timeout` seconds, then SwitchUnavailable. What has not
        begun by then is not done later, when whoever asked for it believes that it was not."""
        job = self._queue(key, work, args)
        deadline = Within(timeout)
        try:
            with deadline:
                return job.result.get()
        except gevent.Timeout as expired:
            if expired is not deadline:
                raise
            self._withdraw(key, job)
            raise SwitchUnavailable(f"not done within {timeout:g} s") from None

    def _queue(self, key: str, work: Callable[..., Any], args: tuple[Any, ...]) -> Job:
        job = Job(AsyncResult(), copy_context(), work, args)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            self._greenlets[key] = gevent.spawn(self._run, key, queue)
        if len(queue) >= MAX_QUEUED_PER_KEY:
            self.refused += 1
            job.result.set_exception(SwitchUnavailable("too many commands are waiting for this leg or room"))
        else:
            queue.append(job)
        return job

    def _withdraw(self, key: str, job: Job) -> None:
        queue = self._queues.get(key)
        if queue is not None and job in queue:
            queue.remove(job)
            self.withdrawn += 1

    def stop(self) -> None:
        """Drop what is queued and end what is under way."""
        gevent.killall(list(self._greenlets.values()), block=False)
        self._queues.clear()
        self._greenlets.clear()

    def _run(self, key: str, queue: deque[Job]) -> None:
        try:
            while queue:
                job = queue.popleft()
                try:
                    job.result.set(job.context.run(job.work, *job.arguments))
                except VsiError as error:
                    job.result.set_exception(error)
                except Exception as error:
                    log.exception("work failed", key=key, work=getattr(job.work, "__name__", str(job.work)))
                    job.result.set_exception(error)
        except gevent.GreenletExit:
            for job in queue:
                job.result.set_exception(SwitchUnavailable("the service is shutting down"))
        finally:
            if self._queues.get(key) is queue:
                del self._queues[key]
                del self._greenlets[key]
