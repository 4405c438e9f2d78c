"""Background jobs: commands that may take long, answered by a BACKGROUND_JOB event.

The Job-UUID is ours and registered before the command goes out, since the event may overtake the reply.
"""

from __future__ import annotations

import uuid
from typing import Any

import gevent
from gevent.event import AsyncResult

from .client import CommandTimeout, EslClient


class Jobs:
    """The jobs under way on one switch."""

    def __init__(self) -> None:
        self._waiting: dict[str, AsyncResult[str]] = {}
        self.timeouts = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def run(self, client: EslClient, command: str, timeout: float) -> str:
        """Run `bgapi command` and return the job's result text. CommandTimeout after `timeout` seconds."""
        job_id = str(uuid.uuid4())
        result: AsyncResult[str] = AsyncResult()
        self._waiting[job_id] = result
        try:
            with gevent.Timeout(timeout, CommandTimeout(f"job not done in {timeout:g} s: {command[:40]}")):
                reply = client.send(f"bgapi {command}", timeout, {"Job-UUID": job_id})
                if not reply.startswith("+OK"):
                    return reply
                return result.get()
        except CommandTimeout:
            self.timeouts += 1
            raise
        finally:
            self._waiting.pop(job_id, None)

    def finished(self, event: dict[str, Any]) -> None:
        """A BACKGROUND_JOB event; a job that nobody waits for any more is ignored."""
        result = self._waiting.pop(event.get("Job-UUID", ""), None)
        if result is not None:
            result.set(str(event.get("_body", "")).rstrip("\n"))

    def fail_all(self, error: Exception) -> None:
        """The connection is gone: whether the jobs were done will be seen on the channels."""
        while self._waiting:
            self._waiting.popitem()[1].set_exception(error)
