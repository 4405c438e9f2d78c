"""One media worker: a child process, and the link to it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import gevent.socket
import structlog
from gevent.queue import Full, Queue

from ..media import messages
from ..media.messages import LENGTH, LONGEST, Ping, Pong, ToWorker

log = structlog.get_logger(__name__)

PING_S = 0.75
MISSED_PINGS = 3
"""So many without an answer, and it hangs. They are counted, not timed: when it is this process that stood
still, the answers are there and only not read yet."""
START_TIMEOUT_S = 20.0
"""Until its first answer; on an idle machine half a second."""
MAX_QUEUED = 4096
"""Messages that wait to be sent to it. With more of them it hangs."""
STOP_TIMEOUT_S = 2.0
READ_BYTES = 256 * 1024
LINK_FD = 3
"""Its end of the link, in the child."""
HANDED_FD = 4
"""Where it is handed connections."""
HAND_OVER_S = 2.0
LOG_LEVEL = "VSI_ESL_LOG_LEVEL"
"""The variable that says what it logs, to the standard error output."""


class MediaWorker:
    """Started when made. `heard` gets each of its messages but the answers to pings; `gone` is called once,
    with the reason, when it has ended or had to be ended. Both are called in greenlets of its own, and must
    not wait."""

    def __init__(
        self,
        heard: Callable[[MediaWorker, Any], None],
        gone: Callable[[MediaWorker, str], None],
        *,
        log_level: str = "info",
        command: tuple[str, ...] = (sys.executable, "-m", "vsi_esl.media"),
    ) -> None:
        self._heard, self._gone = heard, gone
        self.sessions: set[str] = set()
        """Those it was given, by id."""
        self.ready = False
        """It has answered once."""
        self.figures: dict[str, float] = {}
        """What it has counted since its start, by its last answer."""
        self.started_at = time.monotonic()
        self._unanswered = 0
        self._over = False
        self._queue: Queue[bytes] = Queue(MAX_QUEUED)
        self._socket, theirs = gevent.socket.socketpair()
        self._handing, taking = gevent.socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._handing.settimeout(HAND_OVER_S)
        for one in (theirs, taking):
            os.set_blocking(one.fileno(), True)  # as a process expects what it inherits
        try:
            self.pid = _spawn(command, log_level, theirs.fileno(), taking.fileno())
        except OSError:
            self._socket.close()
            self._handing.close()
            raise
        finally:
            theirs.close()
            taking.close()
        self._greenlets = [gevent.spawn(one) for one in (self._read, self._write, self._ask)]
        log.info("media worker started", pid=self.pid)

    def send(self, message: ToWorker) -> None:
        """Send a message, behind those that wait. Does not wait; nothing is sent to one that is gone. Fails
        only with what is no JSON (TypeError, ValueError), which no client can bring about."""
        if self._over:
            return
        try:
            self._queue.put_nowait(messages.pack(message))
        except Full:
            gevent.spawn(self.end, "it does not read")

    def hand_over(self, session: str, descriptor: int, read: bytes) -> None:
        """Hand a connection over to a session of it, which has a descriptor of its own then, with what has
        been read of it already. May wait; OSError when it cannot be done."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))
        self._handing.sendmsg([session.encode(), b"\0", read], [rights])

    def end(self, why: str) -> None:
        """End it at once, and tell `gone`."""
        if self._over:
            return
        self._over = True
        self._socket.close()
        self._handing.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        gevent.spawn(_reap, self.pid)
        self._gone(self, why)
        gevent.killall([one for one in self._greenlets if one is not gevent.getcurrent()], block=False)

    def stop(self) -> None:
        """Have it end by itself, and wait for that, for a moment. `gone` is not told."""
        if self._over:
            return
        self._over = True
        gevent.killall(self._greenlets, block=False)
        self._socket.close()
        self._handing.close()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while not _ended(self.pid):
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                deadline = float("inf")
            gevent.sleep(0.01)

    def _read(self) -> None:
        buffer = bytearray()
        try:
            while data := self._socket.recv(READ_BYTES):
                buffer += data
                for body in _bodies(buffer):
                    if self._over:
                        return
                    self._take(messages.unpack(body))
            why = "it has ended"
        except ConnectionResetError:  # with something of ours unread
            why = "it has ended"
        except OSError as error:
            why = f"its link is gone: {error.strerror or error}"
        except (ValueError, TypeError, KeyError):
            why = "it sent what cannot be read"
        self.end(why)

    def _take(self, message: Any) -> None:
        if isinstance(message, Pong):
            self._unanswered, self.ready, self.figures = 0, True, message.figures
            self.answered(message)
            return
        try:
            self._heard(self, message)
        except Exception:
            log.exception("a message of a media worker was not handled", message_kind=message.kind)

    def answered(self, pong: Pong) -> None:
        """An answer to a ping has come."""

    def _write(self) -> None:
        try:
            while True:
                self._socket.sendall(self._queue.get())
        except OSError:
            return  # the reader sees it too

    def _ask(self) -> None:
        number = 0
        while True:
            self._unanswered += 1
            number += 1
            self.send(Ping(number=number))
            gevent.sleep(PING_S)
            waited = time.monotonic() - self.started_at
            if self._unanswered >= MISSED_PINGS if self.ready else waited > START_TIMEOUT_S:
                self.end("it does not answer")
                return


def _bodies(buffer: bytearray) -> list[bytes]:
    """The whole messages at the start of a buffer, which are taken out of it."""
    found = []
    while len(buffer) >= LENGTH.size:
        length = LENGTH.unpack_from(buffer)[0]
        if length > LONGEST:
            raise ValueError(f"a message of {length} bytes")
        if len(buffer) < LENGTH.size + length:
            break
        found.append(bytes(buffer[LENGTH.size : LENGTH.size + length]))
        del buffer[: LENGTH.size + length]
    return found


def _spawn(command: tuple[str, ...], log_level: str, link: int, taking: int) -> int:
    """Start a process that has these ends of socket pairs as `LINK_FD` and `HANDED_FD`, and nothing else of
    ours but the standard streams. It is in a group of its own: Ctrl-C at a terminal is for the service, which
    ends it."""
    # above those that they are to be, of which one may be the number of the other
    ends = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, HANDED_FD + 1) for one in (link, taking)]
    try:
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_CLOSE, number) for number in _inheritable()]
        actions += [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, ends[0], LINK_FD),
            (os.POSIX_SPAWN_DUP2, ends[1], HANDED_FD),
        ]
        arguments = [*command, str(LINK_FD), str(HANDED_FD)]
        environ = {**os.environ, LOG_LEVEL: log_level}
        return os.posix_spawn(command[0], arguments, environ, file_actions=actions, setpgroup=0)
    finally:
        for one in ends:
            os.close(one)


def _inheritable() -> list[int]:
    """What a child gets beside the standard streams: nothing that we have opened, but what we were started
    with ourselves."""
    found = []
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # that of the look itself
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _ended(pid: int) -> bool:
    """Whether a child has ended; it is let go of then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _reap(pid: int) -> None:
    while not _ended(pid):
        gevent.sleep(0.02)
