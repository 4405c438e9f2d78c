"""Audio files over HTTP: one GET, with a limit on everything."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import gevent
from urllib3 import HTTPResponse

from ..later import Within
from ..net import NetError
from ..net.connect import FAILURES, Connection, Connector, Resolver, reason, resolve
from ..net.guard import AddressGuard
from ..net.url import WebUrl, joined, parsed
from . import MediaError
from .gunzip import Gunzip

WHAT = "fetch audio"
BLOCK = 1 << 16
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_AGE_LIMIT = 365 * 86_400


@dataclass(slots=True, frozen=True)
class Response:
    """An answer of status 200, or 304 without a body. `max_age` in seconds, None if the server says none."""

    status: int
    body: bytes
    content_type: str
    etag: str
    last_modified: str
    max_age: int | None


class Fetcher:
    """Gets files. `timeout` in seconds is for the whole exchange, redirects included."""

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
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.max_redirects = max_redirects
        self.guard = guard
        self._connector = Connector(guard, timeout, WHAT, tls, resolver)

    def get(self, url: str, validators: Mapping[str, str]) -> Response:
        """The file at `url`. `validators` are the headers of a conditional request. Raises MediaError."""
        deadline = Within(self.timeout)
        deadline.start()
        try:
            return self._follow(parsed(url, WHAT), validators)
        except gevent.Timeout as raised:
            if raised is not deadline:
                raise
            raise self.late() from None
        except NetError as error:
            raise MediaError(error.message) from error
        except FAILURES as error:
            raise MediaError(f"fetch audio: {reason(error)}") from error
        finally:
            deadline.close()

    def late(self) -> MediaError:
        """The error of an exchange that took longer than it may."""
        return MediaError(f"fetch audio: no complete answer within {self.timeout:g} s")

    def _follow(self, url: WebUrl, validators: Mapping[str, str]) -> Response:
        for _ in range(self.max_redirects + 1):
            connection = self._connector.connect(url)
            with contextlib.closing(connection):
                _send(connection, url, validators)
                with contextlib.closing(connection.getresponse()) as answer:
                    location = answer.headers.get("Location")
                    if answer.status not in REDIRECTS or not location:
                        return self._response(answer, bool(validators))
            target = joined(url, location, WHAT)
            if url.scheme == "https" and target.scheme == "http":
                raise MediaError("fetch audio: redirect from https to http refused")
            url = target
        raise MediaError(f"fetch audio: more than {self.max_redirects} redirects")

    def _response(self, answer: HTTPResponse, conditional: bool) -> Response:
        if answer.status != 200 and not (answer.status == 304 and conditional):
            raise MediaError(f"fetch audio: status {answer.status}")
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
        # other codings are left as they are: nobody asked for one, and servers call audio all sorts of things
        coding = answer.headers.get("Content-Encoding", "").strip().lower()
        gunzip = Gunzip(WHAT) if coding in ("gzip", "x-gzip") else None
        body = bytearray()
        # read(), not stream(): the latter reads the line of a chunk's length without a limit
        while block := answer.read(BLOCK, decode_content=False):
            for piece in gunzip.pieces(block) if gunzip else (block,):
                body += piece
                if len(body) > self.max_bytes:
                    raise self._too_large()
        if gunzip:
            gunzip.end()
        return bytes(body)

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


def _send(connection: Connection, url: WebUrl, validators: Mapping[str, str]) -> None:
    headers = {
        "Host": url.host_header,
        "User-Agent": "vsi_esl",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        **validators,
    }
    if url.authorization:
        headers["Authorization"] = url.authorization
    connection.request("GET", url.target, headers=headers, preload_content=False, decode_content=False)
