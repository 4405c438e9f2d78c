"""The WebSocket of gevent-websocket, with its measured defects closed.

As shipped (0.10.1) it has no size limit and no deadlines, takes unmasked frames, breaks close codes and
binary pings, and lets two writers mix their frames. Reading, writing and closing are overridden here; the
framing is in `wsframes`, the upgrade in `handler`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import structlog
from gevent.exceptions import ConcurrentObjectUseError
from gevent.lock import BoundedSemaphore
from geventwebsocket.handler import WebSocketHandler
from geventwebsocket.websocket import Stream, WebSocket

from ..later import later
from . import sockets, wsframes

log = structlog.get_logger(__name__)

READ_BYTES = 64 * 1024
STEPS_PER_TURN = 16
CLOSE_HANDSHAKE_S = 2.0
DEFAULT_MAX_BYTES = 1 << 20
DEFAULT_WRITE_TIMEOUT_S = 5.0


class WebSocketClosed(Exception):
    """The connection is over; nothing can be written any more."""


class HardenedWebSocket(WebSocket):
    """One connection: a reader greenlet calls `receive`, any greenlet may write or close.

    After the end, `close_code` and `close_reason` tell how it came: peer_close, closed or the reason that
    was given to `close`, read_timeout, write_timeout, too_big, protocol, error. Timeouts in seconds.
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
        self.stream = self.raw_read = self.raw_write = None  # no way around the parser and the lock
        self._socket = handler.socket
        self._parser = wsframes.Parser(max_bytes)
        self._parser.feed(sockets.read_ahead(handler.socket, handler.rfile))
        self._lock = BoundedSemaphore(1)
        self._write_timeout = write_timeout
        self._read_timeout = read_timeout
        self._steps = 0
        self._closing = False
        self._peer_done = False  # nothing more is expected from the peer
        self._reaper: gevent.Greenlet | None = None
        self._rfile = handler.rfile
        self._elsewhere: Callable[[], None] | None = None
        """Closes it where it has been handed over to."""
        self.close_code = wsframes.ABNORMAL
        self.close_reason = ""
        sockets.tune(self._socket)

    def __del__(self) -> None:
        """The base writes a close frame from here; the garbage collector must not do I/O."""

    def receive(self) -> str | bytes | None:
        """The next text (str) or binary (bytes) message; None when the connection is over."""
        while not self.closed:
            self._take_turns()
            try:
                message = self._parser.next_message()
                if message is None:
                    self._fill()
                elif message.opcode >= wsframes.CLOSE:
                    self._control(message)
                elif not self._closing:  # what comes after our close frame is of no use to anyone
                    return message.payload.decode() if message.opcode == wsframes.TEXT else message.payload
            except wsframes.FrameError as error:
                reason = "too_big" if error.code == wsframes.TOO_BIG else "protocol"
                self._fail(error.code, str(error), reason)
            except UnicodeDecodeError:
                self._fail(wsframes.BAD_DATA, "text is not UTF-8", "protocol")
        return None

    def _take_turns(self) -> None:
        """A socket that always has data never makes its reader wait, so the others would never run."""
        self._steps += 1
        if self._steps >= STEPS_PER_TURN:
            self._steps = 0
            gevent.sleep(0)

    def _fill(self) -> None:
        try:
            data = self._read()
        except OSError:
            data = b""
        if data is None:
            self.close_reason = self.close_reason or "read_timeout"
            self.close(wsframes.GOING_AWAY, "idle for too long")
            return
        if data:
            self._parser.feed(data)
        else:
            self._peer_done = True
            self._end("error")

    def _read(self) -> bytes | None:
        """None when nothing came in time."""
        seconds = None if self._closing else self._read_timeout
        data: bytes
        if seconds is None:
            data = self._socket.recv(READ_BYTES)
            return data
        deadline = gevent.Timeout(seconds)
        try:
            with deadline:
                data = self._socket.recv(READ_BYTES)
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            return None
        return data

    def _control(self, message: wsframes.Message) -> None:
        if message.opcode == wsframes.PING and not self._closing:
            with suppress(WebSocketClosed):
                self._write(wsframes.encode(wsframes.PONG, message.payload))
        elif message.opcode == wsframes.CLOSE:
            code = wsframes.close_code(message.payload)
            self._peer_done = True
            if not self._closing:
                self._closing = True
                self.close_code, self.close_reason = code, "peer_close"
                answer = b"" if code == wsframes.NO_STATUS else message.payload[:2]
                with suppress(WebSocketClosed):
                    self._write(wsframes.encode(wsframes.CLOSE, answer), final=True)
            self._end("peer_close")

    def send_text(self, data: str | bytes) -> None:
        """Send one text message; bytes must be UTF-8. WebSocketClosed when that is no longer possible."""
        self._write(wsframes.encode(wsframes.TEXT, data.encode() if isinstance(data, str) else data))

    def send_many(self, messages: list[bytes]) -> None:
        """Send text messages (UTF-8) in one write, under one deadline. Raises as `send_text`."""
        self._write(b"".join([wsframes.encode(wsframes.TEXT, message) for message in messages]))

    def send_frame(self, message: str | bytes, opcode: int) -> None:
        """What the base's `send` calls; here it goes the same way as every other frame."""
        self._write(wsframes.encode(opcode, message.encode() if isinstance(message, str) else bytes(message)))

    def _write(self, data: bytes, *, final: bool = False) -> None:
        """Write whole frames, under the lock and one deadline; after a `final` write nothing follows."""
        unsent = memoryview(data)
        if not (self._lock.locked() or self.closed or self._closing):
            # what the socket takes at once, which is nearly all there is, needs neither
            try:  # noqa: SIM105  (of each frame: `suppress` would take longer)
                unsent = unsent[self._socket.send(unsent, 0, 0.0) :]
            except OSError:
                pass  # full, or gone: the way below finds out which
            if not unsent:
                return
        deadline = gevent.Timeout(self._write_timeout)
        try:
            with deadline, self._lock:
                if self.closed or (self._closing and not final):
                    raise WebSocketClosed(self.close_reason)
                while unsent:
                    unsent = unsent[self._socket.send(unsent) :]
        except gevent.Timeout as timeout:
            if timeout is deadline:
                self.abort("write_timeout")
                raise WebSocketClosed("write_timeout") from None
            raise
        except OSError as error:
            self.abort("error")
            raise WebSocketClosed("error") from error
        finally:
            if 0 < len(unsent) < len(data):
                self.abort("error")  # killed in mid frame: whatever came next would be read as its rest

    def close(self, code: int = wsframes.NORMAL, message: str | bytes | None = "") -> None:
        """Send a close frame with this code and reason; the connection ends when the peer answers, or
        after two seconds. May be called again, and from any greenlet. ValueError for a reserved code."""
        reason = message.decode("utf-8", "replace") if isinstance(message, bytes) else message or ""
        frame = wsframes.encode_close(code, reason)
        if self._elsewhere is not None:
            self._elsewhere()
        if self.closed or self._closing:
            return
        self._closing = True
        self.close_code, self.close_reason = code, self.close_reason or reason or "closed"
        try:
            with suppress(WebSocketClosed):
                self._write(frame, final=True)
        finally:
            if not self.closed:
                self._reaper = later(CLOSE_HANDSHAKE_S, self._hang_up, "closed")

    def hand_over(self, give: Callable[[int, bytes], None], close: Callable[[], None]) -> None:
        """Have somebody else go on with the connection: `give` gets the descriptor, of which it makes one of
        its own, and what has been read beyond the request. Nothing can be read or sent here afterwards, and
        closing calls `close`. What `give` raises is raised; then nothing has happened. OSError as well when
        it was closed meanwhile, as of a token that is withdrawn: whoever ignores the close frame is not to go
        on."""
        if self.closed or self._closing:
            raise OSError("the connection has been closed")
        give(self._socket.fileno(), self._parser.rest())
        self._elsewhere = close
        self._peer_done = True
        self._end("handed over")
        # the peer is to notice when the other one closes its descriptor
        self._rfile.close()
        self._socket.close()

    def abort(self, reason: str = "closed") -> None:
        """End the TCP connection at once; what is not sent yet is lost. A reader that waits wakes up."""
        sockets.reset_on_close(self._socket)
        self._hang_up(reason)

    def finish(self) -> None:
        """For the handler, when the application has returned: complete the closing handshake."""
        self.close()
        with suppress(ConcurrentObjectUseError):  # the application has left a reader behind
            while self.receive() is not None:
                pass
        if not self._peer_done:
            self._discard()
        self._hang_up("closed")
        log.debug("websocket over", code=self.close_code, reason=self.close_reason)

    def _discard(self) -> None:
        """Let a peer that broke the rules read our close frame.

        Closing a socket with unread data resets the connection, and the frame would be lost with it.
        """
        with suppress(OSError, ConcurrentObjectUseError), gevent.Timeout(CLOSE_HANDSHAKE_S, False):
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(READ_BYTES):
                gevent.sleep(0)

    def _fail(self, code: int, text: str, reason: str) -> None:
        self.close_reason = self.close_reason or reason
        self.close(code, text)
        self._end(reason)  # what follows a broken frame cannot be understood

    def _hang_up(self, reason: str) -> None:
        self._peer_done = True
        self._end(reason)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _end(self, reason: str) -> None:
        self.closed = True
        self.close_reason = self.close_reason or reason
        reaper, self._reaper = self._reaper, None
        if reaper is not None and reaper is not gevent.getcurrent():
            reaper.kill(block=False)
