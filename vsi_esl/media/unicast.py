"""Raw audio over UDP on loopback, both ways over one socket: what `unicast` of the switch's core talks to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from .ears import Ears
from .figures import Figures

HOST = "127.0.0.1"
LONGEST = 65536
BUFFER = 1 << 16
"""Bytes that the kernel keeps for us: a stall of half a second at 16 kHz."""


class Unicast:
    """One session's socket. The first that sends something is the switch; what others send is ignored.

    `heard` gets each datagram, at the beats; `attached` is called as soon as the first one is there, and
    `detached` when the switch's socket is gone. Without `heard` what comes is left to the kernel, which drops
    it.
    """

    def __init__(
        self,
        figures: Figures,
        ears: Ears,
        heard: Callable[[bytes], None] | None,
        attached: Callable[[], None],
        detached: Callable[[], None],
    ) -> None:
        self._figures = figures
        self._ears = ears
        self._heard = heard
        self._attached = attached
        self._detached = detached
        self._loop = asyncio.get_running_loop()
        self._peer: tuple[str, int] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._open = True
        self._loop.add_reader(self._socket.fileno(), self._receive)

    def send(self, frame: bytes) -> None:
        """To the switch. What cannot be sent is counted."""
        try:
            self._socket.send(frame)
        except ConnectionRefusedError:
            self._gone()
        except OSError:
            self._figures.count("unsent_frames")

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket.fileno())
            self._ears.forget(self._socket.fileno())
            self._socket.close()

    def _receive(self) -> None:
        try:
            datagram, sender = self._socket.recvfrom(LONGEST)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            self._gone()
            return
        except OSError:
            self._figures.count("malformed")
            return
        if self._peer is None:
            self._peer = sender
            self._socket.connect(sender)
            self._loop.remove_reader(self._socket.fileno())
            if self._heard is not None:
                self._ears.watch(self._socket.fileno(), self._receive, self._gone)
            else:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
            self._attached()
        elif sender != self._peer:
            # sent before the socket was connected; the kernel keeps later ones away
            self._figures.count("strangers")
            return
        if len(datagram) & 1:
            self._figures.count("malformed")
        elif self._heard is not None:
            self._heard(datagram)

    def _gone(self) -> None:
        if self._open:
            self.close()
            self._detached()
