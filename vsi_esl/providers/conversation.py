"""What agents behind a WebSocket have in common: the connection, what is sent over it, and what comes.

Deadlines: connecting, each message sent, and how long nothing at all may come. Pings are answered by aiohttp,
and count as something that comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson

from .base import (
    PERMANENT_INPUT,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    UNKNOWN,
    Agent,
    AgentEvent,
    ProviderError,
    category_of,
)

CONNECT_S = 10.0
SEND_S = 5.0
"""How long a message may wait for a provider that does not read."""
CLOSE_S = 1.0
LARGEST = 4 << 20
"""Bytes of one message; a larger one ends the session."""
IN_A_ROW = 16
"""So many messages, at hand already, are read before others get their turn."""
ENDED = frozenset({1000, 1001, 1005})
"""Close codes of a session that has come to its end."""
CLOSED_FOR = {
    1006: RETRYABLE,
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
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._odd = b""

    # -- for the providers -------------------------------------------------------------------------------

    async def connect(
        self, url: str, headers: Mapping[str, str], http: aiohttp.ClientSession | None = None
    ) -> None:
        """Open the WebSocket. ProviderError."""
        deadlines = aiohttp.ClientWSTimeout(ws_receive=self.SILENCE_S, ws_close=CLOSE_S)
        try:
            async with asyncio.timeout(CONNECT_S):
                self._socket = await (http or self.http).ws_connect(
                    url, headers=headers, timeout=deadlines, max_msg_size=LARGEST
                )
        except aiohttp.WSServerHandshakeError as refused:
            raise self.error(f"status {refused.status}", category_of(refused.status)) from None
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            raise self.error(f"cannot connect: {reason(failure)}", RETRYABLE) from None

    async def say(self, pcm: bytes) -> None:
        """Send a frame of audio. ProviderError."""
        await self.send_bytes(pcm)

    async def send_text(self, text: str) -> None:
        """ProviderError when it cannot be sent."""
        await self._send(text)

    async def send_json(self, message: Mapping[str, Any]) -> None:
        """The same."""
        await self._send(json_text(message))

    async def send_bytes(self, data: bytes) -> None:
        """The same."""
        await self._send(data)

    async def _send(self, data: str | bytes) -> None:
        if self._socket is None or self._socket.closed:
            raise self.error("the connection is closed", RETRYABLE)
        try:
            async with asyncio.timeout(SEND_S):
                if isinstance(data, str):
                    await self._socket.send_str(data)
                else:
                    await self._socket.send_bytes(data)
        except TimeoutError:
            raise self.error(f"does not read what it is sent ({SEND_S:g} s)", SERVICE_UNAVAILABLE) from None
        except (aiohttp.ClientError, OSError) as failure:
            raise self.error(f"the connection is lost: {reason(failure)}", RETRYABLE) from None

    async def frames(self) -> AsyncIterator[str | bytes]:
        """The messages that come, until the provider ends the session. ProviderError."""
        socket = self._socket
        if socket is None:
            raise self.error("not connected")
        count = 0
        while True:
            try:
                message = await socket.receive()
            except TimeoutError:
                raise self.error(f"nothing came for {self.SILENCE_S:g} s", SERVICE_UNAVAILABLE) from None
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                yield message.data
            elif message.type is aiohttp.WSMsgType.ERROR:
                raise self.error("sent what is no WebSocket message, or too large a one", UNKNOWN)
            else:
                # its own word counts: of a connection that is gone by now, the answer to it fails
                code = message.data if message.type is aiohttp.WSMsgType.CLOSE else socket.close_code
                if not code or code in ENDED:
                    return
                raise self.error(self.closed_with(code), CLOSED_FOR.get(code, UNKNOWN))
            count += 1
            if count % IN_A_ROW == 0:
                await asyncio.sleep(0)

    def closed_with(self, code: int) -> str:
        """What is said of a connection that the provider closed with an error."""
        return "the connection was lost" if code == 1006 else f"closed the connection ({code})"

    @property
    def connected(self) -> bool:
        """Whether something can be sent."""
        return self._socket is not None and not self._socket.closed

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
        async for frame in self.frames():
            found = self.heard(frame) if isinstance(frame, bytes) else await self.told(frame)
            for event in found:
                yield event
            if self.over:
                return

    def heard(self, data: bytes) -> list[AgentEvent]:
        """What a binary message means."""
        self.malformed += 1
        return []

    async def told(self, text: str) -> list[AgentEvent]:
        """What a text message means. It may answer the provider."""
        self.malformed += 1
        return []

    async def close(self) -> None:
        if self._socket is not None and not self._socket.closed:
            try:
                async with asyncio.timeout(2 * CLOSE_S):
                    await self._socket.close()
            except (TimeoutError, aiohttp.ClientError, OSError):
                pass


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


def as_websocket(url: str) -> str:
    """An http address as one of WebSockets."""
    return f"ws{url[4:]}" if url.startswith("http") else url


def reason(failure: BaseException) -> str:
    """Why a connection failed, without what the URL held."""
    if isinstance(failure, TimeoutError):
        return "no answer in time"
    inner = getattr(failure, "os_error", failure)
    return getattr(inner, "strerror", None) or type(inner).__name__
