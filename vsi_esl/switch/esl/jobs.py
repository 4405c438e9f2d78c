"""Background jobs: commands that may take long, answered by a BACKGROUND_JOB event.

The Job-UUID is ours and registered before the command goes out, since the event may overtake the reply.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import Any

from gevent.event import AsyncResult

from ...later import Within
from .client import CommandTimeout, EslClient

MAX_REMEMBERED = 1000
"""Jobs whose callers gave up and that may still be done."""


class Jobs:
    """The jobs under way on one switch."""

    def __init__(self) -> None:
        self._waiting: dict[str, AsyncResult[str]] = {}
        self._given_up: OrderedDict[str, None] = OrderedDict()
        self.timeouts = 0
        self.late_results = 0
        """Jobs that were done after their callers had given up."""

    def __len__(self) -> int:
        return len(self._waiting)

    def run(self, client: EslClient, command: str, timeout: float) -> str:
        """Run `bgapi command` and return the job's result text. CommandTimeout after `timeout` seconds."""
        job_id = str(uuid.uuid4())
        result: AsyncResult[str] = AsyncResult()
        self._waiting[job_id] = result
        try:
            with Within(timeout, CommandTimeout(f"job not done in {timeout:g} s: {command[:40]}")):
                reply = client.send(f"bgapi {command}", timeout, {"Job-UUID": job_id})
                if not reply.startswith("+OK"):
                    return reply
                answer: str = result.get()
                return answer
        except CommandTimeout:
            self.timeouts += 1
            self._given_up[job_id] = None
            if len(self._given_up) > MAX_REMEMBERED:
                self._given_up.popitem(last=False)
            raise
        finally:
            self._waiting.pop(job_id, None)

    def finished(self, event: dict[str, Any]) -> None:
        """A BACKGROUND_JOB event; one that nobody waits for any more is counted, if it is of ours."""
        job_id = event.get("Job-UUID", "")
        result = self._waiting.pop(job_id, None)
        if job_id in self._given_up:
            del self._given_up[job_id]
            self.late_results += 1
        if result is not None:
            result.set(str(event.get("_body", "")).rstrip("\n"))

    def fail_all(self, error: Exception) -> None:
        """The connection is gone: whether the jobs were done will be seen on the channels."""
        while self._waiting:
            self._waiting.popitem()[1].set_exception(error)
