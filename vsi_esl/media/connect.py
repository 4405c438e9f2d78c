"""HTTP connections to hosts that somebody else named: each goes to an address that was checked."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    LocationParseError,
    ProtocolError,
)
from urllib3.util import Url, parse_url

from . import MediaError
from .guard import AddressGuard

MAX_ADDRESSES = 4
"""Addresses of a host that are tried."""

FAILURES = (HTTPError, http.client.HTTPException, OSError, ValueError)
"""What an exchange can fail with; `reason` puts it into words."""

Connection = HTTPConnection | HTTPSConnection
Resolver = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, without duplicates. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def trust() -> ssl.SSLContext:
    """The certificate authorities of the system, and those of certifi if that is installed."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError, OSError):
        import certifi  # noqa: PLC0415  (not required)

        context.load_verify_locations(certifi.where())
    return context


class Connector:
    """Opens connections. `timeout` in seconds is for the whole exchange; `what` begins each message.

    Every address is checked by the guard and then connected to by number, so that a name server cannot give
    one address to the check and another one to the connection.
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

    def connect(self, url: Url, guarded: bool = True) -> Connection:
        """An open connection to the URL's host. `guarded=False` is for hosts of the operator's.

        Raises MediaError when there is no address that may be used, else one of FAILURES.
        """
        host, port = host_of(url), port_of(url)
        addresses = self._resolve(host, port)
        if guarded:
            for address in addresses:
                self.guard.check(host, address, self.what)
        if not addresses:
            raise MediaError(f"{self.what}: cannot resolve {host}")
        addresses = addresses[:MAX_ADDRESSES]
        failure: Exception | None = None
        for address in addresses:
            # one that does not answer must leave time for the next
            connection = self._connection(url, address, port, self.timeout / len(addresses))
            try:
                connection.connect()
            except (HTTPError, OSError) as error:
                connection.close()
                failure = error
                continue
            except BaseException:
                connection.close()
                raise
            # a little more than the deadline: that one speaks
            connection.timeout = self.timeout + 1
            connection.sock.settimeout(connection.timeout)
            return connection
        assert failure is not None  # noqa: S101  (there was an address, and it returned or failed)
        raise failure

    def _connection(self, url: Url, address: str, port: int, timeout: float) -> Connection:
        if url.scheme == "http":
            return HTTPConnection(address, port, timeout=timeout)
        return HTTPSConnection(
            address, port, timeout=timeout, ssl_context=self._tls, server_hostname=host_of(url)
        )


def parsed(url: str, what: str) -> Url:
    """An http or https URL, in parts. Raises MediaError, beginning with `what`."""
    try:
        found = parse_url(url.strip())
    except LocationParseError:
        raise MediaError(f"{what}: invalid URL") from None
    if found.scheme not in ("http", "https"):
        raise MediaError(f"{what}: only http and https URLs are supported")
    if not found.host:
        raise MediaError(f"{what}: invalid URL")
    return found


def host_of(url: Url) -> str:
    """The host without the brackets of an IPv6 address."""
    return (url.host or "").strip("[]")


def port_of(url: Url) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


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
