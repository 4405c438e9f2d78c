"""Speech that was synthesised before: a directory of files, shared by the workers, and with the reference.

The name of a file is the SHA-256 in hex of provider, voice, model, language, prompt and text, and the API key
when it counts, joined by NUL. In it are a line with the MIME type and then the audio. A file is there whole
or not at all; the one that was not used for the longest goes first when there are too many bytes of them.

All of this waits for the disk: for threads.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

from ..providers.base import RATE

MIME = f"audio/pcm;rate={RATE}\n".encode()
ENTRY = re.compile(r"[0-9a-f]{64}\Z")
UNFINISHED = ".tts-cache-"
STALE_S = 3600.0
"""A file that is not finished after that was left by a worker that died."""
KEY = ("provider", "voice", "model", "language", "prompt", "text")


def name_of(asked: Mapping[str, Any], with_key: bool) -> str:
    """The name of a speech's file."""
    members = [*KEY, "api_key"] if with_key else KEY
    return hashlib.sha256("\0".join(str(asked.get(one) or "") for one in members).encode()).hexdigest()


class Spoken:
    """The directory, made when the first file is written. `most` is the limit of the bytes in it."""

    def __init__(self, directory: str, most: int) -> None:
        self._directory = directory
        self._most = most

    def open(self, name: str) -> IO[bytes] | None:
        """A speech, at its first sample; it counts as used now. None when it is not there, or is no such."""
        path = os.path.join(self._directory, name)
        try:
            file = open(path, "rb")  # noqa: SIM115  (the caller closes it)
        except OSError:
            return None
        if file.readline(len(MIME)) != MIME:
            file.close()
            return None
        with suppress(OSError):
            os.utime(path)
        return file

    def begin(self) -> tuple[str, IO[bytes]]:
        """A file for a speech that is being synthesised, and its path until `keep`. OSError."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        number, path = tempfile.mkstemp(prefix=UNFINISHED, dir=self._directory)
        return path, os.fdopen(number, "wb")

    def keep(self, unfinished: str, name: str) -> None:
        """Give a finished file its name, and make room for it. OSError."""
        size = os.stat(unfinished).st_size
        if size > self._most:
            os.unlink(unfinished)
            return
        os.replace(unfinished, os.path.join(self._directory, name))
        self._make_room()

    def _make_room(self) -> None:
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self._most:
                return
            with suppress(FileNotFoundError):  # another worker had the same thought
                os.unlink(path)
            total -= size

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """When each was used last, its size and its path. Nothing else that lies there is touched."""
        with os.scandir(self._directory) as found:
            for one in found:
                try:
                    stat = one.stat(follow_symlinks=False)
                    if ENTRY.match(one.name):
                        yield stat.st_mtime, stat.st_size, one.path
                    elif one.name.startswith(UNFINISHED) and time.time() - stat.st_mtime > STALE_S:
                        os.unlink(one.path)
                except FileNotFoundError:
                    continue


class Writing:
    """A file for a speech, made at the first write. It goes away with `drop`, unless `finish` came before.

    What is called in several threads waits for each other.
    """

    def __init__(self, spoken: Spoken) -> None:
        self._spoken = spoken
        self._lock = threading.Lock()
        self._path = ""
        self._file: IO[bytes] | None = None
        self._done = False

    def write(self, pcm: bytes) -> None:
        """OSError."""
        with self._lock:
            if self._done:
                return
            if self._file is None:
                self._path, self._file = self._spoken.begin()
                self._file.write(MIME)
            self._file.write(pcm)

    def finish(self, name: str) -> None:
        """It is whole. OSError."""
        with self._lock:
            if self._file is not None and not self._done:
                self._file.close()
                self._spoken.keep(self._path, name)
                self._done = True

    def drop(self) -> None:
        """Does not fail."""
        with self._lock:
            done, self._done = self._done, True
            if self._file is None or done:
                return
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                os.unlink(self._path)
