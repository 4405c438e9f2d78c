"""The directories in which a companion does something, and that it does so nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable

import gevent

from ..model.recording import Recording
from ..wire.server import Failed

OUTSIDE = "outside"
"""The kind of error that says so."""


class Places:
    """`recordings` and `spool` as they are in the settings; files in links that lead elsewhere are not in
    them."""

    def __init__(self, recordings: str, spool: str) -> None:
        self.recordings = os.path.abspath(recordings)
        self.spool = os.path.abspath(spool)

    def check_recording(self, recording: Recording) -> None:
        """Raise Failed unless every file of it is in the directory of recordings. Waits for the disk."""
        paths = [recording.file, *(part.path for part in recording.parts)]
        paths += [track.path for track in recording.tracks]
        paths += [path for path in (recording.multi_file, recording.multi_part) if path]
        self.check(paths)

    def check(self, paths: Iterable[str]) -> None:
        """Raise Failed unless all are in the directory of recordings, or are it. Waits for the disk."""
        wrong = gevent.get_hub().threadpool.apply(_outside, (self.recordings, list(paths)))
        if wrong is not None:
            raise Failed(OUTSIDE, f"{wrong} is not in the recording.dir of the companion")

    def in_spool(self, path: object) -> bool:
        """Whether this is a file of the spool, by its name alone: nothing is opened by it."""
        return (
            isinstance(path, str) and os.path.dirname(path) == self.spool and os.path.normpath(path) == path
        )


def _outside(directory: str, paths: list[str]) -> str | None:
    """The first of them that is elsewhere. In a native thread: a network file system may take its time."""
    real = os.path.realpath(directory)
    for path in paths:
        if not isinstance(path, str) or "\0" in path or not os.path.isabs(path):
            return repr(path)[:200]
        found = os.path.realpath(path)
        if found != real and not found.startswith(real + os.sep):
            return path[:200]
    return None
