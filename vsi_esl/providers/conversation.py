"""What agents behind a WebSocket have in common: the connection, what is sent over it, and what comes.

The connection is `websocket.ProviderSocket`, which has the deadlines. Pings are answered, and count as
something that comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson

from .base import (
    PERMANENT_INPUT,
    SERVICE_UNAVAILABLE,
    UNKNOWN,
    Agent,
    AgentEvent,
    ProviderError,
)
from .websocket import ProviderSocket

LARGEST = 4 << 20
"""Bytes of one message; a larger one ends the session."""
ENDED = frozenset({1000, 1001, 1005})
"""Close codes of a session that has come to its end."""
CLOSED_FOR = {
    1008: PERMANENT_INPUT,
    1011: SERVICE_UNAVAILABLE,
    1012: SERVICE_UNAVAILABLE,
    1013: SERVICE_UNAVAILABLE,
}
UNTOLD_FRAMES = 100
"""How many frames of 20 ms wait for a provider to say that it is ready; then they are sent all the same."""


class SocketAgent(Agent):
    """An agent behind a WebSocket: a provider says where that is, what to send, and what comes means."""

    NAME = ""
    """As errors have it."""
    SILENCE_S = 60.0
    """How long nothing may come before the connection counts as dead."""

    def __init__(self, http: aiohttp.ClientSession, settings: Mapping[str, Any]) -> None:
        super().__init__(http, settings)
        self.malformed = 0
        """Messages that could not be understood; they are passed over."""
        self.ready = True
        """Whether it takes audio; until then audio waits for it."""
        self.over = False
        """Whether it has said that the session has ended."""
        self._early: deque[bytes] = deque()
        self._socket = ProviderSocket(self.NAME, silence_s=self.SILENCE_S, longest=LARGEST)
        self._odd = b""

    # -- for the providers -------------------------------------------------------------------------------

    async def connect(
        self, url: str, headers: Mapping[str, str], http: aiohttp.ClientSession | None = None
    ) -> None:
        """Open the WebSocket. ProviderError."""
        await self._socket.open(http or self.http, url, headers=headers)

    async def say(self, pcm: bytes) -> None:
        """Send a frame of audio. ProviderError."""
        await self.send_bytes(pcm)

    async def send_text(self, text: str) -> None:
        """ProviderError when it cannot be sent."""
        await self._socket.send_text(text)

    async def send_json(self, message: Mapping[str, Any]) -> None:
        """The same."""
        await self._socket.send_json(message)

    async def send_bytes(self, data: bytes) -> None:
        """The same."""
        await self._socket.send_bytes(data)

    def closed_with(self, code: int) -> str:
        """What is said of a connection that the provider closed with an error."""
        return f"closed the connection ({code})"

    @property
    def connected(self) -> bool:
        """Whether something can be sent."""
        return self._socket.is_open

    def error(self, text: str, category: str = UNKNOWN) -> ProviderError:
        """An error in this provider's name."""
        return ProviderError(f"{self.NAME}: {text}", category)

    def parsed(self, text: str | bytes) -> dict[str, Any] | None:
        """A message that is a JSON object; None, and counted, when it is not."""
        try:
            data = orjson.loads(text)
        except ValueError:
            data = None
        if isinstance(data, dict):
            return data
        self.malformed += 1
        return None

    def whole_samples(self, data: bytes) -> bytes:
        """A piece of a stream of 16-bit samples, cut behind its last whole one; the rest waits for more."""
        if self._odd:
            data = self._odd + data
        cut = len(data) & ~1
        self._odd = data[cut:]
        return data[:cut]

    # -- of the interface --------------------------------------------------------------------------------

    async def send(self, pcm: bytes) -> None:
        self._early.append(pcm)
        self.ready = self.ready or len(self._early) >= UNTOLD_FRAMES
        while self.ready and self._early:
            await self.say(self._early.popleft())

    async def events(self) -> AsyncIterator[AgentEvent]:
        async for message in self._socket.messages():
            found = self.heard(message) if isinstance(message, bytes) else await self.told(message)
            for event in found:
                yield event
            if self.over:
                return
        code = self._socket.close_code
        if code and code not in ENDED:
            raise self.error(self.closed_with(code), CLOSED_FOR.get(code, UNKNOWN))

    def heard(self, data: bytes) -> list[AgentEvent]:
        """What a binary message means."""
        self.malformed += 1
        return []

    async def told(self, text: str) -> list[AgentEvent]:
        """What a text message means. It may answer the provider."""
        self.malformed += 1
        return []

    async def close(self) -> None:
        await self._socket.close()


def member(data: Any, *path: str) -> Any:
    """What is found so deep in a JSON value; None when there is no such thing."""
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def text_at(data: Any, *path: str) -> str:
    """A text in a JSON value, without blanks around it; empty when there is none."""
    found = member(data, *path)
    return found.strip() if isinstance(found, str) else ""


def json_text(message: Mapping[str, Any]) -> str:
    """JSON, as it is sent."""
    return orjson.dumps(message).decode()
