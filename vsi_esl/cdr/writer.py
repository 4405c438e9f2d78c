"""Records on their way to the file: kept in the state until they are on disk, so that each is there once.

A service that was killed between writing a record and forgetting it finds it in the file when it is started
again, and does not write it a second time.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.event import Event as Signal

from .. import lasting
from ..storage.thread import StorageThread
from . import files
from .records import Record
from .settings import CdrSettings

if TYPE_CHECKING:
    from ..calls.context import Context

log = structlog.get_logger(__name__)

KIND = "cdr"
"""Under which the state keeps records that are not in the file."""
GATHER_S = 0.2
"""How long records are gathered before they are written together."""
RETRY_S = 5.0
STOP_S = 2.0
"""How long a stop waits for the disk; what is not written then is the next process's."""
MAX_BATCH = 500
MAX_WAITING = 50_000
"""Records that wait for the disk at most: some 40 MB."""


class Writer:
    """Appends records to the file of the settings, without ever having anybody wait."""

    def __init__(self, ctx: Context, settings: CdrSettings) -> None:
        self._ctx = ctx
        self._path, self._format = settings.path, settings.format
        self._waiting: dict[str, Record] = {}
        self._done: set[str] = set()
        """Legs whose record the process before has written, and whose end is to be told once more."""
        self._thread = StorageThread()
        self._work, self._idle = Signal(), Signal()
        self._idle.set()
        self._greenlet: gevent.Greenlet | None = None
        self.error = ""
        """Why the file takes nothing; empty when all is well."""
        self.written = self.failures = self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def restore(self) -> None:
        """At start: take up what the process before has not seen written."""
        state = self._ctx.state
        left = {body["leg_id"]: body for body in state.items(KIND)}
        if not self._path:
            if left:
                log.warning("records of calls wait, and cdr.path is not set", count=len(left))
            return
        known = files.written_already(self._path, {*left, *state.legs()})
        for leg_id, record in left.items():
            if leg_id in known:
                state.forget_item(KIND, leg_id)
            else:
                self._wait(leg_id, record)
        self._done |= known & state.legs().keys()
        if self._greenlet is None:
            self._greenlet = lasting.keep(self._write_on, again=self._work.set)

    def add(self, record: Record) -> None:
        """Have a record written. Does not wait."""
        leg_id = record["leg_id"]
        if not self._path or leg_id in self._waiting:
            return
        if leg_id in self._done:
            self._done.discard(leg_id)
            return
        if len(self._waiting) >= MAX_WAITING:
            if not self.dropped:
                log.error("records of calls are dropped", waiting=len(self._waiting), error=self.error)
            self.dropped += 1
            return
        self._ctx.state.save_item(KIND, leg_id, record)
        self._wait(leg_id, record)

    def retry(self) -> None:
        """Try at once what the disk did not take."""
        self._work.set()

    def withdrawn(self, event_ids: set[str]) -> None:
        """These ends are told by another service, and so are their records written."""
        for leg_id in [one for one, record in self._waiting.items() if record["event_id"] in event_ids]:
            del self._waiting[leg_id]

    def leave(self, switch: str) -> None:
        """The switch goes to another service: write the records of its calls, for a moment at most. What is
        left is the other's to write, which finds it in the state of the switch."""
        with gevent.Timeout(STOP_S, False):
            while self._of(switch) and not self.error:
                gevent.sleep(GATHER_S / 4)
        for leg_id in self._of(switch):
            del self._waiting[leg_id]

    def _of(self, switch: str) -> list[str]:
        return [leg_id for leg_id, record in self._waiting.items() if record["switch"] == switch]

    def stop(self) -> None:
        """Write what waits, for a moment at most."""
        if self._greenlet is not None and not self.error:
            self._idle.wait(STOP_S)
        if self._greenlet is not None:
            self._greenlet.kill()
        self._thread.stop(STOP_S)

    def _wait(self, leg_id: str, record: Record) -> None:
        self._waiting[leg_id] = record
        self._idle.clear()
        self._work.set()

    def _write_on(self) -> None:
        while True:
            # what waits without an error may be taken back still, which is known soon
            self._work.wait(RETRY_S if self.error else GATHER_S if self._waiting else None)
            gevent.sleep(GATHER_S)
            self._work.clear()
            while self._waiting and self._write_some():
                pass
            if not self._waiting:
                self._idle.set()

    def _write_some(self) -> bool:
        settled = self._ctx.bus.settled
        ready = (one for one in self._waiting.values() if settled(one["event_id"]))
        batch = list(islice(ready, MAX_BATCH))
        if not batch:
            return False
        try:
            self._thread.run(files.append, self._path, self._format, batch)
        except OSError as error:
            self.failures += 1
            if not self.error:
                log.error("records of calls not written", error=error.strerror, waiting=len(self._waiting))
            self.error = error.strerror or type(error).__name__
            return False
        if self.error:
            log.info("records of calls written again", waiting=len(self._waiting) - len(batch))
            self.error = ""
        self.written += len(batch)
        for record in batch:
            self._waiting.pop(record["leg_id"], None)
            self._ctx.state.forget_item(KIND, record["leg_id"])
        return True
