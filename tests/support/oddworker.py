"""`python -m tests.support.oddworker FD`: a media worker whose tasks behave as none should."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

from vsi_esl.media import tasks
from vsi_esl.media.__main__ import main
from vsi_esl.media.tasks import TASK_RATE, Task
from vsi_esl.providers.base import RATE_LIMITED, ProviderError


class Faulty(Task):
    """Fails where its parameters say; what it says of it is private."""

    def __init__(self, work: tasks.Work, parameters: Mapping[str, Any]) -> None:
        super().__init__(work, parameters)
        self._fail("made")
        if parameters["where"] == "filled":
            work.audio.feed = self._feed  # type: ignore[attr-defined]
        if parameters["where"] == "let go":
            work.voice.close = self._feed  # type: ignore[attr-defined]

    def _feed(self, *_: Any) -> None:
        raise ValueError("a transcript")

    def _fail(self, where: str) -> None:
        if self.parameters["where"] == where:
            raise ValueError("a transcript")

    async def run(self) -> None:
        if self.parameters["where"] == "provider":
            raise ProviderError("the provider is busy", RATE_LIMITED)
        self._fail("run")
        await asyncio.Event().wait()

    async def finish(self) -> None:
        self._fail("finish")

    def told(self, what: str, value: Any) -> None:
        self._fail("told")


class Stubborn(Task):
    """Does not end when it is cancelled."""

    async def run(self) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.work.report("cancelled")


class Stuck(Task):
    """Has the loop stand still."""

    async def run(self) -> None:
        self.work.report("stuck")
        await asyncio.sleep(0)
        time.sleep(60)


class Late(Task):
    """Has last words."""

    async def run(self) -> None:
        self._ending = asyncio.Event()
        self.work.report("begun")
        await self._ending.wait()

    async def finish(self) -> None:
        await asyncio.sleep(self.parameters["takes_s"])
        self.work.report("last words")
        self._ending.set()
        await asyncio.sleep(60)


class Speaker(Task):
    """Says something of that many seconds, and is done when it was heard; `hush` it."""

    async def run(self) -> None:
        self.work.voice.say(b"\x10\x20" * int(TASK_RATE * self.parameters["seconds"]), TASK_RATE)
        await self.work.voice.said()

    def told(self, what: str, value: Any) -> None:
        self.work.voice.hush()


ODD = {"faulty": Faulty, "stubborn": Stubborn, "stuck": Stuck, "late": Late, "speaker": Speaker}

if __name__ == "__main__":
    found = tasks.find
    tasks.find = lambda name: ODD.get(name) or found(name)  # type: ignore[assignment]
    sys.exit(main())
