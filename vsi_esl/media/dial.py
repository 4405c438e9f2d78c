"""Opening a WebSocket somewhere else: the address, its guard, TLS, the handshake, and why it failed."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.protocol import OPEN
from websockets.uri import WebSocketURI, parse_uri

from ..net import NetError
from ..net.guard import AddressGuard
from .patience import within
from .websocket import LONGEST, READ_S, SLICE, WRITE_S, WebSocket, quiet

ADDRESSES = 8
"""At most so many of a name are tried."""
BY_STATUS = {401: "unauthorized", 403: "forbidden", 404: "not_found"}
"""Answers to the upgrade that have a reason of their own."""
UNAVAILABLE = "service_unavailable"
FAILED = "ws_dial_failed"
NO_WAY = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})


class DialError(Exception):
    """It could not be opened; the text is the reason of the leg's end."""


async def dial(
    url: str,
    headers: Mapping[str, str],
    guard: AddressGuard,
    heard: Callable[[str | bytes], None],
    *,
    limit_s: float,
    read_s: float = READ_S,
    write_s: float = WRITE_S,
) -> WebSocket:
    """Open a WebSocket, within `limit_s`. DialError with the reason."""

    def make(protocol: ClientProtocol) -> WebSocket:
        return WebSocket(protocol, heard, read_s=read_s, write_s=write_s)

    try:
        async with within(limit_s):
            return await _dial(url, headers, guard, make)
    except (TimeoutError, InvalidURI, NetError, ssl.SSLError, ValueError):
        raise DialError(FAILED) from None
    except OSError as error:
        refused = isinstance(error, ConnectionRefusedError) or error.errno in NO_WAY
        raise DialError(UNAVAILABLE if refused else FAILED) from None


async def _dial(
    url: str, headers: Mapping[str, str], guard: AddressGuard, make: Callable[[ClientProtocol], WebSocket]
) -> WebSocket:
    where = parse_uri(url)
    protocol = ClientProtocol(where, max_size=LONGEST, logger=quiet)
    opening = _Opening(protocol, headers, lambda: make(protocol))
    await _connect(where, guard, opening)
    try:
        return await opening.done
    finally:
        opening.give_up()


async def _connect(where: WebSocketURI, guard: AddressGuard, opening: _Opening) -> None:
    """TCP, and TLS, to the first address that answers. None of them may be one that the guard forbids."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(one[4][0] for one in found))[:ADDRESSES]
    for address in addresses:
        guard.check(where.host, str(address), "connect")
    context = _tls() if where.secure else None
    for last, address in enumerate(addresses, 1):
        try:
            await loop.create_connection(
                lambda: opening,
                str(address),
                where.port,
                ssl=context,
                server_hostname=where.host if context else None,
            )
            return
        except ssl.SSLError:
            raise
        except OSError:
            if last == len(addresses):
                raise


class _Opening(asyncio.Protocol):
    """The handshake; what comes behind it is the WebSocket's."""

    def __init__(
        self, protocol: ClientProtocol, headers: Mapping[str, str], make: Callable[[], WebSocket]
    ) -> None:
        self._protocol = protocol
        self._headers = headers
        self._make = make
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[WebSocket] = asyncio.get_running_loop().create_future()

    def give_up(self) -> None:
        """Close it, unless it has become a WebSocket."""
        opened = self.done.done() and not self.done.cancelled() and self.done.exception() is None
        if self._transport is not None and not opened:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        request = self._protocol.connect()
        for name, value in self._headers.items():
            with suppress(KeyError):
                del request.headers[name]  # User-Agent, Origin and Authorization are the client's to say
            request.headers[name] = value
        self._protocol.send_request(request)
        self._transport.write(b"".join(self._protocol.data_to_send()))

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), SLICE):
            self._protocol.receive_data(data[at : at + SLICE])
            self._judge(data[at + SLICE :])
            if self.done.done():
                return

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._judge()
        self._fail(DialError(FAILED))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(DialError(FAILED))

    def _judge(self, rest: bytes = b"") -> None:
        if self.done.done():
            return
        fault = self._protocol.handshake_exc
        if isinstance(fault, InvalidStatus):
            self._fail(DialError(BY_STATUS.get(fault.response.status_code, FAILED)))
        elif fault is not None:
            self._fail(DialError(FAILED))
        elif self._protocol.state is OPEN and self._transport is not None:
            opened = self._make()
            self._transport.set_protocol(opened)
            opened.connection_made(self._transport)
            self.done.set_result(opened)
            # what came with the answer is read by the next turn of the loop, when somebody listens
            asyncio.get_running_loop().call_soon(opened.data_received, rest)

    def _fail(self, error: DialError) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
