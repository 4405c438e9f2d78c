"""Connections for what takes the switch its time: 10 to 50 ms for an internal channel, 2 to 12 for a file.

The switch carries out the commands of one connection one after the other, and those of several at the same
time: 400 files of a minute are begun to be played in a second over one, and 790 over two, on two cores. As
jobs (`bgapi`) it is 340, since each takes a thread to begin and an event to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .client import EslClient

FILE_LANES = 3


class Lanes:
    """One connection for channels, whose commands are never carried out beside each other: a global variable
    set by one is there for the next. And some for files, of which the least busy one is taken."""

    def __init__(self, connection: Callable[[], EslClient]) -> None:
        self.channels = connection()
        self._files = [connection() for _ in range(FILE_LANES)]

    def __iter__(self) -> Iterator[EslClient]:
        yield self.channels
        yield from self._files

    def connect(self) -> None:
        """Connect them all. Raises as `EslClient.connect`."""
        for lane in self:
            lane.connect()

    @property
    def files(self) -> EslClient:
        """The one for the next commands that open or close files. What depends on each other goes together,
        or waits for the answer."""
        return min(self._files, key=lambda lane: lane.pending)
