"""Events on their way into the outbox: a file that is only appended to.

SQLite cannot promise to take an event at once: a commit may have to wait for a checkpoint's fsync, or for
the command line that replays something. An append to a file takes two microseconds, never waits for the
disk, and survives kill -9 as soon as it is done. What is here and not yet in the outbox when the process
dies is put there by the next one. A loss of power is the outbox's business: nothing is sent from here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import structlog

from .targets import Target

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 1 << 20
"""Files are no longer than this and one event; one that has gone over to the outbox is deleted."""


@dataclass(slots=True, frozen=True)
class Arrival:
    """One event to be delivered. `number` counts up, `at` is Unix time in seconds."""

    number: int
    target: Target
    event_id: str
    type: str
    at: float
    frame: bytes


class Arrivals:
    """Files beside the outbox at `path`; none for `:memory:`."""

    def __init__(self, path: str) -> None:
        self._path = "" if path == ":memory:" else path
        self._segments: list[tuple[str, int]] = []
        """Full ones: the file, and the last number in it."""
        self._file = -1
        self._name = ""
        self._size = 0
        self._last = 0
        self._next_segment = 1

    def recover(self) -> Iterator[Arrival]:
        """What a previous process left, in order. To be called once, before anything is appended."""
        if not self._path:
            return
        directory, base = os.path.split(f"{os.path.abspath(self._path)}.arrivals.")
        found = [name.removeprefix(base) for name in os.listdir(directory) if name.startswith(base)]
        for number in sorted(int(one) for one in found if one.isdecimal()):
            name = f"{self._path}.arrivals.{number}"
            self._next_segment = number + 1
            for arrival in _read(name):
                self._last = arrival.number
                yield arrival
            self._segments.append((name, self._last))

    def append(self, arrival: Arrival) -> None:
        """Keep an event. When this has returned, kill -9 does not lose it. Raises OSError."""
        if not self._path:
            return
        if self._file < 0 or self._size >= SEGMENT_BYTES:
            self._open()
        target = arrival.target
        head = [arrival.number, target.endpoint, target.key, target.url, target.secret]
        head += [arrival.event_id, arrival.type, arrival.at]
        # neither line has a line end within: JSON escapes those
        record = orjson.dumps(head) + b"\n" + arrival.frame + b"\n"
        written = os.write(self._file, record)
        if written != len(record):
            os.ftruncate(self._file, self._size)  # what comes next must not be appended to half a record
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._last = arrival.number

    def committed(self, number: int) -> None:
        """Everything up to this number is in the outbox: delete the files that nobody needs any more."""
        while self._segments and self._segments[0][1] <= number:
            _unlink(self._segments.pop(0)[0])

    def close(self, committed: int) -> None:
        """Close, and leave only what is not in the outbox."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._segments.append((self._name, self._last))
        self.committed(committed)

    def _open(self) -> None:
        name = f"{self._path}.arrivals.{self._next_segment}"
        # only for us: it holds numbers of callers and the secrets of receivers
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._file >= 0:
            os.close(self._file)
            self._segments.append((self._name, self._last))
        self._file, self._name, self._size = file, name, 0
        self._next_segment += 1


def _read(name: str) -> Iterator[Arrival]:
    with open(name, "rb") as file:
        while (head := file.readline()) and (frame := file.readline()).endswith(b"\n"):
            try:
                number, endpoint, key, url, secret, event_id, kind, at = orjson.loads(head)
            except (orjson.JSONDecodeError, ValueError):
                # only a loss of power leaves such a thing, and then nothing of it was sent
                log.error("unreadable rest of a file of arrivals", file=os.path.basename(name))
                return
            target = Target(endpoint, key, url, secret)
            yield Arrival(number, target, event_id, kind, at, frame[:-1])


def _unlink(name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
