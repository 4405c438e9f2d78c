"""One connection of the HTTP listener: gevent's WSGI handler with gevent-websocket's upgrade.

Both as shipped believe any framing, wait for a head and a body as long as a byte comes now and then, and
upgrade before the application is asked. Reading the head and the upgrade are overridden here; the rules are
in `framing` and `wshandshake`.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from http.client import HTTPMessage
from typing import Any

import gevent
import structlog
from gevent.pywsgi import Input, _InvalidClientInput
from geventwebsocket.handler import WebSocketHandler
from geventwebsocket.websocket import Stream

from . import framing, sockets, wsframes, wshandshake
from .connections import Connection
from .websocket import DEFAULT_MAX_BYTES, DEFAULT_WRITE_TIMEOUT_S, HardenedWebSocket

log = structlog.get_logger(__name__)

HEAD_TIMEOUT_S = 10.0
"""For the whole head of a request, and for the first to begin."""
BODY_TIMEOUT_S = 60.0
"""For the whole body."""
DISCARD_TIMEOUT_S = 2.0
"""For the rest of a body that nobody wants; who sends longer is disconnected."""


def last_answer(status: str, body: bytes, more: str = "") -> bytes:
    """An answer with a JSON body, written without gevent's help; the connection ends behind it. `more` are
    header lines."""
    kind = "Content-Type: application/json\r\n" if body else ""
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}{kind}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Fields(HTTPMessage):
    """Header fields as gevent's handler wants them."""

    status = ""

    def getheader(self, name: str, default: str | None = None) -> str | None:
        return self.get(name, default)

    @property
    def headers(self) -> list[str]:
        return [f"{name}: {value}" for name, value in self.items()]

    @property
    def typeheader(self) -> str | None:
        return self.get("content-type")


class Body(Input):
    """A request's body, under one deadline. What breaks its framing, or the deadline, ends the connection."""

    def __init__(self, handler: HardenedHandler, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._handler = handler
        self._left = BODY_TIMEOUT_S
        self._broken = False

    def read(self, length: int | None = None) -> bytes:
        return self._within(super().read, length)

    def readline(self, size: int | None = None) -> bytes:
        return self._within(super().readline, size)

    def _within(self, read: Any, size: int | None) -> bytes:
        if self._broken:
            raise BrokenBody("the body cannot be read any further")
        connection, began = self._handler.connection, time.monotonic()
        connection.waiting()
        try:
            with gevent.Timeout(max(self._left, 0.001), BrokenBody("the body took too long")):
                data: bytes = read(size)
        except (ValueError, OSError) as error:
            self._broken = self._handler.close_connection = True
            raise error if isinstance(error, BrokenBody) else BrokenBody(str(error)) from error
        finally:
            connection.busy()
            self._left -= time.monotonic() - began
        return data

    def _discard(self) -> None:
        """What is left of the body, when the answer is sent."""
        if self._broken:
            return
        self._left = min(self._left, DISCARD_TIMEOUT_S)
        with suppress(BrokenBody):  # the connection is closed
            super()._discard()


class BrokenBody(_InvalidClientInput):
    """The body does not end as its head said, or not in time."""


class HardenedHandler(WebSocketHandler):
    """Asks `server.ws_gate(environ)` before an upgrade, and makes hardened connections.

    The gate returns None to go on, or (status line, headers, body) to send instead. The server may also
    carry `ws_max_bytes`, `ws_write_timeout` and `ws_read_timeout`, `request_timeout` for the silence of
    clients that are no WebSockets, and `error_body`, which makes the JSON body of an error from its text.
    """

    wsgi_input: Input

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        sock.settimeout(getattr(server, "request_timeout", None))
        # head and body of an answer are two writes; without this the second waits 40 ms for the client's ACK
        sockets.tune(sock)
        super().__init__(sock, address, server, rfile)
        self.connection = Connection(sock, address)
        self._served = 0

    def handle_one_request(self) -> Any:
        """Read a request and answer it. True for another, None for the end."""
        self.connection.waiting()
        try:
            lines = self._read_head()
            if lines is None or self.connection.evicted:
                return None
            self._take(framing.parse(lines))
        except framing.BadHead as bad:
            self._turn_away(bad)
            return None
        except OSError:
            return None  # gone, or silent for too long
        self.connection.busy()
        self._served += 1
        self.response_length = 0
        self.environ = self.get_environ()
        self.application = self.server.application
        self.handle_one_response()
        return None if self.close_connection or self.rfile.closed else True

    def _read_head(self) -> list[bytes] | None:
        """The lines of the next head; None when the client has ended. BadHead when it takes too long."""
        silence = gevent.Timeout(None if self._served else HEAD_TIMEOUT_S, TimeoutError())
        with silence:  # between two requests it may last as long as the socket's timeout
            if not self.rfile.peek(1):
                return None
        lines: list[bytes] = []
        with gevent.Timeout(HEAD_TIMEOUT_S, framing.BadHead("head took too long", framing.TIMED_OUT)):
            left = framing.MAX_HEAD
            while left > 0:
                line = self.rfile.readline(left if lines else framing.MAX_LINE)
                left -= len(line)
                if not line.endswith(b"\n"):
                    if not lines and len(line) >= framing.MAX_LINE:
                        raise framing.BadHead("request line too long", framing.LINE_TOO_LONG)
                    if left > 0:
                        return None
                elif not line.endswith(b"\r\n"):
                    raise framing.BadHead("bare line feed")
                elif line != b"\r\n":
                    lines.append(line)
                elif lines:
                    return lines
        raise framing.BadHead("head too large", framing.HEAD_TOO_LARGE)

    def _turn_away(self, bad: framing.BadHead) -> None:
        """Answer a request that cannot be read, and give its client the time to read the answer."""
        log.info(
            "connection refused", address=self.client_address[0], reason=str(bad), code=int(bad.status[:3])
        )
        error_body = getattr(self.server, "error_body", None)
        answer = last_answer(bad.status, error_body(str(bad)) if error_body is not None else b"")
        with suppress(OSError), gevent.Timeout(DISCARD_TIMEOUT_S, False):
            self.socket.sendall(answer)
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(framing.MAX_HEAD):
                gevent.sleep(0)

    def _take(self, head: framing.Head) -> None:
        self.command, self.path, self.request_version = head.method, head.target, head.version
        self.requestline = f"{head.method} {head.target} {head.version}"
        self.headers = Fields()
        for name, value in head.fields:
            self.headers[name] = value
        self.content_length = head.length
        self.close_connection = not head.keep_alive

    def get_environ(self) -> dict[str, Any]:
        """With the request target as it was sent: PATH_INFO does not tell a slash from an escaped one."""
        environ: dict[str, Any] = super().get_environ()
        environ["REQUEST_URI"] = self.path
        given: Input = self.wsgi_input
        self.wsgi_input = Body(self, given.rfile, given.content_length, given.socket, given.chunked_input)
        environ["wsgi.input"] = self.wsgi_input
        environ["wsgi.input_terminated"] = True
        return environ

    def _sendall(self, data: bytes) -> None:
        self.connection.waiting(writing=True)
        try:
            super()._sendall(data)
        finally:
            self.connection.busy()

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """As ever for faults of ours; a client that is gone, or does not read, is none."""
        if not issubclass(kind, OSError):
            super().handle_error(kind, error, trace)
            return
        self.close_connection = True
        log.info("http client lost", address=self.client_address[0], reason=str(error))

    def upgrade_websocket(self) -> list[bytes] | None:
        """Switch protocols, or return the body of a refusal; None as well for a request that asks for no
        WebSocket."""
        if not wshandshake.wants_upgrade(self.environ):
            return None
        refusal = wshandshake.refusal(self.environ)
        if refusal is not None:
            reason = refusal[2].decode(errors="replace").strip()
            log.info(
                "connection refused", address=self.client_address[0], reason=reason, code=int(refusal[0][:3])
            )
        else:
            gate = getattr(self.server, "ws_gate", None)
            refusal = gate(self.environ) if gate is not None else None
        if refusal is not None:
            return self._refuse(*refusal)
        self.upgrade_connection()
        return None

    def _tell_refusal(self, reason: str, status: str) -> None:
        log.info("connection refused", address=self.client_address[0], reason=reason, code=int(status[:3]))

    def _refuse(self, status: str, headers: list[tuple[str, str]], body: bytes) -> list[bytes]:
        self.start_response(status, headers)
        # frames that the client has sent already must not be read as its next request, nor a body waited for
        self.close_connection = True
        self.wsgi_input.content_length, self.wsgi_input.chunked_input = 0, False
        return [body]

    def upgrade_connection(self) -> None:
        """Answer 101 and make the connection object, which the application finds as `wsgi.websocket`."""
        self.connection.upgraded()
        self.socket.settimeout(None)  # it has deadlines of its own
        self.websocket = HardenedWebSocket(
            self.environ,
            Stream(self),
            self,
            max_bytes=getattr(self.server, "ws_max_bytes", DEFAULT_MAX_BYTES),
            write_timeout=getattr(self.server, "ws_write_timeout", DEFAULT_WRITE_TIMEOUT_S),
            read_timeout=getattr(self.server, "ws_read_timeout", None),
        )
        self.environ["wsgi.websocket"] = self.websocket
        self.environ["wsgi.websocket_version"] = wshandshake.VERSION
        accept = wshandshake.accept(self.environ["HTTP_SEC_WEBSOCKET_KEY"])
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
        if spoken := wshandshake.subprotocol(self.environ):
            headers.append(("Sec-WebSocket-Protocol", spoken))
        self.start_response("101 Switching Protocols", headers)

    def run_websocket(self) -> None:
        """Run the application on the connection, then close it whatever became of the application."""
        ws = self.websocket
        try:
            response = self.application(self.environ, lambda *_: None)
            try:
                for _ in response:
                    pass  # an application may be a generator; there is no HTTP response to write to
            finally:
                getattr(response, "close", lambda: None)()
        except Exception:
            ws.close(wsframes.INTERNAL_ERROR, "internal error")
            raise
        finally:
            try:
                ws.finish()
            finally:
                self.environ["wsgi.websocket"] = None
                # gevent's close wakes whoever still waits in this socket. The server's own closes the bare
                # descriptor, and the event loop aborts the process when it finds a waiter on it.
                self.rfile.close()
                self.socket.close()

    def log_request(self) -> None:
        """Requests are logged by who serves them, not by the transport."""
