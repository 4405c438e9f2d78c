"""What one leg says, over a WebSocket that the switch opens (mod_audio_fork)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from .ears import Ears, Stream
from .patience import Timer

HOST = "127.0.0.1"
PATH = "/fork/"
PROTOCOL = "audio.drachtio.org"
LONGEST = 1 << 20
"""Bytes of one message."""
ASK_S = 3.0
"""How long a connection may take to ask for something."""
CLOSE_S = 0.5
"""How long the switch may take to answer that a connection is closed."""


@dataclass(slots=True, frozen=True)
class Expected:
    """Who waits for a fork: `attached` is called when it has connected (of a leg on hold no audio comes),
    `heard` gets each message of audio, `detached` is called at the end of the connection."""

    heard: Callable[[bytes], None]
    attached: Callable[[], None]
    detached: Callable[[], None]


class Forks:
    """The server. A connection that nobody expects is refused."""

    def __init__(self, count: Callable[[str], None], ears: Ears) -> None:
        self._count = count
        self._ears = ears
        self._expected: dict[str, Expected] = {}
        self._connected: dict[str, web.WebSocketResponse] = {}
        self._ending: set[asyncio.Task[bool]] = set()
        self._web = web.Server(self._handle, access_log=None)
        self._silent: set[web.RequestHandler] = set()
        """Connections that have asked for nothing so far."""
        self._server: asyncio.Server | None = None
        self._port = 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, HOST, 0, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._web.shutdown(CLOSE_S)

    def expect(self, one: Expected) -> str:
        """The address for one connection."""
        token = secrets.token_urlsafe(24)
        self._expected[token] = one
        return f"ws://{HOST}:{self._port}{PATH}{token}"

    def forget(self, url: str) -> None:
        """The connection is not expected any more, and is closed when it is there."""
        token = url.rpartition("/")[2]
        self._expected.pop(token, None)
        connected = self._connected.pop(token, None)
        if connected is not None:
            ending = asyncio.ensure_future(connected.close())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def _connection(self) -> web.RequestHandler:
        """A new one, which is closed unless it asks for something soon."""
        one = self._web()
        self._silent.add(one)
        Timer(ASK_S, self._close_silent, one)
        return one

    def _close_silent(self, one: web.RequestHandler) -> None:
        if one in self._silent:
            self._silent.discard(one)
            if one.transport is not None:
                self._count("strangers")
                one.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        token = request.path.removeprefix(PATH)
        expected = self._expected.pop(token, None)
        if expected is None:
            self._count("strangers")
            refused = web.Response(status=404)
            refused.force_close()
            return refused
        connection = web.WebSocketResponse(
            protocols=[PROTOCOL], compress=False, max_msg_size=LONGEST, timeout=CLOSE_S
        )
        try:
            await connection.prepare(request)
            self._connected[token] = connection
            expected.attached()
            if request.transport is None:
                return connection  # gone by now
            stream = Stream(self._ears, request.transport, request.protocol.data_received)
            try:
                await self._listen(connection, expected)
            finally:
                stream.close()
        finally:
            self._connected.pop(token, None)
            expected.detached()
        return connection

    @staticmethod
    async def _listen(connection: web.WebSocketResponse, expected: Expected) -> None:
        """The first text is the switch's metadata and later ones are of no use: all are left unread."""
        async for message in connection:
            if message.type is WSMsgType.BINARY and message.data:
                expected.heard(message.data)
