"""The host of switches on the machine of the service, with one file system for both."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from ...audio.spool import Clip, Spool
from ...calls.host import HostCounts, Published
from ...errors import Internal, VsiError
from ...model.recording import Recording
from ...storage import folders
from ...storage.s3 import S3Target
from ...storage.uploads import Uploads
from . import files

THREADS = 4
LOOKS = 2
"""Threads for what a command waits for; the others may merge files for minutes."""
MIN_FREE_BYTES = 1 << 20

Done = TypeVar("Done")


class LocalHost:
    """A `calls.host.Host`. All switches of this machine share one, as they share its disk."""

    companion = None

    def __init__(self, recordings: str, spool: Spool, uploads: Uploads) -> None:
        self.recordings = recordings
        self.spool = spool
        self.uploads = uploads
        self._threads = ThreadPool(THREADS)
        self._looks = ThreadPool(LOOKS)

    def connect(self, fence: int) -> None:
        """It is always there."""

    def leave(self) -> None:
        """It stays for the other switches."""

    def require(self) -> None:
        """It is always there."""

    def tone_clip(self, name: str) -> Clip:
        return self.spool.tone_clip(name)

    def url_clip(self, url: str, mime_type: str, repeat: int) -> Clip:
        return self.spool.url_clip(url, mime_type, repeat)

    def hold(self, clip: Clip) -> None:
        self.spool.hold(clip)

    def release(self, path: str) -> None:
        self.spool.release(path)

    def place(self, directory: str, file: str) -> bool:
        outcome: bool | VsiError = self._looks.apply(_outcome, (_look, (directory, file)))
        if isinstance(outcome, VsiError):
            raise outcome
        return outcome

    def publish(self, recording: Recording) -> Published:
        published: Published = self._threads.apply(files.publish, (recording,))
        return published

    def remove(self, path: str) -> None:
        self._threads.apply(files.remove, (path,))

    def probe(self, target: S3Target, timeout: float) -> None:
        self.uploads.probe(target, timeout)

    def upload(self, upload_id: str, target: S3Target, path: str, name: str) -> AsyncResult[str]:
        return self.uploads.submit(upload_id, target, path, name)

    @property
    def counts(self) -> HostCounts:
        uploads = self.uploads
        return HostCounts(
            fetches_refused=self.spool.refused,
            uploads=len(uploads),
            upload_attempts=uploads.attempts,
            upload_failures=uploads.failures,
            uploads_refused=uploads.refused,
            buckets_unverified=uploads.unverified,
        )

    def stop(self) -> None:
        """What is not done is taken up by the next process."""
        self.uploads.stop()


def _outcome(work: Callable[..., Done], args: tuple[object, ...]) -> Done | VsiError:
    """gevent prints a traceback of the errors that leave a thread."""
    try:
        return work(*args)
    except VsiError as error:
        return error


def _look(directory: str, file: str) -> bool:
    """Whether the file is there already; the directory is made. Internal when nothing can be written there.

    Runs in a native thread: a network file system may take its time.
    """
    try:
        folders.make(directory)
        space = os.statvfs(directory)
    except OSError as error:
        raise Internal(f"create recording dir: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        # the switch could write there perhaps, but nothing of it could be published
        raise Internal("create recording dir: the service cannot write to it")
    if space.f_bavail * space.f_frsize < MIN_FREE_BYTES:
        raise Internal("create recording file: no space left on device")
    return os.path.lexists(file)
