"""gevent-websocket, with its measured defects closed.

gevent-websocket 0.10.1 gives the upgrade inside gevent's WSGI server. As shipped it has no size limit and
no deadlines, takes unmasked frames, breaks close codes and ping payloads, lets two writers mix their
frames, and upgrades before the application is asked. Reading, writing and closing are overridden here; the
framing is in `wsframes`.
"""

from __future__ import annotations

import base64
import binascii
import socket
from contextlib import suppress
from typing import Any

import gevent
import structlog
from gevent.lock import RLock
from geventwebsocket.handler import WebSocketHandler
from geventwebsocket.websocket import Stream, WebSocket

from . import wsframes

log = structlog.get_logger(__name__)

READ_BYTES = 64 * 1024
CLOSE_HANDSHAKE_S = 2.0
DEFAULT_MAX_BYTES = 1 << 20
DEFAULT_WRITE_TIMEOUT_S = 5.0


class WebSocketClosed(Exception):
    """The connection is over; nothing can be written any more."""


class HardenedWebSocket(WebSocket):
    """One connection: a reader greenlet calls `receive`, any greenlet may write or close.

    After the end, `close_code` and `close_reason` tell how it came: peer_close, stop or another reason
    given to `close`, read_timeout, write_timeout, too_big, protocol, error. Timeouts in seconds.
    """

    def __init__(
        self,
        environ: dict[str, Any],
        stream: Stream,
        handler: WebSocketHandler,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        write_timeout: float = DEFAULT_WRITE_TIMEOUT_S,
        read_timeout: float | None = None,
    ) -> None:
        super().__init__(environ, stream, handler)
        self._socket = handler.socket
        self._reader = handler.rfile  # it may have read ahead of the upgrade request
        self._parser = wsframes.Parser(max_bytes)
        self._lock = RLock()
        self._write_timeout = write_timeout
        self._read_timeout = read_timeout
        self._close_sent = False
        self._reaper: gevent.Greenlet | None = None
        self.close_code = wsframes.ABNORMAL
        self.close_reason = ""
        self._tune()

    def _tune(self) -> None:
        with suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # a client that vanished without a word is noticed, although it need not answer pings
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

    def receive(self) -> str | bytes | None:
        """The next text (str) or binary (bytes) message; None when the connection is over."""
        while not self.closed:
            try:
                message = self._parser.next_message()
                if message is None:
                    self._fill()
                elif message.opcode in (wsframes.TEXT, wsframes.BINARY):
                    if self._close_sent:
                        continue
                    return message.payload.decode() if message.opcode == wsframes.TEXT else message.payload
                else:
                    self._control(message)
            except wsframes.FrameError as error:
                reason = "too_big" if error.code == wsframes.TOO_BIG else "protocol"
                self._fail(error.code, str(error), reason)
            except UnicodeDecodeError:
                self._fail(wsframes.BAD_DATA, "text is not UTF-8", "protocol")
            except WebSocketClosed:
                break
        return None

    def _fill(self) -> None:
        try:
            with gevent.Timeout(self._read_timeout):
                data = self._reader.read1(READ_BYTES)
        except gevent.Timeout:
            self._fail(wsframes.GOING_AWAY, "idle for too long", "read_timeout")
            return
        except (OSError, ValueError):
            data = b""
        if not data:
            self._end("error")
            return
        self._parser.feed(data)

    def _control(self, message: wsframes.Message) -> None:
        if message.opcode == wsframes.PING:
            self._write(wsframes.encode(wsframes.PONG, message.payload))
        elif message.opcode == wsframes.CLOSE:
            code = wsframes.close_code(message.payload)
            if not self._close_sent:
                self.close_code, self.close_reason = code, "peer_close"
                self._close_sent = True
                answer = b"" if code == wsframes.NO_STATUS else message.payload[:2]
                with suppress(WebSocketClosed):
                    self._write(wsframes.encode(wsframes.CLOSE, answer))
            self._end("peer_close")

    def send_text(self, data: str | bytes) -> None:
        """Send one text message; bytes must be UTF-8. WebSocketClosed when that is no longer possible."""
        self.send_many([data.encode() if isinstance(data, str) else data])

    def send_many(self, messages: list[bytes]) -> None:
        """Send text messages (UTF-8) in one write, under one deadline."""
        if self._close_sent:
            raise WebSocketClosed(self.close_reason)
        self._write(b"".join([wsframes.encode(wsframes.TEXT, message) for message in messages]))

    def _write(self, data: bytes) -> None:
        deadline = gevent.Timeout(self._write_timeout)
        try:
            with deadline, self._lock:
                if self.closed:
                    raise WebSocketClosed(self.close_reason)
                self._socket.sendall(data)
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            self.abort("write_timeout")
            raise WebSocketClosed("write_timeout") from None
        except OSError as error:
            self.abort("error")
            raise WebSocketClosed("error") from error

    def close(self, code: int = wsframes.NORMAL, message: Any = "") -> None:
        """Send a close frame with this code and reason; the connection ends when the peer answers, or
        after two seconds. May be called again, and from any greenlet."""
        if self.closed or self._close_sent:
            return
        self._close_sent = True
        reason = message.decode("utf-8", "replace") if isinstance(message, bytes) else str(message or "")
        self.close_code, self.close_reason = code, self.close_reason or reason or "closed"
        with suppress(WebSocketClosed):
            self._write(wsframes.encode_close(code, reason))
            self._reaper = gevent.spawn_later(CLOSE_HANDSHAKE_S, self.abort, "closed")

    def abort(self, reason: str) -> None:
        """End the TCP connection at once. A reader that waits wakes up."""
        self._end(reason)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _fail(self, code: int, text: str, reason: str) -> None:
        self.close_reason = self.close_reason or reason
        self.close(code, text)
        if reason != "read_timeout":
            self._end(reason)  # what follows a broken frame cannot be understood

    def _end(self, reason: str) -> None:
        self.closed = True
        self.close_reason = self.close_reason or reason
        reaper, self._reaper = self._reaper, None
        if reaper is not None and reaper is not gevent.getcurrent():
            reaper.kill(block=False)


class HardenedHandler(WebSocketHandler):
    """Asks `server.ws_gate(environ)` before an upgrade, and makes hardened connections.

    The gate returns None to go on, or (status line, headers, body) to send instead. The server may also
    carry `ws_max_bytes`, `ws_write_timeout` and `ws_read_timeout`.
    """

    def upgrade_connection(self) -> list[bytes] | None:
        """Validate the handshake, ask the gate, then let the base switch protocols."""
        if self.environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
            self.start_response("426 Upgrade Required", [("Sec-WebSocket-Version", "13")])
            return [b"only WebSocket version 13 is spoken here\n"]
        try:
            key = base64.b64decode(self.environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip(), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 16:
            self.start_response("400 Bad Request", [])
            return [b"bad Sec-WebSocket-Key\n"]
        gate = getattr(self.server, "ws_gate", None)
        refusal = gate(self.environ) if gate is not None else None
        if refusal is not None:
            status, headers, body = refusal
            self.start_response(status, headers)
            return [body]
        result = super().upgrade_connection()
        if self.environ.get("wsgi.websocket") is not None:
            # the base's own connection object sends a close frame when it is collected, unless it is closed
            self.environ["wsgi.websocket"].closed = True
            self.websocket = HardenedWebSocket(
                self.environ,
                Stream(self),
                self,
                max_bytes=getattr(self.server, "ws_max_bytes", DEFAULT_MAX_BYTES),
                write_timeout=getattr(self.server, "ws_write_timeout", DEFAULT_WRITE_TIMEOUT_S),
                read_timeout=getattr(self.server, "ws_read_timeout", None),
            )
            self.environ["wsgi.websocket"] = self.websocket
        return result

    def upgrade_websocket(self) -> list[bytes] | None:
        """As the base, with answers that HTTP knows (the base says "402 Bad Request")."""
        wants = self.environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        if wants and self.request_version != "HTTP/1.1":
            self.start_response("400 Bad Request", [])
            return [b"a WebSocket needs HTTP/1.1\n"]
        return super().upgrade_websocket()

    def log_request(self) -> None:
        """Requests are logged by who serves them, not by the transport."""
