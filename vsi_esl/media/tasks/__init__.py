"""What a session does with its audio: one module each, found by its name (`Open.task`)."""

from __future__ import annotations

import importlib
import pkgutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import aiohttp

FRAME_MS = 20
TASK_RATE = 16000
FRAME_BYTES = TASK_RATE * 2 * FRAME_MS // 1000
"""Of what a task hears: 640."""


class Audio(Protocol):
    """What is heard: mono 16-bit little endian, at 16 kHz unless the session's ear says otherwise. Bounded;
    what is not taken in time is counted and dropped, the oldest first."""

    async def get(self) -> bytes | None:
        """The next frame of 20 ms; None when no more comes. At most one waits for it."""

    def take_all(self) -> bytes:
        """What waits, without waiting."""


class Voice(Protocol):
    """What is said."""

    def say(self, pcm: bytes, rate: int) -> None:
        """Append mono 16-bit little endian audio of any length. Overruns are dropped, counted in frames."""

    def hush(self) -> None:
        """Drop what has not been said: silence within 100 ms (barge-in)."""

    def set_gain(self, factor: float) -> None:
        """Multiply what is sent from now on; 1.0 is as it came."""

    async def room(self) -> None:
        """Wait until less than half of what may wait does: for a source that can be held back."""

    async def said(self) -> None:
        """Wait until all that was appended has been heard, as far as can be known here."""

    @property
    def waiting_ms(self) -> float:
        """How much of what was appended waits to be sent."""

    @property
    def said_ms(self) -> int:
        """How much of what was appended has been sent."""


class Work(Protocol):
    """A session, as its task sees it."""

    @property
    def audio(self) -> Audio: ...
    @property
    def voice(self) -> Voice:
        """Without a mouth it says nothing."""

    @property
    def http(self) -> aiohttp.ClientSession:
        """Shared by the sessions of a worker."""

    def report(self, what: str, **data: Any) -> None:
        """Tell the service. Never waits."""

    def measure(self, name: str, value: float) -> None:
        """A figure of the session (`Closed.figures`): the first value stays."""

    def count(self, name: str, by: float = 1) -> None:
        """Add to a figure of the session and of the process."""

    async def attached(self) -> None:
        """Wait until the switch has brought the audio."""

    async def handed_over(self) -> tuple[socket.socket, bytes]:
        """The connection that the service hands over, of a session that is about one, and what has been read
        of it already. TimeoutError when it does not come."""


class Task(ABC):
    """One session's work. Made when the session is opened; `run` begins at once, beside the switch's part."""

    def __init__(self, work: Work, parameters: Mapping[str, Any]) -> None:
        self.work = work
        self.parameters = parameters

    @abstractmethod
    async def run(self) -> None:
        """Work until done: returning ends the session with the reason done. Raises ProviderError for the
        provider's failure. Cancelled when the session has to end at once."""

    async def finish(self) -> None:
        """The session is to end: what is on its way may still be waited for, for as long as `Close` said.
        Then `run` is cancelled. Nothing by default."""
        return

    def told(self, what: str, value: Any) -> None:
        """The service has something for it (`Tell`). Must not wait."""
        return


@cache
def find(name: str) -> type[Task]:
    """The task of this name. KeyError when there is none."""
    if name not in {module.name for module in pkgutil.iter_modules(__path__)}:
        raise KeyError(name)
    kind: type[Task] = importlib.import_module(f"{__name__}.{name}").TASK
    return kind
