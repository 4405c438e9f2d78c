"""The least that a service between a WebSocket client and the switch can be: what our command path is held
against. Each text frame is one ESL command, its answer's body is one frame back, and there is no logic.

`python -m tests.bench.relay PORT` serves ws://127.0.0.1:(printed port)/ in front of the switch on PORT.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer

from vsi_esl.web import wsframes

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Switch:
    """A connection to the event socket: a command out, its reply in."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self._reply()
        self.ask(b"auth ClueCon")

    def ask(self, command: bytes) -> bytes:
        self._socket.sendall(command + b"\n\n")
        return self._reply()

    def _reply(self) -> bytes:
        while (end := self._read.find(b"\n\n")) < 0:
            self._read += self._socket.recv(65536)
        head = self._read[:end]
        _, there, length = head.partition(b"Content-Length: ")
        size = end + 2 + (int(length.partition(b"\n")[0]) if there else 0)
        while len(self._read) < size:
            self._read += self._socket.recv(65536)
        body, self._read = self._read[end + 2 : size], self._read[size:]
        return body


def serve(sock: Any, switch: Switch) -> None:
    """One WebSocket: the upgrade, then frames until its end."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(65536)
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    accept = base64.b64encode(hashlib.sha1(key.split(b":")[1].strip() + GUID).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    parser = wsframes.Parser(1 << 20)
    while data := sock.recv(65536):
        parser.feed(data)
        while (message := parser.next_message()) is not None:
            if message.opcode == wsframes.CLOSE:
                return
            sock.sendall(wsframes.encode(wsframes.TEXT, switch.ask(message.payload)))


def main() -> None:
    switch = Switch(int(sys.argv[1]))
    server = StreamServer(("127.0.0.1", 0), lambda sock, _: serve(sock, switch))
    server.start()
    print(server.server_port, flush=True)
    gevent.wait()


if __name__ == "__main__":
    main()
