"""What the commands ask the service over HTTP, at the host of its VSI address."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

import gevent

MAX_BYTES = 64 << 20
"""More is no answer of the service's."""


class Unanswered(Exception):
    """No answer, or one that is no HTTP; the message says why."""


def get(url: str, path: str, token: str = "", timeout: float = 5.0) -> tuple[int, bytes]:
    """Status and body of a GET at the host of `url`, a VSI address (ws or wss). The whole of it takes
    `timeout` seconds at most. Raises Unanswered."""
    try:
        parts = urlsplit(url)
        with gevent.Timeout(timeout, TimeoutError(f"no answer within {timeout:g} s")):
            connection = _connection(parts.scheme, parts.hostname or "", parts.port, timeout)
            try:
                connection.request("GET", path, headers=_headers(token))
                with connection.getresponse() as answer:
                    return answer.status, answer.read(MAX_BYTES)
            finally:
                connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unanswered(str(error) or type(error).__name__) from None


def _connection(scheme: str, host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if scheme in ("wss", "https"):
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
