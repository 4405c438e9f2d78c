"""HTTP connections to hosts that somebody else named: each goes to an address that was checked."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any

import urllib3.connection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, IncompleteRead, ProtocolError

from . import NetError
from .guard import AddressGuard
from .race import interleaved, race
from .url import WebUrl

MAX_ADDRESSES = 8
"""Addresses of a host that are tried."""
MAX_INTERIM = 16
"""Interim answers before the answer. More are no HTTP server's."""

FAILURES = (HTTPError, http.client.HTTPException, OSError, ValueError)
"""What an exchange can fail with; `reason` puts it into words."""

Resolver = Callable[[str, int], list[str]]


class FinalAnswer(http.client.HTTPResponse):
    """The answer to a request, however many interim ones (1xx) come before it (RFC 9110 section 15.2).

    http.client itself skips 100 only. 101 is an answer: nobody asked for another protocol.
    """

    def begin(self) -> None:
        for _ in range(MAX_INTERIM + 1):
            super().begin()
            if not 100 <= self.status < 200 or self.status == http.client.SWITCHING_PROTOCOLS:
                return
            self.headers = self.msg = None  # type: ignore[assignment]  # what begin() starts from
        raise http.client.HTTPException("too many interim answers")


class _Dialled(urllib3.connection.HTTPConnection):
    """To an address by number. A socket that did not connect is closed, whatever ended the attempt."""

    response_class = FinalAnswer

    def _new_conn(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self.timeout)
            # getaddrinfo of a number asks nobody, and knows what the zone of a link-local address is
            (*_, where), *_ = socket.getaddrinfo(self.host, self.port, family, socket.SOCK_STREAM)
            sock.connect(where)
        except BaseException:
            sock.close()
            raise
        return sock


class _TlsSocket(ssl.SSLSocket):
    """As gevent makes it, in the place of a socket: one whose handshake is ended, by whatever, is closed."""

    def __init__(self, *given: Any, **more: Any) -> None:
        try:
            super().__init__(*given, **more)
        except BaseException:
            self.close()
            raise


class _DialledTls(_Dialled, urllib3.connection.HTTPSConnection):
    """The same, by TLS."""


Connection = _Dialled


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, without duplicates. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@cache
def trust(*files: str) -> ssl.SSLContext:
    """Trust in the authorities of the system, those of certifi if that is installed, and of PEM `files`.

    Made once: it takes 30 ms of computing. Nobody may change it.
    """
    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    with contextlib.suppress(ImportError, OSError):
        import certifi  # noqa: PLC0415  (not required)

        context.load_verify_locations(certifi.where())
    for file in files:
        context.load_verify_locations(file)
    return context


class Connector:
    """Opens connections. `timeout` in seconds is for the whole exchange; `what` begins each message.

    Every address is checked by the guard and then connected to by number, so that a name server cannot give
    one address to the check and another one to the connection. Several are tried at once when the first
    does not answer (see `race`); a name with one address that must not be used is refused as a whole.
    """

    def __init__(
        self,
        guard: AddressGuard,
        timeout: float,
        what: str,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self.guard = guard
        self.timeout = timeout
        self.what = what
        self._tls = tls or trust()
        self._resolve = resolver

    def connect(self, url: WebUrl, guarded: bool = True) -> Connection:
        """An open connection to the URL's host. `guarded=False` is for hosts of the operator's.

        Raises Forbidden when the guard refuses, NetError when there is no address, else one of FAILURES.
        """
        addresses = self._resolve(url.host, url.port)
        if guarded:
            for address in addresses:
                self.guard.check(url.host, address, self.what)
        if not addresses:
            raise NetError(f"{self.what}: cannot resolve {url.host}")
        found = interleaved(addresses)[:MAX_ADDRESSES]
        connection = race(found, lambda address: self._open(url, address), _Dialled.close)
        # a little more than the deadline: that one speaks
        connection.timeout = self.timeout + 1
        connection.sock.settimeout(connection.timeout)
        return connection

    def _open(self, url: WebUrl, address: str) -> Connection:
        connection: Connection
        if url.scheme == "http":
            connection = _Dialled(address, url.port, timeout=self.timeout)
        else:
            connection = _DialledTls(
                address, url.port, timeout=self.timeout, ssl_context=self._tls, server_hostname=url.host
            )
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection


def reason(error: BaseException) -> str:
    """A short text without URLs: those may hold secrets."""
    cause = error.__cause__ if isinstance(error, HTTPError) and error.__cause__ else error
    match cause:
        case socket.gaierror():
            return "cannot resolve the host name"
        case ssl.SSLCertVerificationError():
            return f"certificate not valid: {cause.verify_message}"
        case ssl.SSLError():
            return f"TLS error {cause.reason or ''}".rstrip()
        case TimeoutError() | ConnectTimeoutError():
            return "connection timed out"
        case http.client.RemoteDisconnected():
            return "connection closed without an answer"
        case IncompleteRead() | http.client.IncompleteRead():
            return "answer is cut short"
        case http.client.HTTPException() | ProtocolError():
            return "not a valid HTTP answer"
        case OSError(strerror=str(text)) if text:
            return text.lower()
    return f"failed ({type(cause).__name__})"
