"""Connections that the service hands over to sessions: a datagram each, with the session's name, a zero byte
and what has been read of it already, and the descriptor."""

from __future__ import annotations

import array
import asyncio
import os
import socket

from .patience import within

TAKEN_BY_S = 5.0
"""How long a connection waits for its session, and a session for its connection."""
LONGEST = 128 * 1024

Handed = tuple[socket.socket, bytes]


class Handovers:
    """What has come and what is waited for."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._come: dict[str, asyncio.Future[Handed]] = {}
        self._loop.add_reader(sock.fileno(), self._receive)

    def close(self) -> None:
        """Take no more, and close what nobody has taken."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for name in list(self._come):
            self._forget(name)

    async def take(self, session: str) -> Handed:
        """The connection of a session, and what has been read of it. TimeoutError when it does not come."""
        waiting = self._of(session)
        try:
            async with within(TAKEN_BY_S):  # wait_for of Python 3.11 may swallow an end
                handed = await asyncio.shield(waiting)
        except BaseException:
            self._forget(session)
            raise
        self._come.pop(session, None)
        return handed

    def _of(self, session: str) -> asyncio.Future[Handed]:
        return self._come.setdefault(session, self._loop.create_future())

    def _receive(self) -> None:
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        try:
            data, attached, _, _ = self._socket.recvmsg(LONGEST, room)
        except BlockingIOError:
            return
        except OSError:
            self._loop.remove_reader(self._socket.fileno())
            return
        if not data and not attached:
            self._loop.remove_reader(self._socket.fileno())  # the other end is closed
            return
        name, _, read = data.partition(b"\0")
        numbers = array.array("i")
        for level, kind, rights in attached:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers.frombytes(rights[: len(rights) - len(rights) % numbers.itemsize])
        for number in numbers:
            os.set_inheritable(number, False)
            self._put(name.decode(), (socket.socket(fileno=number), read))

    def _put(self, session: str, handed: Handed) -> None:
        waiting = self._of(session)
        if waiting.done():
            handed[0].close()  # it has one
            return
        waiting.set_result(handed)
        self._loop.call_later(TAKEN_BY_S, self._untaken, session, waiting)

    def _untaken(self, session: str, waiting: asyncio.Future[Handed]) -> None:
        if self._come.get(session) is waiting:
            self._forget(session)

    def _forget(self, session: str) -> None:
        waiting = self._come.pop(session, None)
        if waiting is not None and waiting.done():
            waiting.result()[0].close()
