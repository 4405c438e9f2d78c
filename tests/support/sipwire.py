"""How the tests' SIP user agent reaches others, and is reached: UDP, TCP or TLS, over IPv4 or IPv6."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket as gsocket
from gevent import ssl as gssl

from .sipmessage import Message

LENGTH = re.compile(rb"\r\n(?:content-length|l)\s*:\s*(\d+)", re.IGNORECASE)


class Wire:
    """One listener. With `trust` it speaks TLS: `trust` is a directory with `agent.pem` and `cafile.pem`."""

    def __init__(
        self, transport: str = "udp", host: str = "127.0.0.1", trust: Any = None, port: int = 0
    ) -> None:
        self.transport = transport
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = gsocket.socket(family, kind)
        self._socket.bind((host, port))
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._trust = trust
        self._connections: dict[Any, Any] = {}
        self._greenlets: list[Any] = []
        self._receive: Callable[[Message], None] = lambda message: None
        self.connections = 0
        """How often somebody connected to it."""

    def start(self, receive: Callable[[Message], None]) -> None:
        """Hand every message that comes to this function."""
        self._receive = receive
        if self.transport == "udp":
            self._greenlets.append(gevent.spawn(self._read_datagrams))
        else:
            self._socket.listen(8)
            self._greenlets.append(gevent.spawn(self._accept))

    def stop(self) -> None:
        gevent.killall(self._greenlets)
        for connection in self._connections.values():
            connection.close()
        self._socket.close()

    def drop(self) -> None:
        """Close the connections there are."""
        while self._connections:
            self._connections.popitem()[1].close()

    def send(self, message: Message, to: tuple[str, int]) -> None:
        """A request; over the connection that there is with this address, or a new one."""
        if self.transport == "udp":
            self._socket.sendto(bytes(message), to)
            return
        if to not in self._connections:
            connection = gsocket.create_connection(to[:2])
            if self.transport == "tls":
                context = gssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(self._trust / "cafile.pem")
                context.load_cert_chain(self._trust / "agent.pem")
                connection = context.wrap_socket(connection, server_hostname=to[0])
            self._serve(connection, to)
        self._connections[to].sendall(bytes(message))

    def answer(self, request: Message, response: Message) -> None:
        """To where the request came from."""
        if self.transport == "udp":
            self._socket.sendto(bytes(response), request.came)
        else:
            request.came.sendall(bytes(response))

    def _read_datagrams(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65536)
            if data.strip():
                self._take(data, sender)

    def _take(self, data: bytes, came: Any) -> None:
        message = Message.parse(data)
        message.came = came
        self._receive(message)

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self.connections += 1
            self._greenlets.append(gevent.spawn(self._welcome, connection))

    def _welcome(self, connection: Any) -> None:
        if self.transport == "tls":
            context = gssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._trust / "agent.pem")
            try:
                connection = context.wrap_socket(connection, server_side=True)
            except OSError:
                return  # it did not like our certificate
        self._serve(connection, connection)

    def _serve(self, connection: Any, known_as: Any) -> None:
        self._connections[known_as] = connection
        self._greenlets.append(gevent.spawn(self._read_stream, connection))

    def _read_stream(self, connection: Any) -> None:
        buffer = b""
        while True:
            try:
                data = connection.recv(65536)
            except OSError:
                return
            if not data:
                return
            buffer = (buffer + data).lstrip(b"\r\n")
            while (end := buffer.find(b"\r\n\r\n")) >= 0:
                length = LENGTH.search(buffer[:end])
                whole = end + 4 + (int(length[1]) if length else 0)
                if len(buffer) < whole:
                    break
                message, buffer = buffer[:whole], buffer[whole:].lstrip(b"\r\n")
                self._take(message, connection)
