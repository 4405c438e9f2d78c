"""What a companion has been asked to upload: on its disk from when it says yes until the service has the
result.

A file for each, named by the upload. It holds the keys for the bucket, so that the upload goes on after a
restart without the service; the directory is the companion's only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import AsyncResult

from ..sound.host import asked
from ..storage.s3 import S3Target, UploadError
from ..storage.uploads import MAX_UPLOADS, Uploads
from ..wire.server import Failed

log = structlog.get_logger(__name__)

MODE = 0o700
FILE_MODE = 0o600
KEPT_S = 7 * 86400.0
"""How long a result is kept for a service that does not come for it."""
LOCATION, ERROR = "location", "error"


class Desk:
    """Uploads by their id."""

    def __init__(self, directory: str, uploads: Uploads) -> None:
        self._directory = directory
        self._uploads = uploads
        self._results: dict[str, AsyncResult[str]] = {}

    def __len__(self) -> int:
        return len(self._results)

    def take_up(self) -> None:
        """Go on with what the process before has left. Raises OSError when the directory cannot be had."""
        os.makedirs(self._directory, MODE, exist_ok=True)
        os.chmod(self._directory, MODE)
        for entry in list(os.scandir(self._directory)):
            if entry.name.endswith(".tmp"):
                os.unlink(entry.path)
            elif entry.name.endswith(".json"):
                self._take_up(entry.path)
        if self._results:
            log.info("uploads taken up again", uploads=len(self._results))

    def _take_up(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                kept = orjson.loads(file.read())
            if (LOCATION in kept or ERROR in kept) and os.stat(path).st_mtime < time.time() - KEPT_S:
                os.unlink(path)
                return
            result: AsyncResult[str] = AsyncResult()
            if LOCATION in kept:
                result.set(str(kept[LOCATION]))
            elif ERROR in kept:
                result.set_exception(_failed(str(kept[ERROR])))
            else:
                self._submit(kept, result)
            self._results[str(kept["upload_id"])] = result
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("an upload cannot be taken up", file=path, error=type(error).__name__)

    def upload(self, upload_id: str, target: S3Target, path: str, name: str) -> AsyncResult[str]:
        """The result of an upload: of one that is known by its id, or of a new one. Raises Failed when there
        are too many, or it cannot be kept. Waits for the disk."""
        known = self._results.get(upload_id)
        if known is not None:
            return known
        if len(self._results) >= MAX_UPLOADS:
            raise _failed("too many uploads are waiting")
        result = self._results[upload_id] = AsyncResult()
        kept = {"upload_id": upload_id, "target": target.to_dict(), "path": path, "name": name}
        error = _in_thread(_write, self._file(upload_id), kept)
        if error is not None:
            failure = _failed(f"it cannot be kept by the companion: {error}")
            del self._results[upload_id]
            result.set_exception(failure)
            raise failure
        self._submit(kept, result)
        return result

    def settled(self, upload_id: str) -> None:
        """The service has the result."""
        known = self._results.get(upload_id)
        if known is not None and known.ready():
            del self._results[upload_id]
            gevent.spawn(_in_thread, _remove, self._file(upload_id))

    def _submit(self, kept: dict[str, Any], result: AsyncResult[str]) -> None:
        target = S3Target.from_dict(kept["target"])
        going = self._uploads.submit(kept["upload_id"], target, kept["path"], kept["name"])
        going.rawlink(lambda done: gevent.spawn(self._finish, kept, done, result))

    def _finish(self, kept: dict[str, Any], done: AsyncResult[str], result: AsyncResult[str]) -> None:
        error = done.exception
        if isinstance(error, UploadError) and not error.final:
            return  # the companion stops; the next one goes on with it
        outcome = {ERROR: str(error)} if error is not None else {LOCATION: done.value}
        # the keys are not needed any more
        kept = {"upload_id": kept["upload_id"], **outcome}
        # should that fail it is uploaded once more after a restart, as the same object
        problem = _in_thread(_write, self._file(kept["upload_id"]), kept)
        if problem is not None:
            log.warning("the result of an upload was not kept", error=problem)
        if error is not None:
            result.set_exception(_failed(str(error)))
        else:
            result.set(str(done.value))

    def _file(self, upload_id: str) -> str:
        return os.path.join(self._directory, f"{hashlib.sha256(upload_id.encode()).hexdigest()[:40]}.json")


def _failed(why: str) -> Failed:
    return Failed(asked.UPLOAD_FAILED, why)


def _in_thread(work: Callable[..., None], *args: object) -> str | None:
    """Why it failed, or None."""
    error: str | None = gevent.get_hub().threadpool.apply(_caught, (work, args))
    return error


def _caught(work: Callable[..., None], args: tuple[object, ...]) -> str | None:
    try:
        work(*args)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _write(path: str, kept: dict[str, Any]) -> None:
    """Whole or not at all, and on the disk."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.tmp")
    descriptor = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with open(descriptor, "wb") as file:
        file.write(orjson.dumps(kept))
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.tmp", path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
