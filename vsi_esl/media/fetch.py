"""Audio files over HTTP: one GET, with a limit on everything."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

import gevent
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    LocationParseError,
    ProtocolError,
)
from urllib3.util import Url, make_headers, parse_url

from . import MediaError
from .guard import AddressGuard

BLOCK = 1 << 16
MAX_ADDRESSES = 4
"""Addresses of a host that are tried."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_AGE_LIMIT = 365 * 86_400

Connection = HTTPConnection | HTTPSConnection
Resolver = Callable[[str, int], list[str]]


@dataclass(slots=True, frozen=True)
class Response:
    """An answer of status 200, or 304 without a body. `max_age` in seconds, None if the server says none."""

    status: int
    body: bytes
    content_type: str
    etag: str
    last_modified: str
    max_age: int | None


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, without duplicates. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _trust() -> ssl.SSLContext:
    """The certificate authorities of the system, and those of certifi if that is installed."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError, OSError):
        import certifi  # noqa: PLC0415  (not required)

        context.load_verify_locations(certifi.where())
    return context


class Fetcher:
    """Gets files. `timeout` in seconds is for the whole exchange, redirects included.

    Every address is checked by the guard and then connected to by number, so that a name server cannot give
    one address to the check and another one to the connection.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        timeout: float,
        max_bytes: int,
        max_redirects: int = 5,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self.guard = guard
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.max_redirects = max_redirects
        self._resolve = resolver
        self._tls = tls or _trust()

    def get(self, url: str, validators: Mapping[str, str]) -> Response:
        """The file at `url`. `validators` are the headers of a conditional request. Raises MediaError."""
        deadline = gevent.Timeout(self.timeout)
        deadline.start()
        try:
            return self._follow(_parsed(url), validators)
        except gevent.Timeout as raised:
            if raised is not deadline:
                raise
            raise self.late() from None
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise MediaError(f"fetch audio: {_reason(error)}") from error
        finally:
            deadline.close()

    def late(self) -> MediaError:
        """The error of an exchange that took longer than it may."""
        return MediaError(f"fetch audio: no complete answer within {self.timeout:g} s")

    def _follow(self, url: Url, validators: Mapping[str, str]) -> Response:
        for _ in range(self.max_redirects + 1):
            connection = self._connect(url)
            with contextlib.closing(connection):
                _send(connection, url, validators)
                with contextlib.closing(connection.getresponse()) as answer:
                    location = answer.headers.get("Location")
                    if answer.status not in REDIRECTS or not location:
                        return self._response(answer, bool(validators))
            target = _parsed(urljoin(url.url, location))
            if url.scheme == "https" and target.scheme == "http":
                raise MediaError("fetch audio: redirect from https to http refused")
            url = target
        raise MediaError(f"fetch audio: more than {self.max_redirects} redirects")

    def _connect(self, url: Url) -> Connection:
        host, port = _host(url), _port(url)
        addresses = self._resolve(host, port)
        for address in addresses:
            self.guard.check(host, address)
        if not addresses:
            raise MediaError(f"fetch audio: cannot resolve {host}")
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
            address, port, timeout=timeout, ssl_context=self._tls, server_hostname=_host(url)
        )

    def _response(self, answer: HTTPResponse, conditional: bool) -> Response:
        if answer.status != 200 and not (answer.status == 304 and conditional):
            raise MediaError(f"fetch audio: status {answer.status}")
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            raise MediaError(f'fetch audio: content encoding "{encoding[:20]}" is not supported')
        return Response(
            answer.status,
            self._body(answer) if answer.status == 200 else b"",
            answer.headers.get("Content-Type", ""),
            answer.headers.get("ETag", ""),
            answer.headers.get("Last-Modified", ""),
            max_age(answer.headers.get("Cache-Control", ""), answer.headers.get("Age", "")),
        )

    def _body(self, answer: HTTPResponse) -> bytes:
        declared = answer.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared[:20]) > self.max_bytes:
            raise self._too_large()
        blocks, length = [], 0
        # read(), not stream(): the latter reads the line of a chunk's length without a limit
        while block := answer.read(BLOCK, decode_content=False):
            length += len(block)
            if length > self.max_bytes:
                raise self._too_large()
            blocks.append(block)
        return b"".join(blocks)

    def _too_large(self) -> MediaError:
        return MediaError(f"fetch audio: larger than {self.max_bytes} bytes")


def max_age(cache_control: str, age: str = "") -> int | None:
    """For how many seconds an answer may be used without asking again; None if the server does not say."""
    seconds: int | None = None
    for directive in cache_control.lower().split(","):
        key, _, value = directive.strip().partition("=")
        if key in ("no-store", "no-cache"):
            return 0
        if key == "max-age" and value.strip('" ').isdecimal():
            seconds = min(int(value.strip('" ')[:12]), MAX_AGE_LIMIT)
    if seconds is not None and age.strip().isdecimal():
        seconds = max(0, seconds - int(age.strip()[:12]))
    return seconds


def _parsed(url: str) -> Url:
    try:
        parsed = parse_url(url.strip())
    except LocationParseError:
        raise MediaError("fetch audio: invalid URL") from None
    if parsed.scheme not in ("http", "https"):
        raise MediaError("fetch audio: only http and https URLs are supported")
    if not parsed.host:
        raise MediaError("fetch audio: invalid URL")
    return parsed


def _host(url: Url) -> str:
    """The host without the brackets of an IPv6 address."""
    return (url.host or "").strip("[]")


def _port(url: Url) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _send(connection: Connection, url: Url, validators: Mapping[str, str]) -> None:
    headers = {
        "Host": url.netloc or "",
        "User-Agent": "vsi_esl",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **validators,
    }
    if url.auth:
        headers |= make_headers(basic_auth=url.auth)
    connection.request("GET", url.request_uri, headers=headers, preload_content=False, decode_content=False)


def _reason(error: BaseException) -> str:
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
