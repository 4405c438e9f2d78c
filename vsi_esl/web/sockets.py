"""What a long-lived connection asks of its TCP socket."""

from __future__ import annotations

import io
import socket
import struct
from contextlib import suppress
from typing import Any


def tune(sock: socket.socket) -> None:
    """Send small frames at once, and notice a peer that vanished although it need not answer pings."""
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def reset_on_close(sock: socket.socket) -> None:
    """Let the kernel throw away what is unsent instead of keeping it for a peer that does not read."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_ahead(sock: socket.socket, rfile: Any) -> bytes:
    """What the WSGI server's buffered reader holds beyond the request, without waiting for more.

    Later reads can go to the socket itself: unlike the buffered reader, it may be closed while another
    greenlet waits in it.
    """
    before = sock.gettimeout()
    sock.settimeout(0.0)
    try:
        return rfile.read1(io.DEFAULT_BUFFER_SIZE) or b""
    except OSError:
        return b""  # nothing there, or the next read of the socket tells
    finally:
        sock.settimeout(before)
