"""The files of the spool: their names, which of them are in use, and throwing out the oldest.

All methods are for greenlets; only what takes time runs in native threads.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import gevent
from gevent.lock import BoundedSemaphore

from ..later import Within
from ..storage import folders
from . import MediaError
from .wav import WavInfo

log = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_JOBS = 4
"""Native threads used at a time: the pool has ten, and name look-ups need some of them."""
JOB_SECONDS = 120.0
"""Deadline of a job, its wait for a thread included."""
BELIEVED_S = 10.0
"""How long a file that is in use is known to be whole, when it was looked at."""


class Jobs:
    """Runs functions in native threads, beside the event loop."""

    def __init__(self) -> None:
        self._free = BoundedSemaphore(MAX_JOBS)

    def run(self, function: Callable[..., Result], *args: object) -> Result:
        """What `function(*args)` returns. Raises its MediaError, and one for OSError and when it is late."""
        deadline = Within(JOB_SECONDS)
        deadline.start()
        try:
            with self._free:
                outcome = gevent.get_hub().threadpool.apply(_caught, (function, args))
        except gevent.Timeout as raised:
            if raised is not deadline:
                raise
            raise MediaError(f"spool: not done within {JOB_SECONDS:g} s") from None
        finally:
            deadline.close()
        if isinstance(outcome, OSError):
            raise disk_error(outcome) from outcome
        if isinstance(outcome, Exception):
            raise outcome
        result: Result = outcome
        return result


def _caught(function: Callable[..., Result], args: tuple[object, ...]) -> Result | Exception:
    """Errors are returned: gevent prints a traceback of those a thread raises."""
    try:
        return function(*args)
    except Exception as error:
        return error


def disk_error(error: OSError) -> MediaError:
    """What a client is told of a failure of the disk."""
    return MediaError(f"spool: {error.strerror or type(error).__name__}")


class CacheFiles:
    """The files in `directory`, at most `max_bytes` of them not in use. One process per directory."""

    def __init__(self, directory: str, max_bytes: int, jobs: Jobs) -> None:
        self.directory = os.path.abspath(directory)
        self.max_bytes = max_bytes
        self.evicted = 0
        self._jobs = jobs
        self._pins: Counter[str] = Counter()
        self._whole: dict[str, tuple[WavInfo, float]] = {}
        try:
            folders.make(self.directory)
            for entry in os.scandir(self.directory):
                if entry.name.endswith(".tmp"):
                    os.unlink(entry.path)
        except OSError as error:
            raise disk_error(error) from error

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def pin(self, path: str) -> None:
        """Keep this file; as often as it is pinned it has to be unpinned."""
        self._pins[path] += 1

    def unpin(self, path: str) -> None:
        if self._pins[path] > 1:
            self._pins[path] -= 1
        else:
            del self._pins[path]
            self._whole.pop(path, None)

    def pinned(self, path: str) -> bool:
        return path in self._pins

    def found_whole(self, info: WavInfo) -> None:
        """A file was looked at, and is as it should be."""
        if info.path in self._pins:
            self._whole[info.path] = (info, time.monotonic() + BELIEVED_S)

    def whole(self, path: str) -> WavInfo | None:
        """What was found when the file was looked at, if that was a moment ago and it has been in use ever
        since: what many hear at once is not looked at for each of them."""
        info, until = self._whole.get(path, (None, 0.0))
        return info if time.monotonic() < until else None

    @contextlib.contextmanager
    def keeping(self, path: str) -> Iterator[None]:
        """Pinned for the time of a with statement."""
        self.pin(path)
        try:
            yield
        finally:
            self.unpin(path)

    def evict(self) -> None:
        """Remove the files used longest ago until the rest fits. A failure is logged: playbacks go on."""
        try:
            files = sorted(self._jobs.run(_listed, self.directory))
            excess = sum(size for _, size, _ in files) - self.max_bytes
            doomed = []
            for _, size, path in files:
                if excess <= 0:
                    break
                if self.pinned(path):
                    continue
                # renamed at once, as nothing else runs between the look at the pins and this; removing
                # a large file takes its time
                with contextlib.suppress(FileNotFoundError):
                    os.rename(path, f"{path}.tmp")
                    doomed.append(f"{path}.tmp")
                excess -= size
            self.evicted += len(doomed)
            if doomed:
                self._jobs.run(_remove, doomed)
        except (MediaError, OSError) as error:
            log.warning("cannot make room in the spool: %s", error)


def _listed(directory: str) -> list[tuple[float, int, str]]:
    """Last use, bytes and path of every finished file."""
    found = []
    for entry in os.scandir(directory):
        if not entry.name.endswith(".wav"):
            continue
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat()
            found.append((status.st_mtime, status.st_size, entry.path))
    return found


def _remove(paths: list[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
