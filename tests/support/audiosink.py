"""Where the tests take a switch's live audio: a WebSocket server for forks, and a UDP socket for `unicast`.

Both are written apart from what is tested, frame by frame.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import gevent
import numpy as np
from gevent.server import StreamServer

from .drivers import eventually
from .listen import levels

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE = 1, 2, 8


class ForkedTo:
    """One WebSocket that a switch opened. `order` is text and binary, as they came."""

    def __init__(self, sock: socket.socket, path: str, headers: dict[str, str]) -> None:
        self._socket = sock
        self._buffer = b""
        self.path = path
        self.headers = headers
        self.texts: list[str] = []
        self.messages: list[bytes] = []
        self.order: list[str] = []
        self.closed: int | None = None
        """The code it was closed with; 1006 without any."""

    def samples(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.messages), dtype="<i2")

    def say(self, text: str, opcode: int = TEXT) -> None:
        data = text.encode()
        assert len(data) < 126
        self._socket.sendall(struct.pack("!BB", 0x80 | opcode, len(data)) + data)

    def close(self, code: int = 1000) -> None:
        with suppress(OSError):
            self._socket.sendall(struct.pack("!BBH", 0x80 | CLOSE, 2, code))

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def wait_for(self, frames: int, timeout: float = 20.0) -> None:
        seen = len(self.messages)
        eventually(lambda: len(self.messages) >= seen + frames, f"{frames} more frames", timeout)

    def wait_closed(self) -> int | None:
        eventually(lambda: self.closed is not None, f"{self.path} is closed")
        return self.closed

    def serve(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                self._take_frame()
        if self.closed is None:
            self.closed = 1006

    def _take_frame(self) -> None:
        first, second = self._read(2)
        assert second & 0x80, "a client masks its frames"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self._read(2 if size == 126 else 8))
        mask = np.frombuffer(self._read(4), np.uint8)
        data = np.frombuffer(self._read(size), np.uint8) ^ np.resize(mask, size)
        self._take(first & 0x0F, data.tobytes())

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _take(self, opcode: int, data: bytes) -> None:
        if opcode == TEXT:
            self.texts.append(data.decode())
            self.order.append("text")
        elif opcode == BINARY:
            self.messages.append(data)
            self.order.append("binary")
        elif opcode == CLOSE:
            self.closed = struct.unpack("!H", data)[0] if len(data) > 1 else 1005


class ForkServer:
    """Takes WebSockets. `answers` are paths that are not taken, and what they are told instead; an empty one
    is never answered."""

    def __init__(self, subprotocol: bool = True) -> None:
        self._subprotocol = subprotocol
        self.connections: list[ForkedTo] = []
        self.answers: dict[str, str] = {}
        self.reads = True
        self._sockets: list[socket.socket] = []
        self._server = StreamServer(("127.0.0.1", 0), self._accept)
        self._server.start()
        self.port = self._server.server_port

    def url(self, path: str = "/fork") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def connection(self, number: int = 0, timeout: float = 20.0) -> ForkedTo:
        eventually(lambda: len(self.connections) > number, "the switch has connected", timeout)
        return self.connections[number]

    def stop(self) -> None:
        self._server.stop(timeout=0.1)
        for sock in self._sockets:
            sock.close()

    def _accept(self, sock: socket.socket, _: object) -> None:
        self._sockets.append(sock)
        request = b""
        while b"\r\n\r\n" not in request:
            data = sock.recv(65536)
            if not data:
                return
            request += data
        first, *lines = request.decode().rstrip("\r\n").split("\r\n")
        path = first.split(" ")[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if path in self.answers:
            sock.sendall(self.answers[path].encode())
            if not self.answers[path]:
                gevent.sleep(30)
            return
        key = headers["sec-websocket-key"] + GUID
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        answer = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept}",
        ]
        if self._subprotocol:
            answer.append(f"Sec-WebSocket-Protocol: {headers['sec-websocket-protocol']}")
        sock.sendall(("\r\n".join(answer) + "\r\n\r\n").encode())
        connection = ForkedTo(sock, path, headers)
        self.connections.append(connection)
        if self.reads:
            connection.serve()
        else:
            gevent.sleep(30)


class UnicastEnd:
    """The far end of one `unicast`. It knows the switch's port by the first datagram."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.switch: tuple[str, int] | None = None
        self.received: list[bytes] = []
        self._reader = gevent.spawn(self._read)
        self._speaker: gevent.Greenlet | None = None

    def _read(self) -> None:
        while True:
            data, self.switch = self._socket.recvfrom(65536)
            self.received.append(data)

    def samples(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.received), dtype=np.int16)

    def wait_for(self, frames: int, timeout: float = 20.0) -> None:
        seen = len(self.received)
        eventually(lambda: len(self.received) >= seen + frames, f"{frames} more frames", timeout)

    def send(self, samples: np.ndarray) -> None:
        assert self.switch is not None
        self._socket.sendto(samples.astype(np.int16).tobytes(), self.switch)

    def say(self, samples: np.ndarray, rate: int, for_ever: bool = False) -> gevent.Greenlet:
        """A frame of 20 ms every 20 ms."""
        self._speaker = gevent.spawn(self._speak, samples, rate // 50, for_ever)
        return self._speaker

    def hush(self) -> None:
        if self._speaker is not None:
            self._speaker.kill()

    def _speak(self, samples: np.ndarray, size: int, for_ever: bool) -> None:
        due, at = time.monotonic(), 0
        while for_ever or at < len(samples):
            self.send(np.take(samples, range(at, at + size), mode="wrap"))
            at += size
            due += 0.02
            gevent.sleep(max(0.0, due - time.monotonic()))

    def close(self) -> None:
        self.hush()
        self._reader.kill()
        self._socket.close()


@contextmanager
def fork_server(**options: bool) -> Iterator[ForkServer]:
    server = ForkServer(**options)
    yield server
    server.stop()


@contextmanager
def unicast_end() -> Iterator[UnicastEnd]:
    end = UnicastEnd()
    yield end
    end.close()


def level(samples: np.ndarray, rate: int, frequency: float) -> float:
    """The amplitude of a tone in the last tenth of a second but one, where it has settled."""
    part = samples[-rate // 5 :]
    return float(np.median(levels(part, rate, frequency))) if len(part) else 0.0
