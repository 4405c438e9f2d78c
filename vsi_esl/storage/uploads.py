"""Recordings on their way to S3: a bounded queue, a few at a time, repeated until each has arrived.

In memory only. Whoever submits keeps what it takes to submit again after a restart, and the file.
"""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import dataclass, field

import gevent
import structlog
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from ..later import later
from ..net.guard import AddressGuard
from .s3 import S3Target, UploadError, probe, put, warm_up

log = structlog.get_logger(__name__)

MAX_UPLOADS = 10_000
"""Uploads not done, those waiting for their next attempt included."""
STOP_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class _Upload:
    id: str
    target: S3Target
    path: str
    name: str
    result: AsyncResult[str] = field(default_factory=AsyncResult)
    since: float = field(default_factory=time.monotonic)
    tries: int = 0
    timer: gevent.Greenlet | None = None


class Uploads:
    """Uploads `workers` files at a time; one that failed waits without holding up the others.

    Times are seconds: one attempt may take `attempt_timeout`; between attempts passes a random time below a
    bound that doubles from `backoff_min` to `backoff_max`; after `give_up_after` there is no further attempt.

    `attempts`, `failures` (failed attempts), `refused` (submitted when full) and `unverified` (probes that
    could not tell) count since the start. `guard` is for endpoints that requests name.
    """

    def __init__(
        self,
        *,
        workers: int = 4,
        attempt_timeout: float,
        guard: AddressGuard | None = None,
        backoff_min: float = 1.0,
        backoff_max: float = 60.0,
        give_up_after: float = 24 * 3600,
    ) -> None:
        self._workers = workers
        self._attempt_timeout = attempt_timeout
        self._guard = guard or AddressGuard(False)
        self._backoff = (backoff_min, backoff_max)
        self._give_up_after = give_up_after
        self._pool = ThreadPool(workers)
        warm_up()  # now, while nobody waits for the loop
        self._undone: set[_Upload] = set()
        self._ready: deque[_Upload] = deque()
        self._greenlets: set[gevent.Greenlet] = set()
        self._stopped = False
        self.attempts = 0
        self.failures = 0
        self.refused = 0
        self.unverified = 0

    def __len__(self) -> int:
        return len(self._undone)

    def probe(self, target: S3Target, timeout: float) -> None:
        """See that the bucket of a recording that begins is there, for at most `timeout` seconds; 0 for not.

        Raises Invalid for one that is not, or must not be used. When that cannot be found out, the recording
        may begin: its upload is repeated for a day, and a probe that fails must not end all recording.
        """
        problem = probe(target, timeout, self._guard) if timeout else ""
        if problem:
            self.unverified += 1
            log.warning(
                "S3 bucket not verified", bucket=target.bucket, named_by=target.named_by, reason=problem
            )

    def submit(self, upload_id: str, target: S3Target, path: str, name: str) -> AsyncResult[str]:
        """Have the file at `path` uploaded as the target's prefix + `name`; the file stays where it is.

        The result is the location, or UploadError: when the queue is full (at once), when the file is gone,
        when it was given up, or when `stop` was called.
        """
        upload = _Upload(upload_id, target, path, name)
        if self._stopped:
            upload.result.set_exception(UploadError("the service is shutting down"))
        elif len(self._undone) >= MAX_UPLOADS:
            self.refused += 1
            upload.result.set_exception(UploadError("too many uploads are waiting"))
        else:
            self._undone.add(upload)
            self._enqueue(upload)
        return upload.result

    def stop(self) -> None:
        """End what is under way, and wait at most a second for the threads; what is not done fails."""
        self._stopped = True
        timers = [upload.timer for upload in self._undone if upload.timer is not None]
        gevent.killall([*self._greenlets, *timers], block=False)
        for upload in self._undone:
            upload.result.set_exception(UploadError("the service is shutting down"))
        self._undone.clear()
        self._ready.clear()
        self._greenlets.clear()
        with gevent.Timeout(STOP_SECONDS, False):
            self._pool.kill()

    def _enqueue(self, upload: _Upload) -> None:
        upload.timer = None
        if self._stopped:  # an attempt that failed in the very moment of the stop
            return
        self._ready.append(upload)
        if len(self._greenlets) < self._workers:
            greenlet = gevent.spawn(self._work)
            self._greenlets.add(greenlet)

    def _work(self) -> None:
        try:
            while self._ready:
                self._attempt(self._ready.popleft())
        finally:
            self._greenlets.discard(gevent.getcurrent())

    def _attempt(self, upload: _Upload) -> None:
        self.attempts += 1
        upload.tries += 1
        final = False
        try:
            location = put(
                upload.target,
                upload.path,
                upload.name,
                self._attempt_timeout,
                self._guard,
                pool=self._pool,
            )
        except UploadError as error:
            reason, final = str(error), error.final
        except OSError as error:
            # an unreadable file can be made readable; one that is gone does not come back
            reason, final = error.strerror or type(error).__name__, isinstance(error, FileNotFoundError)
        except Exception as error:  # an upload must not get lost, whatever it is
            reason = type(error).__name__
        else:
            self._finish(upload, location, "")
            return
        self._failed(upload, reason, final)

    def _failed(self, upload: _Upload, reason: str, final: bool) -> None:
        self.failures += 1
        remaining = upload.since + self._give_up_after - time.monotonic()
        final = final or remaining <= 0
        low, high = self._backoff
        bound = min(high, low * 2 ** min(upload.tries, 16))
        # the last attempt is at the very end of the time, not a backoff before it
        delay = 0.0 if final else min(remaining, max(low, random.uniform(0, bound)))  # noqa: S311
        log.warning(
            "upload failed",
            upload_id=upload.id,
            bucket=upload.target.bucket,
            reason=reason,
            attempt=upload.tries,
            next_attempt_in=None if final else round(delay, 3),
        )
        if final:
            self._finish(upload, None, reason)
        else:
            upload.timer = later(delay, self._enqueue, upload)

    def _finish(self, upload: _Upload, location: str | None, reason: str) -> None:
        self._undone.discard(upload)
        if location is None:
            log.error(
                "upload given up", upload_id=upload.id, bucket=upload.target.bucket, attempts=upload.tries
            )
            upload.result.set_exception(UploadError(reason, final=True))
        else:
            upload.result.set(location)
