"""One session: its audio, its task and its end."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aiohttp
import structlog

from ..providers.base import ProviderError
from . import logs, messages, tasks
from .ears import Ears
from .figures import Figures
from .forks import Expected, Forks
from .handover import Handovers
from .heard import Heard
from .messages import Closed, Open, Opened, Report
from .metronome import Metronome
from .pacer import Pacer
from .patience import LATE_S, Timer, within
from .unicast import Unicast

log = structlog.get_logger(__name__)

CANCEL_S = 2.0
"""How long a task may take to end when it is cancelled."""
GAP_S = 0.2
SILENCE = bytes(round(GAP_S * tasks.TASK_RATE) * 2)
"""What a fork is heard to say that sends nothing for so long."""
NO_EAR = messages.Ear(kind=messages.UNICAST, rate=tasks.TASK_RATE)
NO_MOUTH = messages.Mouth(rate=tasks.TASK_RATE)


class Session:
    """`tasks.Work` of one task. Made, it is open; `run` is its life, and returns after `Closed` was told.

    `tell` takes what the service is to hear.
    """

    def __init__(
        self,
        told: Open,
        *,
        ears: Ears,
        forks: Forks,
        metronome: Metronome,
        http: aiohttp.ClientSession,
        handovers: Handovers,
        tell: Callable[[messages.FromWorker], None],
    ) -> None:
        self.http = http
        self._told = told
        self._tell = tell
        self._ears = ears
        self._forks = forks
        self._handovers = handovers
        self._began = time.monotonic()
        self.figures = Figures()
        self._closing: asyncio.Future[tuple[str, float]] = asyncio.get_running_loop().create_future()
        """Why the session is to end, and how long its task may take for it; or a fault."""
        self._over = False
        self._attached = asyncio.Event()
        self._task: tasks.Task | None = None
        self._early: list[tuple[str, Any]] = []
        """What was told before there was a task."""

        ear = told.ear or NO_EAR
        self.audio = Heard(ear.rate, self.figures, ear.heard_at)
        self.voice = Pacer(told.mouth or NO_MOUTH, metronome, self.figures, self._first_audio)
        if told.mouth is None:
            self.voice.close()
        self._sockets: list[Unicast] = []
        self._url = ""
        self._ways = 0
        """How often the ways to the switch were renewed; what is told of older ones means nothing."""
        self._frames_before = -1
        self._awaited = 0
        """How many connections of the switch are still to come."""

    # -- the service ---------------------------------------------------------------------------------------

    def close(self, grace_s: float) -> None:
        """End it as told."""
        self._end("closed", grace_s)

    def hear(self, what: str, value: Any) -> None:
        """Something for the task."""
        if self._over:
            return
        if self._task is None:
            self._early.append((what, value))
            return
        try:
            self._task.told(what, value)
        except Exception as fault:
            self._fail(fault)

    def _fail(self, fault: Exception) -> None:
        """End it with an error: something went wrong outside its task, which would wait for good."""
        if not self._closing.done():
            self._closing.set_exception(fault)

    def _end(self, reason: str, grace_s: float = 0.0) -> None:
        if not self._closing.done():
            self._closing.set_result((reason, grace_s))

    # -- its life ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From `Opened` to `Closed`, whatever happens. Cancelled, it lets go of everything as well."""
        reason, error, category = "error", "", ""
        patience = None
        try:
            self._connect(self._told.ear, self._told.mouth)
            patience = Timer(self._told.patience_s, self._lose_patience, 0)
            reason = await self._work()
        except asyncio.CancelledError:
            reason = "closed"
            raise
        except ProviderError as failure:
            reason, error, category = "provider", failure.message, failure.category
        except Exception as fault:
            error = type(fault).__name__
            self._fault(fault)
        finally:
            self._over = True
            if patience is not None:
                patience.cancel()
            try:
                self._let_go()
            except Exception as fault:  # the service is to be told all the same
                self._fault(fault)
            self._tell(
                Closed(
                    session=self._told.session,
                    reason=reason,
                    error=error,
                    category=category,
                    figures=self.figures.all(),
                )
            )

    async def _work(self) -> str:
        """Run the task to its end, or until it is to end; the reason."""
        self._task = tasks.find(self._told.task)(self, self._told.parameters)
        running = asyncio.create_task(self._task.run())
        for what, value in self._early:
            self.hear(what, value)
        try:
            both: list[asyncio.Future[Any]] = [running, self._closing]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                return "done"
            reason, grace_s = self._closing.result()
            if grace_s > 0:
                await self._finish(self._task, running, grace_s)
            return reason
        finally:
            await self._cancel(running)

    async def _finish(self, task: tasks.Task, running: asyncio.Task[None], grace_s: float) -> None:
        """Give the task its time. What fails in it changes nothing: the session ends as it was told."""
        finishing = asyncio.create_task(task.finish())
        try:
            with suppress(TimeoutError):
                async with within(grace_s):
                    await asyncio.wait([finishing, running], return_when=asyncio.FIRST_COMPLETED)
            for one in (finishing, running):
                if one.done():
                    self._look_at(one)
        finally:
            await self._cancel(finishing)

    async def _cancel(self, one: asyncio.Task[None]) -> None:
        if one.done():
            return
        one.cancel()
        _, pending = await asyncio.wait([one], timeout=CANCEL_S)
        if pending:
            log.error("a task does not end", session=self._told.session, task=self._told.task)
        else:
            self._look_at(one)

    def _look_at(self, one: asyncio.Task[None]) -> None:
        """Say what went wrong in a part that changes nothing any more."""
        fault = None if one.cancelled() else one.exception()
        if fault is not None and not isinstance(fault, ProviderError):
            self._fault(fault)

    def _fault(self, fault: BaseException) -> None:
        log.error("fault", session=self._told.session, task=self._told.task, **logs.described(fault))

    # -- audio -----------------------------------------------------------------------------------------------

    def renew(self, told: messages.Renew) -> None:
        """Other ways to the switch, for the same task."""
        if self._over or self._closing.done():
            return
        try:
            self._renew(told)
        except Exception as fault:
            self._fail(fault)

    def _renew(self, told: messages.Renew) -> None:
        self._let_go_of_ways()
        self._ways += 1
        self._awaited = 0
        if told.ear is not None:
            self.audio.change(told.ear.rate)
        if told.mouth is not None:
            self.voice.change(told.mouth.rate)
        Timer(told.patience_s, self._lose_patience, self._ways)
        self._connect(told.ear, told.mouth)

    def _connect(self, ear: messages.Ear | None, mouth: messages.Mouth | None) -> None:
        came, left = partial(self._came, self._ways), partial(self._left, self._ways)
        url, port, mouth_port = "", 0, 0
        if ear is None:
            self.audio.end()
        elif ear.kind == messages.FORK:
            self._awaited += 1
            url = self._url = self._forks.expect(Expected(self.audio.feed, came, left))
        else:
            both = mouth is not None and not mouth.apart
            port = self._socket(self.audio.feed, speaks=both)
        if mouth is not None and mouth.apart:
            mouth_port = self._socket(None, speaks=True)
        elif mouth is not None and not port:
            port = self._socket(None, speaks=True)
        self._tell(Opened(session=self._told.session, url=url, port=port, mouth_port=mouth_port))
        if not self._awaited:
            self._all_came()

    def _socket(self, heard: Callable[[bytes], None] | None, *, speaks: bool) -> int:
        """The port of a new socket for an internal channel."""

        ways = self._ways

        def attached() -> None:
            self._came(ways)
            if speaks:
                self.voice.connect(one.send)

        self._awaited += 1
        one = Unicast(self.figures, self._ears, heard, attached, partial(self._left, ways))
        self._sockets.append(one)
        return one.port

    def _came(self, ways: int) -> None:
        if ways != self._ways:
            return
        self._awaited -= 1
        if not self._awaited:
            self._all_came()

    def _fill(self, ways: int, due: float = math.inf) -> None:
        """A leg on hold says nothing, and its fork sends nothing: to the task it is silent. What came in a
        stall is read first."""
        if self._over or ways != self._ways:
            return
        now = time.monotonic()
        stood_still = now - due > LATE_S
        if self.figures.frames_in == self._frames_before and not stood_still:
            try:
                self.audio.feed(SILENCE)
            except Exception as fault:
                self._fail(fault)
                return
        self._frames_before = self.figures.frames_in
        asyncio.get_running_loop().call_later(
            GAP_S, self._fill, ways, math.inf if stood_still else now + GAP_S
        )

    def _all_came(self) -> None:
        if self._url:
            self._fill(self._ways)
        if self._attached.is_set():
            self.report("renewed")
            return
        self._attached.set()
        self.measure("attached_ms", self._age_ms())
        self.report("attached")

    def _left(self, ways: int) -> None:
        """The switch ended one of the connections. The service has them renewed, or closes the session."""
        if ways == self._ways and self._attached.is_set():
            self.report("detached")

    def _lose_patience(self, ways: int) -> None:
        if ways == self._ways and self._awaited:
            self._end("no_audio")

    def _first_audio(self) -> None:
        self.measure("first_audio_ms", self._age_ms())

    def _let_go(self) -> None:
        self.voice.close()
        self._let_go_of_ways()
        self.audio.end()

    def _let_go_of_ways(self) -> None:
        if self._url:
            self._forks.forget(self._url)
        for one in self._sockets:
            one.close()
        self._url, self._sockets = "", []

    def _age_ms(self) -> float:
        return round((time.monotonic() - self._began) * 1000, 1)

    # -- the task --------------------------------------------------------------------------------------------

    def report(self, what: str, **data: Any) -> None:
        if not self._over:
            self._tell(Report(session=self._told.session, what=what, data=data))

    def measure(self, name: str, value: float) -> None:
        self.figures.measure(name, value)

    def count(self, name: str, by: float = 1) -> None:
        self.figures.count(name, by)

    async def attached(self) -> None:
        await self._attached.wait()

    async def handed_over(self) -> tuple[socket.socket, bytes]:
        return await self._handovers.take(self._told.session)
