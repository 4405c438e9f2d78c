"""The way out of one event socket connection: commands in order, none of whose senders waits for the socket.

What the socket takes at once goes out at once. The rest waits in a bounded queue for a writer of its own,
and a command whose sender gives up before it has gone out, or for which it is too late then, is never sent.
"""

from __future__ import annotations

import math
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent
import structlog
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from ...later import Within
from .codec import Frame

log = structlog.get_logger(__name__)

MAX_PENDING = 20_000
"""Commands without an answer on one connection; more are refused, since nobody would wait for theirs."""
MAX_UNSENT_BYTES = 16 * 1024 * 1024
WRITE_TIMEOUT_S = 30.0
"""How long the switch may take nothing at all before the connection is given up."""
MAX_WRITE_BYTES = 64 * 1024

Resolve = Callable[[Frame | Exception], None]


class NotSent(NotConnectedError):
    """The switch took nothing for so long that the command was not sent, and will not be."""


class TooManyCommands(NotConnectedError):
    """More waits for the switch than it can be expected to answer."""


@dataclass(slots=True, eq=False)
class Command:
    """One command block on its way, and whom to tell of its outcome."""

    block: bytes
    resolve: Resolve
    until: float = math.inf
    """By the monotonic clock; what has not begun to go out by then does not."""
    out: bool = False
    """Part of it may have reached the switch."""
    done: bool = False
    given_up: bool = False


@dataclass(slots=True)
class Traffic:
    """What is under way to a switch, over all of its connections."""

    pending: int = 0
    """Commands without an answer, those not sent yet included."""
    withdrawn: int = 0
    """Commands that never went out: their senders had given up, or it had become too late."""


class Writer:
    """Writes commands to a socket, and remembers those that have no answer yet, in order.

    `on_broken` is called with the cause when the socket fails or takes nothing for too long.
    """

    def __init__(
        self, sock: socket.socket, on_broken: Callable[[Exception], None], traffic: Traffic | None = None
    ) -> None:
        self._socket = sock
        self._traffic = traffic or Traffic()
        self._on_broken = on_broken
        self._unsent: deque[Command] = deque()
        self._unsent_bytes = 0
        self._going_out = memoryview(b"")
        self._sent: deque[Command] = deque()
        self._blocked = Signal()
        self._greenlet: gevent.Greenlet | None = None
        self.given_up = 0
        """Commands that went out, have no answer yet, and whose senders do not wait any more."""

    def __len__(self) -> int:
        """Commands without an answer."""
        return len(self._unsent) + len(self._sent)

    def put(self, commands: Sequence[Command], *, urgent: bool = False) -> None:
        """Send these, now or as soon as the socket takes them. Returns at once.

        All of them or none: TooManyCommands when too much is under way. NotConnectedError when the socket
        fails. What is urgent is put behind the rest as well, but never too much.
        """
        size = 0
        for command in commands:
            size += len(command.block)
        full = len(self) + len(commands) > MAX_PENDING or self._unsent_bytes + size > MAX_UNSENT_BYTES
        if full and not urgent:
            raise TooManyCommands("too many commands under way")
        self._unsent.extend(commands)
        self._traffic.pending += len(commands)
        self._unsent_bytes += size
        if self._blocked.is_set():
            return
        try:
            if not self._offer():
                self._leave_to_greenlet()
        except OSError as error:
            self._on_broken(error)
            raise NotConnectedError(str(error)) from error

    def give_up(self, commands: Sequence[Command]) -> None:
        """Nobody waits for these any more. What has not gone out never will; the rest may still be done."""
        for command in commands:
            if not command.done and not command.given_up:
                command.given_up = True
                self.given_up += command.out

    def answered(self) -> Command | None:
        """The command that the next reply is for: the oldest one."""
        if not self._sent:
            return None
        command = self._sent.popleft()
        command.done = True
        self._traffic.pending -= 1
        self.given_up -= command.given_up
        return command

    def fail_all(self, error: Exception) -> None:
        """The connection is gone: tell everybody who waits, and stop writing."""
        writer, self._greenlet = self._greenlet, None
        waiting = [*self._sent, *self._unsent]
        self._traffic.pending -= len(waiting)
        self._sent.clear()
        self._unsent.clear()
        self._unsent_bytes = self.given_up = 0
        for command in waiting:
            command.done = True
            command.resolve(error)
        if writer is not None and writer is not gevent.getcurrent():
            writer.kill(block=False)

    def _offer(self) -> bool:
        """Give the socket what it takes without waiting; whether that was all."""
        while self._going_out or (self._unsent and self._take()):
            try:
                count = self._socket.send(self._going_out, 0, 0.0)  # type: ignore[call-arg]  # gevent's timeout
            except BlockingIOError:
                return False
            self._going_out = self._going_out[count:]
        return True

    def _take(self) -> bool:
        """Fetch the next blocks from the queue. From now on they count as sent, as part of them may be."""
        blocks: list[bytes] = []
        size, now = 0, time.monotonic()
        while self._unsent and size < MAX_WRITE_BYTES:
            command = self._unsent.popleft()
            self._unsent_bytes -= len(command.block)
            if command.given_up or command.until < now:
                self._withdraw(command)
                continue
            command.out = True
            blocks.append(command.block)
            size += len(command.block)
            self._sent.append(command)
        self._going_out = memoryview(b"".join(blocks))
        return bool(blocks)

    def _withdraw(self, command: Command) -> None:
        command.done = True
        self._traffic.pending -= 1
        self._traffic.withdrawn += 1
        if not command.given_up:
            command.resolve(NotSent("the switch took no commands for too long"))

    def _leave_to_greenlet(self) -> None:
        self._blocked.set()
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._write)

    def _write(self) -> None:
        slow = NotConnectedError("the switch does not read its commands")
        try:
            while True:
                self._blocked.wait()
                with Within(WRITE_TIMEOUT_S, slow):
                    count = self._socket.send(self._going_out)
                self._going_out = self._going_out[count:]
                if self._offer():
                    self._blocked.clear()
        except (OSError, NotConnectedError) as error:
            self._on_broken(error)
        except Exception as error:
            log.exception("the connection to the switch is not written on")
            self._on_broken(error)
