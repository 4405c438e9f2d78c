"""Files that are only appended to: what is written there survives kill -9 at once, and waits for nothing.

SQLite cannot promise to take something at once: a commit may have to wait for a checkpoint's fsync, or for
whoever has the file locked. An append takes two microseconds, and a full disk is known right away. What has
gone over to the database is deleted here; what has not when the process dies is there for the next one. A
loss of power may take the last moments.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

SEGMENT_BYTES = 1 << 20
"""Files are no longer than this and one record."""

T = TypeVar("T")


class Segments:
    """The files `prefix`.1, `prefix`.2 and so on; none for an empty prefix. Records have growing numbers."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._full: list[tuple[str, int]] = []
        """Those that are not written to any more: the file, and the last number in it."""
        self._file = -1
        self._name = ""
        self._size = 0
        self._last = 0
        self._next = 1

    def recover(self, read: Callable[[str], Iterator[tuple[int, T]]]) -> Iterator[T]:
        """What a previous process left, in order; `read` gives numbers and records of one file. To be called
        once, before anything is appended."""
        if not self._prefix:
            return
        directory, base = os.path.split(f"{os.path.abspath(self._prefix)}.")
        found = [name.removeprefix(base) for name in os.listdir(directory) if name.startswith(base)]
        for number in sorted(int(one) for one in found if one.isdecimal()):
            name = f"{self._prefix}.{number}"
            self._next = number + 1
            for self._last, record in read(name):
                yield record
            self._full.append((name, self._last))

    def append(self, number: int, record: bytes) -> None:
        """Keep a record. Raises OSError, with nothing kept."""
        if not self._prefix:
            return
        if self._file < 0 or self._size >= SEGMENT_BYTES:
            self._open()
        written = os.write(self._file, record)
        if written != len(record):
            os.ftruncate(self._file, self._size)  # what comes next must not be appended to half a record
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._last = number

    def committed(self, number: int) -> None:
        """Everything up to this number is in the database: delete the files that nobody needs any more."""
        while self._full and self._full[0][1] <= number:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._full.pop(0)[0])

    def close(self, committed: int) -> None:
        """Close, and leave only what is not in the database."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._full.append((self._name, self._last))
        self.committed(committed)

    def _open(self) -> None:
        name = f"{self._prefix}.{self._next}"
        # only for us: it holds numbers of callers and the secrets of receivers
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._file >= 0:
            os.close(self._file)
            self._full.append((self._name, self._last))
        self._file, self._name, self._size = file, name, 0
        self._next += 1
