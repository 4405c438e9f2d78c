"""A conversation with an agent: what is heard goes to its provider, what that says is said.

Parameters: `provider`, a name, and `settings`, the provider's.

Reports: `connected` (conversation_id), once; `user_transcript` and `agent_response` (text); `answer` (number,
outcome, error) to each `message` that it is told. It is told `message` (number, text) and `digits` (a text).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from ...providers import AGENTS, find
from ...providers.base import Agent, Connected, Interrupted, NotOffered, ProviderError, Said, Speech
from ..answers import FAILED, NOT_OFFERED, NOT_RUNNING, SENT
from ..patience import within
from . import Task, Work

LAST_WORD_S = 1.0
"""How long the connection is still read when nothing more can be sent."""
GOODBYE_S = 10.0
"""How long one that has ended the conversation is still heard at most: it sends faster than it speaks."""
TOLD = 64
"""So many messages and digits wait for the provider; digits beyond are dropped, messages refused."""
LONGEST_TEXT = 16_384
"""Characters of a transcript; the rest of it is cut off."""
TEXTS_AT_ONCE = 200
TEXTS_A_SECOND = 50
"""More transcripts are dropped: no conversation has so many."""


class Conversation(Task):
    """Until the provider ends it, or fails."""

    def __init__(self, work: Work, parameters: Mapping[str, Any]) -> None:
        super().__init__(work, parameters)
        self._provider: Agent = find(AGENTS, parameters["provider"])(work.http, parameters["settings"])
        self._open = self._connected = False
        self._told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(TOLD)
        self._began = time.monotonic()
        self._allowance, self._counted = float(TEXTS_AT_ONCE), self._began

    async def run(self) -> None:
        parts: list[asyncio.Task[None]] = []
        try:
            await self._provider.open()
            self._open = True
            parts = [asyncio.create_task(part) for part in (self._listen(), self._hear(), self._pass_on())]
            await self._until_over(*parts)
            await self._goodbye()
        finally:
            self._open = False
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._refuse_what_waits()
            await self._provider.close()
            if malformed := getattr(self._provider, "malformed", 0):
                self.work.count("malformed", malformed)

    async def _until_over(self, listening: asyncio.Task[None], *others: asyncio.Task[None]) -> None:
        """Until the provider has ended it, or one of the parts failed."""
        running = {listening, *others}
        while not listening.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if any(part.exception() for part in done - {listening}):
                # who sends may be the first to notice an end of which the provider says why
                with contextlib.suppress(TimeoutError):
                    async with within(LAST_WORD_S):
                        await asyncio.wait({listening})
                if not listening.done():
                    for part in done:
                        part.result()
        listening.result()

    async def _goodbye(self) -> None:
        """What an agent said before it ended the conversation is heard."""
        self._open = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.work.voice.said(), GOODBYE_S)

    async def _hear(self) -> None:
        """Audio to the provider, until there is no more of it; the provider may speak on."""
        while (frame := await self.work.audio.get()) is not None:
            await self._provider.send(frame)

    async def _listen(self) -> None:
        """What the provider tells, until it ends the conversation."""
        async for event in self._provider.events():
            if isinstance(event, Speech):
                self.work.voice.say(event.pcm, event.rate)
            elif isinstance(event, Interrupted):
                self.work.voice.hush()
                self.work.count("interruptions")
            elif isinstance(event, Said):
                self._said(event)
            elif isinstance(event, Connected) and not self._connected:
                self._connected = True
                self.work.report("connected", conversation_id=event.conversation_id)

    def _said(self, event: Said) -> None:
        now = time.monotonic()
        self._allowance += (now - self._counted) * TEXTS_A_SECOND
        self._allowance, self._counted = min(self._allowance, TEXTS_AT_ONCE), now
        if self._allowance < 1:
            self.work.count("texts_dropped")
            return
        self._allowance -= 1
        if event.user:
            self.work.measure("first_text_ms", self._elapsed_ms())
        self.work.report(
            "user_transcript" if event.user else "agent_response", text=event.text[:LONGEST_TEXT]
        )

    def _elapsed_ms(self) -> float:
        return round((time.monotonic() - self._began) * 1000, 1)

    # -- what the service has for the provider -----------------------------------------------------------

    def told(self, what: str, value: Any) -> None:
        if what == "message" and not self._open:
            self._answer(value["number"], NOT_RUNNING)
        elif self._open and what in ("message", "digits"):
            try:
                self._told.put_nowait((what, value))
            except asyncio.QueueFull:
                if what == "message":
                    self._answer(value["number"], FAILED, "too many messages wait for the agent")
                else:
                    self.work.count("digits_dropped")

    async def _pass_on(self) -> None:
        """Messages and digits, in order."""
        while True:
            what, value = await self._told.get()
            if what == "digits":
                await self._provider.digits(value)
            else:
                await self._message(value["number"], value["text"])

    async def _message(self, number: int, text: str) -> None:
        try:
            await self._provider.message(text)
        except NotOffered as refused:
            self._answer(number, NOT_OFFERED, refused.message)
        except ProviderError as failure:
            self._answer(number, FAILED, failure.message)  # a connection that is lost, others see as well
        except asyncio.CancelledError:
            self._answer(number, NOT_RUNNING)
            raise
        else:
            self._answer(number, SENT)

    def _refuse_what_waits(self) -> None:
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                what, value = self._told.get_nowait()
                if what == "message":
                    self._answer(value["number"], NOT_RUNNING)

    def _answer(self, number: int, outcome: str, error: str = "") -> None:
        self.work.report("answer", number=number, outcome=outcome, error=error)


TASK = Conversation
