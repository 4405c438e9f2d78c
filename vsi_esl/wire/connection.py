"""One connection, as both ends have it: messages are taken and sent, and silence is its end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import gevent
import structlog
from gevent.queue import Full, Queue

from ..net.connect import reason
from .frames import LONGEST, Malformed, Message, Reader, pack

log = structlog.get_logger(__name__)

READ_BYTES = 256 << 10
TICK_S = 2.0
"""How often each end says that it is there."""
SILENT_TICKS = 4
"""So many without a message of the other end, and it is gone. They are counted, not timed: when it is this
process that stood still, what came is there and only not read yet."""
MOST_UNSENT = 8192
"""Messages that wait to be sent. With more of them the other end does not read."""
MOST_UNSENT_BYTES = 4 * LONGEST
TICK = "tick"
SUPERSEDED = "superseded"
"""Said to a service when another has its switch by now: with the fence of that."""


class Superseded(ConnectionError):
    """The companion knows a later turn of another service at the switch: the fence of that."""

    def __init__(self, fence: int, message: str) -> None:
        super().__init__(message)
        self.fence = fence


class Connection:
    """Over a socket whose handshakes are done. `took` gets each message, `ended` is called once with the
    reason; both in greenlets of the connection, and neither may wait. `status` is sent along with each
    tick."""

    def __init__(
        self,
        sock: socket.socket,
        reader: Reader,
        took: Callable[[Message], None],
        ended: Callable[[str], None],
        *,
        status: Callable[[], Message] = dict,
        tick_s: float = TICK_S,
    ) -> None:
        self._socket, self._reader = sock, reader
        self._took, self._ended, self._status = took, ended, status
        self._tick_s = tick_s
        self._queue: Queue[bytes] = Queue(MOST_UNSENT)
        self._unsent_bytes = 0
        self._silent = 0
        self.over = False
        self._greenlets: list[gevent.Greenlet] = []

    def start(self) -> None:
        """Begin to take and to send."""
        self._socket.settimeout(None)
        self._reader.longest = LONGEST
        self._greenlets = [gevent.spawn(one) for one in (self._read, self._write, self._tick)]

    def send(self, message: Message) -> None:
        """Send a message behind those that wait. Does not wait; nothing is sent when it is over. Malformed
        for what cannot be sent."""
        if self.over:
            return
        data = pack(message)
        self._unsent_bytes += len(data)
        try:
            if self._unsent_bytes > MOST_UNSENT_BYTES:
                raise Full
            self._queue.put_nowait(data)
        except Full:
            gevent.spawn(self.close, "the other end does not read")

    @property
    def unsent(self) -> int:
        """Messages that wait to be sent."""
        return int(self._queue.qsize())

    def close(self, why: str) -> None:
        """End it, and tell `ended`; once only."""
        if self.over:
            return
        self.over = True
        shut(self._socket)
        gevent.killall([one for one in self._greenlets if one is not gevent.getcurrent()], block=False)
        self._ended(why)

    def _read(self) -> None:
        why = "the other end has closed it"
        try:
            while data := self._socket.recv(READ_BYTES):
                self._silent = 0
                for message in self._reader.feed(data):
                    if self.over:
                        return
                    if message["kind"] != TICK or len(message) > 1:
                        self._take(message)
        except Malformed as error:
            why = f"the other end sent {error}"
        except (OSError, ValueError) as error:
            why = reason(error)
        self.close(why)

    def _take(self, message: Message) -> None:
        try:
            self._took(message)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Malformed(f"a message that cannot be read: {type(error).__name__}") from error

    def _write(self) -> None:
        with suppress(OSError, ValueError):  # the reader sees it too
            while True:
                data = self._queue.get()
                self._socket.sendall(data)
                self._unsent_bytes -= len(data)

    def _tick(self) -> None:
        while True:
            self._silent += 1
            if self._silent > SILENT_TICKS:
                self.close("the other end does not answer")
                return
            self.send({"kind": TICK, **self._status()})
            gevent.sleep(self._tick_s)


def shut(sock: socket.socket) -> None:
    """Close a socket at once, without a goodbye that would wait."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()


def first(sock: socket.socket, reader: Reader) -> Message:
    """The first message, read before there is a connection. Raises OSError, Malformed."""
    while True:
        data = sock.recv(4096)
        if not data:
            raise ConnectionError("closed without a word")
        found = list(reader.feed(data))
        if len(found) > 1:
            raise Malformed("more than was asked for")
        if found:
            return found[0]
