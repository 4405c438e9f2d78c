"""A TCP relay: the network between two processes, which can be gone for a while."""

from __future__ import annotations

from contextlib import suppress
from socket import SO_ERROR, SOL_SOCKET

import gevent
from gevent.event import Event
from gevent.server import StreamServer
from gevent.socket import create_connection, socket

CHUNK = 65_536


class Relay:
    """Passes on to `target` what comes to `address`, both ways, until it is told not to."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._sockets: list[socket] = []
        self._pumps: list[gevent.Greenlet] = []
        self._up = Event()
        self._up.set()
        self._stopped = Event()
        self._server = StreamServer(("127.0.0.1", 0), self._accept)
        self._server.start()
        self.address: tuple[str, int] = self._server.address

    def go_dead(self) -> None:
        """As a cable that is pulled: connections stay open, none is refused, and nothing arrives either way.
        What is sent meanwhile waits, as TCP sends it again until it is acknowledged, or aborted."""
        self._up.clear()

    def come_back(self) -> None:
        """Everything that was sent arrives, in order."""
        self._up.set()

    def forget(self) -> None:
        """As a firewall that restarts: nothing arrives any more on the connections there are, nor are they
        closed; new ones work."""
        gevent.killall(self._pumps)
        self._pumps.clear()

    def stop(self) -> None:
        self._stopped.set()
        self._server.stop(timeout=0)
        gevent.killall(self._pumps)
        for one in self._sockets:
            one.close()

    def _accept(self, near: socket, _: object) -> None:
        self._sockets.append(near)
        self._up.wait()
        try:
            far = create_connection(self._target)
        except OSError:
            return  # what comes here is closed then
        self._sockets.append(far)
        self._pumps += [gevent.spawn(self._pump, *ends) for ends in ((near, far), (far, near))]
        self._stopped.wait()  # the server closes what its handler returns from

    def _pump(self, source: socket, sink: socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if not self._up.is_set():
                    self._up.wait()
                    if source.getsockopt(SOL_SOCKET, SO_ERROR):
                        break  # whoever sent it has thrown it away: TCP would not send it again
                sink.sendall(data)
        self._up.wait()
        sink.close()
        source.close()
