"""The WebSocket of a fork, as mod_audio_fork opens it: texts, and audio that gathers until it can be sent.

It is written to from the clock of live audio, which must not wait: what the server does not take stays here,
audio up to two seconds of it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from base64 import b64encode
from contextlib import suppress
from urllib.parse import urlsplit

import websocket

from ..later import punctually

SUBPROTOCOL = "audio.drachtio.org"
BUFFER_S = 2
MOST_UNSENT = 1 << 20
GOODBYE_S = 1.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NO_MASK = b"\0\0\0\0"
"""Frames of a client are masked; by this they stay what they are."""


class CannotConnect(Exception):
    """The text is the reason that the module gives."""


class Pipe:
    """One connection. `bytes_a_second` is that of its audio."""

    def __init__(self, url: str, bytes_a_second: int, credentials: tuple[str, str] | None) -> None:
        self._url = url
        self._credentials = credentials
        self._most_audio = BUFFER_S * bytes_a_second
        self._audio = bytearray()
        self._unsent = bytearray()
        self._socket: websocket.WebSocket | None = None

    def connect(self) -> None:
        """Open it; may take for ever when the server does not answer. Raises CannotConnect."""
        if self._url.lower().startswith(("wss:", "https:")):
            raise CannotConnect("connect SSL err 1: error:00000001:lib(0)::reason(1)")
        header = ["Pragma: no-cache", "Cache-Control: no-cache", f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"]
        if self._credentials is not None:
            pair = ":".join(self._credentials).encode()
            header.append(f"Authorization: Basic {b64encode(pair).decode()}")
        try:
            parts = urlsplit(self._url)
            host = parts.hostname or ""
            self._socket = websocket.create_connection(
                self._url.replace("http://", "ws://", 1),
                # the module does not name the port
                host=host,
                origin=f"http://{host}",
                header=header,
                socket=_dialled(host, parts.port or 80),
            )
        except websocket.WebSocketBadStatusException as error:
            refused = error.status_code == 401
            reason = "HS: ws upgrade unauthorized" if refused else "HS: ws upgrade response not 101"
            raise CannotConnect(reason) from None
        except OSError as error:
            lost = error.errno in (errno.ECONNRESET, errno.EPIPE)
            raise CannotConnect("read failed" if lost else "Unable to connect") from None
        except (websocket.WebSocketException, ValueError):
            raise CannotConnect("read failed") from None

    def receive(self) -> str | None:
        """The next text; None when the connection is over."""
        text = b""
        try:
            while self._socket is not None:
                frame = self._socket.recv_frame()  # type: ignore[no-untyped-call]
                data = bytes(frame.data)
                if frame.opcode == CLOSE:
                    self._put(CLOSE, data[:2])
                    return None
                if frame.opcode == PING:
                    self._put(PONG, data)
                elif frame.opcode == TEXT or (frame.opcode == 0 and text):
                    text += data
                    if frame.fin:
                        return text.decode("utf-8", "replace")
        except (OSError, websocket.WebSocketException):
            pass
        return None

    def send_text(self, text: str) -> None:
        """Send a text, behind what is on its way."""
        self._put(TEXT, text.encode("utf-8", "replace"))

    def send_nothing(self) -> None:
        """A binary message without a byte."""
        self._put(BINARY, b"")

    def send_audio(self, audio: bytes) -> bool:
        """Send audio, with what has gathered, as one message. False when all that had is thrown away."""
        kept = len(self._audio) + len(audio) <= self._most_audio
        if not kept:
            self._audio.clear()
        self._audio += audio
        if self._flush():
            gathered = bytes(self._audio)
            self._audio.clear()
            self._put(BINARY, gathered)
        return kept

    def say_goodbye(self) -> None:
        """Close it with 1000, and give the server a moment to do the same."""
        self._put(CLOSE, struct.pack("!H", 1000))
        punctually(GOODBYE_S, self.drop)

    def drop(self) -> None:
        """Close the socket at once. May be repeated."""
        if self._socket is not None:
            with suppress(OSError, websocket.WebSocketException):
                self._socket.shutdown()  # type: ignore[no-untyped-call]

    def _put(self, opcode: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        # what is said to a server that does not read is lost
        if len(self._unsent) < MOST_UNSENT:
            self._unsent += head + NO_MASK + data
        self._flush()

    def _flush(self) -> bool:
        """Send what can be sent now; whether that is all."""
        if self._socket is None or self._socket.sock is None:
            return False
        try:
            while self._unsent:
                # not by the socket object, which waits
                del self._unsent[: os.write(self._socket.sock.fileno(), self._unsent)]
        except BlockingIOError:
            return False
        except OSError:
            self._unsent.clear()
        return True


def _dialled(host: str, port: int) -> socket.socket:
    """A connection, and nothing left of it if it is given up."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
