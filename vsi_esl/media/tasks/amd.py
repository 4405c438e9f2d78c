"""Answering machine detection: one verdict on what is heard, and behind that of a machine its beep.

Parameters are the thresholds (`media.greeting`) and `beep_timeout`, in milliseconds. With `machine_since_ms`
the verdict is known, for so long already, and only the beep is waited for.

Reports `result` (the members of `media.greeting.Verdict`), once, and `beep` with `beep_ms`, the time since
the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from ..beep import Beep
from ..greeting import Greeting, Thresholds, Verdict
from ..patience import within
from . import FRAME_MS, Task, Work

LATE_MS = 200
"""How late audio may be: what lasts as long as it may is not over before it has been heard."""


class Amd(Task):
    """Until the verdict, or the beep."""

    def __init__(self, work: Work, parameters: Mapping[str, Any]) -> None:
        super().__init__(work, parameters)
        thresholds = Thresholds(**{one.name: parameters[one.name] for one in fields(Thresholds)})
        self._greeting = Greeting(thresholds)
        self._beep_timeout: int = parameters["beep_timeout"]
        self._machine_since: int | None = parameters.get("machine_since_ms")
        self._longest_ms = thresholds.total_analysis_time + self._beep_timeout
        self._told = self._machine_since is not None

    async def run(self) -> None:
        await self.work.attached()
        try:
            # of the clock, for audio that does not come; all else is a matter of frames
            async with within((self._longest_ms + LATE_MS) / 1000):
                await self._work()
        except TimeoutError:
            self._tell(self._greeting.out_of_time())

    async def finish(self) -> None:
        self._tell(self._greeting.broken_off())

    async def _work(self) -> None:
        if self._machine_since is None:
            verdict = await self._verdict()
            self._tell(verdict)
            if verdict.result != "machine":
                return
        await self._wait_for_beep(self._machine_since or 0)

    async def _verdict(self) -> Verdict:
        while (frame := await self.work.audio.get()) is not None:
            if (verdict := self._greeting.hear(frame)) is not None:
                return verdict
        return self._greeting.broken_off()

    async def _wait_for_beep(self, waited_ms: int) -> None:
        beep = Beep()
        while waited_ms < self._beep_timeout and (frame := await self.work.audio.get()) is not None:
            waited_ms += FRAME_MS
            if beep.hear(frame):
                self.work.report("beep", beep_ms=waited_ms)
                return

    def _tell(self, verdict: Verdict) -> None:
        if not self._told:
            self._told = True
            self.work.report("result", **asdict(verdict))


TASK = Amd
