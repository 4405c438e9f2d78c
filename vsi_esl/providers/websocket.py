"""WebSockets to providers: every way in which one fails, as ProviderError."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import orjson

from .base import RETRYABLE, SERVICE_UNAVAILABLE, ProviderError, category_of

CONNECT_S = 10.0
"""For name, TCP, TLS and upgrade together."""
HEARTBEAT_S = 20.0
"""Between pings of ours; half of it without the answer, and the connection counts as lost. It is the deadline
of what is sent as well: who does not read, does not answer."""
LONGEST = 1 << 20
"""Bytes of one message of theirs."""
CLOSE_S = 1.0
"""For their part of closing."""


def websocket_url(base: str, path: str) -> str:
    """The address of a path below a base URL of http or https."""
    scheme, separator, rest = base.partition("://")
    return f"{ {'http': 'ws', 'https': 'wss'}.get(scheme, scheme) }{separator}{rest}{path}"


class ProviderSocket:
    """One connection. `name` is whose, for errors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    async def open(
        self,
        http: aiohttp.ClientSession,
        url: str,
        *,
        params: Mapping[str, str] | list[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        protocols: tuple[str, ...] = (),
    ) -> None:
        """Connect. ProviderError, which never tells the URL or a header."""
        try:
            async with asyncio.timeout(CONNECT_S):
                self._ws = await http.ws_connect(
                    url,
                    params=params,
                    headers=headers,
                    protocols=protocols,
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=LONGEST,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                )
        except TimeoutError:
            raise self.error(f"no connection within {CONNECT_S:g} s", RETRYABLE) from None
        except aiohttp.WSServerHandshakeError as refused:
            status = refused.status
            raise self.error(f"refused the connection: status {status}", category_of(status)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.error(f"no connection: {type(error).__name__}", SERVICE_UNAVAILABLE) from None

    async def send_text(self, text: str) -> None:
        """ProviderError when the connection is gone."""
        try:
            await self._open().send_str(text)
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost() from error

    async def send_json(self, value: Any) -> None:
        """The same, of what orjson takes."""
        await self.send_text(orjson.dumps(value).decode())

    async def send_bytes(self, data: bytes) -> None:
        """ProviderError when the connection is gone."""
        try:
            await self._open().send_bytes(data)
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost() from error

    async def messages(self) -> AsyncIterator[str | bytes]:
        """What comes, until they or we close. ProviderError when the connection breaks, or what came is no
        WebSocket."""
        while not self._closed:
            ws = self._open()
            message = await ws.receive()
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                yield message.data
            elif (
                message.type == aiohttp.WSMsgType.ERROR
                or ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
            ):
                raise self._lost()
            else:
                return

    async def objects(self) -> AsyncIterator[dict[str, Any]]:
        """The JSON objects of the text messages; whatever else comes is passed over."""
        async for message in self.messages():
            if not isinstance(message, str):
                continue
            try:
                value = orjson.loads(message)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value

    @property
    def close_code(self) -> int | None:
        """With which they closed."""
        return None if self._ws is None else self._ws.close_code

    def error(self, message: str, category: str) -> ProviderError:
        """Of this provider."""
        return ProviderError(f"{self._name}: {message}", category)

    def _lost(self) -> ProviderError:
        return self.error("the connection was lost", RETRYABLE)

    def _open(self) -> aiohttp.ClientWebSocketResponse:
        if self._ws is None:
            raise self._lost()
        return self._ws

    def close_soon(self, seconds: float) -> None:
        """Close it when nobody says `stay` before: what may still come has no end that could be seen."""
        self.stay()
        self._closing = asyncio.create_task(self._close_later(seconds))

    def stay(self) -> None:
        """Do not close it soon."""
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    async def _close_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._closing = None
        await self.close()

    async def close(self) -> None:
        """Let go of it. Does not fail."""
        self._closed = True
        self.stay()
        ws, self._ws = self._ws, None
        if ws is not None and not ws.closed:
            try:
                await ws.close()
            except (aiohttp.ClientError, OSError):
                return
