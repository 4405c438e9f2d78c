"""How a connection to Redis is made: every socket is closed, whatever ends the making of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, cast

import redis


def _dial(connection: Any) -> socket.socket:
    """A socket to the server. redis-py leaves one behind when its greenlet is killed while it connects."""
    last: OSError = OSError("the name of the server has no address")
    for family, kind, number, _, address in socket.getaddrinfo(
        connection.host, connection.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, number)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.settimeout(connection.socket_connect_timeout)
            sock.connect(address)
            sock.settimeout(connection.socket_timeout)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise last


class Plain(redis.Connection):
    """A connection over TCP."""

    def _connect(self) -> socket.socket:
        return _dial(self)


class Secured(redis.SSLConnection):
    """A connection over TLS."""

    def _connect(self) -> Any:
        sock, secured = _dial(self), self._wrap_socket_with_ssl
        try:
            return cast("Callable[[socket.socket], Any]", secured)(sock)
        except BaseException:
            sock.close()
            raise
