"""Events on their way into the history's file: in files that are only appended to, see `storage.segments`.

A client may have seen an event before the file has it, and another one is to have it too when the service was
killed in between. A loss of power may take the last moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import structlog

from ..storage.database import MEMORY
from ..storage.segments import Segments
from .blocks import StoredEvent

log = structlog.get_logger(__name__)


class Ahead:
    """Files beside the history at `path`; none for `:memory:`. `epoch` is the history's."""

    def __init__(self, path: str, epoch: int) -> None:
        self._segments = Segments("" if path == MEMORY else f"{path}.recent")
        self._epoch = epoch

    def recover(self, behind: int) -> list[StoredEvent]:
        """What a previous process left behind a cursor, in order. To be called once, before anything is
        appended."""
        found = self._segments.recover(_reader(self._epoch))
        return [event for event in found if event is not None and event.cursor > behind]

    def append(self, event: StoredEvent) -> None:
        """Keep an event. When this has returned, kill -9 does not lose it. Raises OSError."""
        head = orjson.dumps((self._epoch, event.cursor, event.at, event.app_id, event.mark))
        # neither line has a line end within: JSON escapes those
        self._segments.append(event.cursor, head + b"\n" + event.frame + b"\n")

    def committed(self, cursor: int) -> None:
        """Everything up to this cursor is in the history's file."""
        self._segments.committed(cursor)

    def close(self, committed: int) -> None:
        """Close, and leave only what is not in the history's file."""
        self._segments.close(committed)


def _reader(epoch: int) -> Callable[[str], Iterator[tuple[int, StoredEvent | None]]]:
    """Reads a file: cursors, and the events of this epoch; the ids of another mean nothing here."""

    def read(name: str) -> Iterator[tuple[int, StoredEvent | None]]:
        with open(name, "rb") as file:
            while (head := file.readline()) and (frame := file.readline()).endswith(b"\n"):
                try:
                    of, cursor, at, app_id, mark = orjson.loads(head)
                except (orjson.JSONDecodeError, ValueError):
                    log.warning("unreadable rest of a file of recent events")  # after a loss of power
                    return
                event = StoredEvent(cursor, at, app_id, frame[:-1], mark)
                yield (cursor, event) if of == epoch else (0, None)

    return read
