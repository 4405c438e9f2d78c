"""One connection to the event socket, on greenswitch's client.

greenswitch 0.0.19 gives the shape (connect, authenticate, send, stop) and the exceptions. Its reading and
waiting parts cannot be repaired by small overrides: `event json` kills the reader, a line of text is glued
into headers, a pending `send()` outlives the connection, end of file inside a body spins, and a busy socket
never lets another greenlet run. So reading is the sans-I/O codec's, writing is `Writer`'s, and every wait
here has a deadline.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import gevent
import gevent.socket
import greenswitch
import structlog
from gevent.event import AsyncResult
from greenswitch.esl import NotConnectedError

from ...later import Within
from ...work import clock, turns
from .codec import CodecError, Decoder, Frame, decode_event, encode_command
from .writer import Command, NotSent, Resolve, Traffic, Writer

log = structlog.get_logger(__name__)

READ_BYTES = 256 * 1024
FRAMES_BEFORE_YIELD = 64
"""While data keeps coming, other greenlets get their turn after this many frames."""
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER that throws away what the network has not taken yet: it is not to arrive after all, later."""


class CommandTimeout(Exception):
    """The switch did not answer in time. The answer, should it come, is thrown away."""


class AuthenticationFailed(Exception):
    """The switch refused our password, or our address by its ACL."""


Answers = TypeVar("Answers")


def _verb(command: str) -> str:
    """What an error may repeat of a command: arguments can be digits, texts and passwords."""
    words = command.split(None, 2)
    return " ".join(words[: 2 if words[:1] in (["api"], ["bgapi"]) else 1])


class EslClient(greenswitch.InboundESL):
    """A connection with a reader greenlet. `on_event` gets each event's headers, in wire order.

    `on_event` runs in the reader and must not wait. `on_close` is called once, with the cause, after all
    pending commands have failed. Timeouts are in seconds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        password: str,
        *,
        timeout: float = 5.0,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        on_close: Callable[[Exception], None] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        super().__init__(host, port, password, timeout)
        self._on_event = on_event
        self._on_close = on_close
        self._traffic = traffic
        self._decoder = Decoder()
        self._writer: Writer | None = None
        self._hello: AsyncResult[None] = AsyncResult()
        self._resume = gevent.event.Event()
        self._resume.set()
        self.last_event_at = 0.0
        """When the last whole event was read, by the monotonic clock."""
        self.events_read = 0
        self.frames_read = 0
        self.late_answers = 0
        """Answers to commands whose callers had given up: the switch did what was believed to have failed."""
        self.sock: gevent.socket.socket | None = None

    def connect(self) -> None:
        """Connect and authenticate within the timeout. NotConnectedError or AuthenticationFailed."""
        deadline = Within(self.timeout)
        with deadline:
            try:
                self.sock = gevent.socket.create_connection((self.host, self.port))
                self.sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
                self._writer = Writer(self.sock, self.close, self._traffic)
                self.last_event_at = time.monotonic()
                self.connected = True
                self._receive_events_greenlet = gevent.spawn(self.receive_events)
                self._hello.get()
                self.authenticate()
            except gevent.Timeout as timeout:
                if timeout is not deadline:
                    raise
                self.close(NotConnectedError(f"no greeting within {self.timeout:g} s"))
                raise NotConnectedError(f"no greeting within {self.timeout:g} s") from None
            except OSError as error:
                self.close(error)
                raise NotConnectedError(str(error)) from error
            except (NotConnectedError, AuthenticationFailed, CommandTimeout) as error:
                self.close(error)
                raise

    def authenticate(self) -> None:
        """Log in with the password."""
        reply = self.send(f"auth {self.password}")
        if reply != "+OK accepted":
            raise AuthenticationFailed(f"the switch refused the password ({reply[:60]})")

    def send(
        self,
        data: str,
        timeout: float | None = None,
        headers: dict[str, str] | None = None,
        *,
        body: str = "",
        then: Sequence[str] = (),
    ) -> str:
        """Send one command and wait for its reply: the body of an api response, else the Reply-Text.

        `then` goes out in the same write, and nobody waits for it. Raises NotConnectedError at once when
        the connection is or gets lost, CommandTimeout in time.
        """
        result: AsyncResult[str] = AsyncResult()
        batch = [Command(encode_command(data, headers, body), _resolver(result))]
        if then:
            batch += [Command(encode_command(line), _ignore) for line in then]
        answer: str = self._wait(batch, result.get, timeout, data)
        return answer

    def send_many(self, commands: Sequence[str], timeout: float | None = None) -> list[str]:
        """Send commands in one write and wait for all replies (they come in order)."""
        if not commands:
            return []
        results: list[AsyncResult[str]] = [AsyncResult() for _ in commands]
        batch = [
            Command(encode_command(line), _resolver(result))
            for line, result in zip(commands, results, strict=True)
        ]
        return self._wait(batch, lambda: [result.get() for result in results], timeout, commands[0])

    def send_timed(self, commands: Sequence[str], timeout: float | None = None) -> list[tuple[str, float]]:
        """Like `send_many`, with the time at which each reply was read, in Unix seconds."""
        if not commands:
            return []
        results: list[AsyncResult[tuple[str, float]]] = [AsyncResult() for _ in commands]
        batch = [
            Command(encode_command(line), _timed_resolver(result))
            for line, result in zip(commands, results, strict=True)
        ]
        return self._wait(batch, lambda: [result.get() for result in results], timeout, commands[0])

    def _wait(
        self, batch: list[Command], answers: Callable[[], Answers], timeout: float | None, first: str
    ) -> Answers:
        seconds = self.timeout if timeout is None else timeout
        writer = self._open()
        deadline = Within(seconds)
        try:
            with deadline:
                writer.put(batch)
                return answers()
        except BaseException as error:
            writer.give_up(batch)
            if error is deadline:
                raise CommandTimeout(f"no answer within {seconds:g} s: {_verb(first)}") from None
            raise

    def post(
        self, *commands: str, timeout: float = math.inf, not_sent: Callable[[], None] | None = None
    ) -> None:
        """Send without waiting, neither for the answers nor for the socket.

        What the socket does not take within `timeout` seconds is not sent, and told by a call each. Raises
        NotConnectedError when there is no connection, or too much waits to be sent.
        """
        until, resolve = time.monotonic() + timeout, _not_sent_resolver(not_sent)
        self._open().put([Command(encode_command(command), resolve, until) for command in commands])

    def ask(self, question: str, answered: Callable[[], None]) -> None:
        """Send a command of which only matters that it is answered; that is told by a call."""

        def resolve(outcome: Frame | Exception) -> None:
            if isinstance(outcome, Frame):
                answered()

        self._open().put([Command(encode_command(question), resolve)], urgent=True)

    def nudge(self) -> None:
        """Have the switch look for events to send: by an empty line, which it passes over. Never waits."""
        if self.connected and self.sock is not None and not self.pending:
            with suppress(OSError):  # full, or gone: then there is nothing to hasten
                self.sock.send(b"\n", 0, 0.0)

    @property
    def owing(self) -> int:
        """Commands that the switch has been sent, not answered, and whose callers have given up."""
        return self._writer.given_up if self._writer is not None else 0

    @property
    def pending(self) -> int:
        """Commands without an answer yet."""
        return len(self._writer) if self._writer is not None else 0

    def _open(self) -> Writer:
        if not self.connected or self._writer is None:
            raise NotConnectedError("not connected to the switch")
        return self._writer

    def pause(self) -> None:
        """Stop reading (the switch and the kernel hold what comes), until `resume`. Of a connection that is
        closed what had been read is told all the same."""
        if self.connected:
            self._resume.clear()

    def resume(self) -> None:
        """Read on after `pause`."""
        self._resume.set()

    def receive_events(self) -> None:
        """The reader: bytes to frames to replies and events, giving way to others while data keeps coming."""
        cause: Exception = NotConnectedError("the switch closed the connection")
        count = 0
        try:
            while self.connected and self.sock is not None:
                data = self.sock.recv(READ_BYTES)
                if not data:
                    break
                self._decoder.feed(data)
                while (frame := self._decoder.next_frame()) is not None:
                    self.handle_event(frame)
                    count += 1
                    if count % FRAMES_BEFORE_YIELD == 0:
                        gevent.idle()
                    else:
                        turns.give_way(count)
                    if not self._resume.is_set():
                        self._resume.wait()
                if self._on_event is None:
                    gevent.sleep(0)  # who waits for the reply goes on before the socket is asked for more
        except (OSError, CodecError) as error:
            cause = error
        except Exception as error:
            # nobody would read on: the connection is to be made anew, and at once
            log.exception("the connection to the switch is not read on")
            cause = error
        self.close(cause)

    def handle_event(self, event: Frame) -> None:
        """One frame: a reply goes to the oldest pending command, an event to `on_event`.

        CodecError for one that makes no sense: whatever follows it may be read wrongly as well.
        """
        kind = event.headers.get("Content-Type", "")
        self.frames_read += 1
        if kind == "text/event-json":
            decoded = decode_event(event.body)
            self.events_read += 1
            self.last_event_at = time.monotonic()
            if self._on_event is not None:
                try:
                    self._on_event(decoded)
                except Exception:
                    # one event that we cannot handle must not cost us all that follow
                    log.exception("event handler failed")
        elif kind in ("command/reply", "api/response"):
            command = self._writer.answered() if self._writer is not None else None
            if command is None:
                raise CodecError("a reply that nothing asked for")
            self.late_answers += command.given_up
            command.resolve(event)
        elif kind == "auth/request":
            self._hello.set(None)
        elif kind == "text/rude-rejection":
            raise CodecError("refused by the switch's access list")
        elif kind == "text/disconnect-notice":
            log.debug("the switch ends the connection")
        else:
            raise CodecError(f"an unknown kind of frame: {kind[:40]!r}")

    def close(self, cause: Exception | None = None) -> None:
        """Close, and fail every pending command. Safe to call again, and from any greenlet."""
        was_connected, self.connected = self.connected, False
        self._run = False
        self._resume.set()
        if self.sock is not None:
            with suppress(OSError):  # the peer may have been faster
                if self.pending:
                    self.sock.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_LINGER, ABORT)
                self.sock.shutdown(gevent.socket.SHUT_RDWR)
            self.sock.close()
        error = NotConnectedError(str(cause) if cause else "connection closed")
        if not self._hello.ready():
            self._hello.set_exception(error)
        if self._writer is not None:
            self._writer.fail_all(error)
        if was_connected and self._on_close is not None:
            self._on_close(cause or error)

    def stop(self) -> None:
        """Say goodbye and close; never waits longer than the switch needs to acknowledge."""
        if self.connected:
            with suppress(NotConnectedError, CommandTimeout):  # gone is what we want
                self.send("exit", timeout=min(self.timeout, 1.0))
        self.close()
        reader = self._receive_events_greenlet
        if reader is not None and reader is not gevent.getcurrent():
            reader.join(timeout=1.0)


def reply_text(frame: Frame) -> str:
    """What a reply says, without the line end: an api response's body or a command reply's Reply-Text."""
    headers = frame.headers
    if headers.get("Content-Type") == "api/response":
        return frame.text().rstrip("\n")
    return headers.get("Reply-Text", "")


def _ignore(_: Frame | Exception) -> None:
    """For commands whose failure changes nothing: the state they would leave is sent again when needed."""


def _not_sent_resolver(not_sent: Callable[[], None] | None) -> Resolve:
    def resolve(outcome: Frame | Exception) -> None:
        if isinstance(outcome, NotSent) and not_sent is not None:
            not_sent()

    return resolve


def _timed_resolver(result: AsyncResult[tuple[str, float]]) -> Resolve:
    def resolve(outcome: Frame | Exception) -> None:
        if isinstance(outcome, Frame):
            result.set((reply_text(outcome), clock.now()))
        else:
            result.set_exception(outcome)

    return resolve


def _resolver(result: AsyncResult[str]) -> Resolve:
    def resolve(outcome: Frame | Exception) -> None:
        if isinstance(outcome, Frame):
            result.set(reply_text(outcome))
        else:
            result.set_exception(outcome)

    return resolve
