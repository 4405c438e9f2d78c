"""How requests get to an S3 endpoint that a client of ours named: to an address that was checked, and nowhere
else. No proxy, no redirect, and an answer that is not read without end."""

from __future__ import annotations

import io
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, SSLError

from ..net import NetError
from ..net.addresses import in_uri
from ..net.connect import FAILURES, Connection, Connector, trust
from ..net.guard import AddressGuard, Forbidden
from ..net.url import DEFAULT_PORTS, WebUrl, parsed

WHAT = "s3_endpoint"
MAX_ANSWER = 256 << 10
"""What is read of an answer: a few hundred bytes of XML, if anything."""
BLOCK = 16 << 10
LEFT_OUT = {"expect", "host", "connection"}
"""Headers not passed on; none of them is signed but Host, which is written anew."""


class Direct:
    """Sends what a client of boto3 has signed; for its event `before-send`. `timeout` is in seconds."""

    def __init__(self, guard: AddressGuard, timeout: float, ca_bundle: str = "") -> None:
        self._connector = Connector(guard, timeout, WHAT, trust(ca_bundle) if ca_bundle else trust())

    def send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """The answer to a request. Raises Forbidden, or botocore's exceptions."""
        url = parsed(request.url, WHAT)
        try:
            connection = self._connector.connect(url)
        except Forbidden:
            raise
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=WHAT, error="") from error
        except (NetError, *FAILURES) as error:
            raise EndpointConnectionError(endpoint_url=WHAT) from error
        with closing(connection):
            try:
                return _exchange(connection, url, request)
            except FAILURES as error:
                raise ConnectionClosedError(endpoint_url=WHAT) from error


def _exchange(connection: Connection, url: WebUrl, request: AWSPreparedRequest) -> AWSResponse:
    headers = {name: _text(value) for name, value in request.headers.items() if name.lower() not in LEFT_OUT}
    host = in_uri(url.host)
    # as it was signed: botocore leaves out the scheme's own port
    headers["Host"] = host if url.port == DEFAULT_PORTS[url.scheme] else f"{host}:{url.port}"
    headers["Connection"] = "close"
    with suppress(BrokenPipeError):  # it may have answered before it had read everything
        connection.request(
            request.method,
            url.target,
            body=request.body,
            headers=headers,
            preload_content=False,
            decode_content=False,
        )
    with closing(connection.getresponse()) as answer:
        body = b""
        while len(body) < MAX_ANSWER and (block := answer.read(BLOCK, decode_content=False)):
            body += block
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Body(body))


class _Body(io.BytesIO):
    """A body as botocore wants to read it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
