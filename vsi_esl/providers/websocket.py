"""WebSockets to providers: every way in which one fails, as ProviderError."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any

import aiohttp
import orjson

from .base import PERMANENT_INPUT, RETRYABLE, SERVICE_UNAVAILABLE, ProviderError, category_of

CONNECT_S = 10.0
"""For name, TCP, TLS and upgrade together."""
HEARTBEAT_S = 20.0
"""Between pings of ours; half of it without the answer, and the connection counts as lost."""
SEND_S = 5.0
"""How long a message may wait for a provider that does not read."""
LONGEST = 1 << 20
"""Bytes of one message of theirs."""
CLOSE_S = 1.0
"""For their part of closing."""
IN_A_ROW = 16
"""So many messages, at hand already, are read before others get their turn."""


def websocket_url(base: str, path: str) -> str:
    """The address of a path below a base URL of http or https."""
    scheme, separator, rest = base.partition("://")
    return f"{ {'http': 'ws', 'https': 'wss'}.get(scheme, scheme) }{separator}{rest}{path}"


class _Elsewhere(Exception):
    """They want us to go to another address."""


async def _followed_nowhere(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    answer = await handler(request)
    if 300 <= answer.status < 400:
        answer.close()
        raise _Elsewhere
    return answer


async def _connect(http: aiohttp.ClientSession, url: str, **how: Any) -> aiohttp.ClientWebSocketResponse:
    """`ws_connect`, which follows redirects and takes most keys along: they are for this address only."""
    async with aiohttp.ClientSession(
        connector=http.connector,
        connector_owner=False,
        timeout=http.timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_followed_nowhere,),
    ) as session:
        connected: aiohttp.ClientWebSocketResponse = await session.ws_connect(url, **how)
        return connected


class ProviderSocket:
    """One connection. `name` is whose, for errors. With `silence_s` nothing is asked of them: the connection
    counts as lost when nothing at all, pings included, comes for so long."""

    def __init__(self, name: str, *, silence_s: float | None = None, longest: int = LONGEST) -> None:
        self._name = name
        self._silence_s = silence_s
        self._longest = longest
        self._code: int | None = None
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._closed = False
        self._closing: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._fault: Exception | None = None
        """What went wrong in it, and nobody foresaw."""

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
                self._ws = await _connect(
                    http,
                    url,
                    params=params,
                    headers=headers,
                    protocols=protocols,
                    heartbeat=None if self._silence_s else HEARTBEAT_S,
                    max_msg_size=self._longest,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=self._silence_s, ws_close=CLOSE_S),
                )
        except TimeoutError:
            raise self.error(f"no connection within {CONNECT_S:g} s", RETRYABLE) from None
        except _Elsewhere:
            raise self.error("redirects are not followed", PERMANENT_INPUT) from None
        except aiohttp.WSServerHandshakeError as refused:
            status = refused.status
            raise self.error(f"refused the connection: status {status}", category_of(status)) from None
        except ValueError:  # of aiohttp's errors, that of a URL as well
            raise self.error("no such address, or no such key", PERMANENT_INPUT) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self.error(f"no connection: {type(error).__name__}", SERVICE_UNAVAILABLE) from None

    async def send_text(self, text: str) -> None:
        """ProviderError when the connection is gone, or they do not read."""
        ws = self._open()
        with self._sending():
            async with asyncio.timeout(SEND_S):
                await ws.send_str(text)

    async def send_json(self, value: Any) -> None:
        """The same, of what orjson takes."""
        await self.send_text(orjson.dumps(value).decode())

    async def send_bytes(self, data: bytes) -> None:
        """The same."""
        ws = self._open()
        with self._sending():
            async with asyncio.timeout(SEND_S):
                await ws.send_bytes(data)

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise self.error(f"does not read what it is sent ({SEND_S:g} s)", SERVICE_UNAVAILABLE) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost() from error

    async def messages(self) -> AsyncIterator[str | bytes]:
        """What comes, until they or we close. ProviderError when the connection breaks, or what came is no
        WebSocket; and what went wrong in what `keep` does."""
        count = 0
        while not self._closed:
            ws = self._open()
            try:
                message = await ws.receive()
            except TimeoutError:
                raise self.error(f"nothing came for {self._silence_s:g} s", SERVICE_UNAVAILABLE) from None
            if self._fault is not None:
                break
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                yield message.data
            elif message.type == aiohttp.WSMsgType.CLOSE:
                # its own word counts: of a connection that is gone by now, our answer to it fails
                self._code = message.data
                return
            elif (
                message.type == aiohttp.WSMsgType.ERROR
                or ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
            ):
                raise self._lost()
            else:
                return
            count += 1
            if count % IN_A_ROW == 0:
                await asyncio.sleep(0)
        if self._fault is not None:
            raise self._fault

    def keep(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do this beside for as long as the connection is there, or until it returns: what the provider wants
        to be sent without being asked. That the connection is lost who reads sees, too; any other error of it
        closes the connection, and is raised by `messages`."""
        self._keeping = asyncio.create_task(self._keep(work))

    async def _keep(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except ProviderError:
            return
        except Exception as fault:
            self._fault = fault
            self.close_soon(0)

    def keep_no_more(self) -> None:
        """End what `keep` began."""
        if self._keeping is not None:
            self._keeping.cancel()

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
        """With which they closed; 0 when they gave none, None when they did not close."""
        return self._code

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""
        return self._ws is not None and not self._ws.closed

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
        self.keep_no_more()
        ws, self._ws = self._ws, None
        if ws is not None and not ws.closed:
            try:
                async with asyncio.timeout(2 * CLOSE_S):
                    await ws.close()
            except (TimeoutError, aiohttp.ClientError, OSError):
                return
