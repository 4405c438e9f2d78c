"""The service's end: one line to a companion, which is there again by itself, and what is asked over it.

A question whose answer was lost with the connection is asked again, with the same id, over the next one;
whatever is asked must bear that. What nobody answers in time fails, and so does what would wait longer than
it may for a companion that is away. Only what is lasting (an upload) waits until it is answered.
"""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gevent
import structlog
from gevent.event import AsyncResult, Event

from .. import lasting
from ..errors import CompanionAway, Unavailable
from ..later import heard
from ..net.addresses import host_port
from ..net.connect import reason
from . import tls
from .connection import SUPERSEDED, TICK, TICK_S, Connection, Superseded, first, shut
from .frames import VERSION, Malformed, Message, Reader, pack

log = structlog.get_logger(__name__)

CONNECT_S = 5.0
"""For connecting, the handshake and the first words, each."""
BACKOFF_S = (0.25, 10.0)
STEADY_S = 2.0
"""A connection that lasted so long was a good one, and the next is tried soon."""
MOST_ASKED = 512
"""Questions without an answer yet; more are refused."""
MOST_LASTING = 10_000
MOST_AHEAD, AHEAD_S = 256, 0.05
"""So many that last are on their way at a time, and how long the next wait for them."""
LOOK_S = 0.5
"""How often who waits looks whether it waits too long."""

ANSWERED, FAILED, LATE, AWAY, FULL = OUTCOMES = ("answered", "failed", "late", "away", "full")


class Refused(Exception):
    """The companion's answer is an error: of this kind, with a message for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


@dataclass(slots=True, eq=False)
class _Question:
    id: str
    op: str
    args: Message
    within: float
    lasting: bool
    result: AsyncResult[Any] = field(default_factory=AsyncResult)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a companion listens, the name in its certificate, and what this end shows it."""

    host: str
    port: int
    name: str
    identity: tls.Identity


Counted = Callable[[str, str, float], None]
"""Told of each question: what was asked, its outcome, and how long that took in seconds."""


class Line:
    """To the companion of `switch`. `greeting` is told in the first message, `came` is called in each
    connection before anything is asked, `superseded` with the fence of the service that has the switch by
    now, as the companion says. Neither they nor those in `told` and `lost` may wait."""

    def __init__(
        self,
        switch: str,
        address: Address,
        greeting: Message,
        *,
        came: Callable[[Message], None] = lambda _: None,
        superseded: Callable[[int], None] = lambda _: None,
        counted: Counted = lambda *_: None,
        backoff_s: tuple[float, float] = BACKOFF_S,
        tick_s: float = TICK_S,
    ) -> None:
        self.switch = switch
        self.address = address
        self.error = "not connected yet"
        self.connects = 0
        self.status: Message = {}
        """What the companion said of itself last."""
        self.welcome: Message = {}
        """What it said first in this connection."""
        self.told: list[Callable[[Message], None]] = []
        """Called with what it says unasked."""
        self.lost: list[Callable[[], None]] = []
        """Called when it is gone."""
        self._greeting = greeting
        self._fence = 0
        self._came, self._superseded, self._counted = came, superseded, counted
        self._backoff_s, self._tick_s = backoff_s, tick_s
        self._connection: Connection | None = None
        self._questions: dict[str, _Question] = {}
        self._lasting = 0
        self._away_since = time.monotonic()
        self._up = Event()
        self._quiet = False
        """Its end is meant, or another service's doing: nobody is told of it."""
        self._greenlet: gevent.Greenlet | None = None

    # -- what is used ----------------------------------------------------------------------------------------

    def start(self, fence: int = 0) -> None:
        """Connect, and see that it stays so. Returns at once. `fence` is that of our turn at the switch,
        where several services have it one after the other."""
        self._fence, self._away_since, self._quiet = fence, time.monotonic(), False
        self.error = "not connected yet"
        self._greenlet = lasting.keep(self._run)

    def stop(self) -> None:
        """Disconnect for good. What is not answered stays so; the next process asks again."""
        self._hang_up("the service stops")

    def leave(self, why: str) -> None:
        """Disconnect until the next `start`: another service speaks to it. What lasts is that one's to ask
        now, and nobody here hears of it any more; of other questions those who ask hear that it is away,
        when it has been so for too long. Those in `lost` are not called."""
        self._quiet = True
        self._hang_up(why)
        self.error = why
        self._questions = {one.id: one for one in self._questions.values() if not one.lasting}
        self._lasting = 0

    def _hang_up(self, why: str) -> None:
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill(block=False)
        if self._connection is not None:
            self._connection.close(why)

    @property
    def wanted(self) -> bool:
        """Whether it is this service that is to be connected."""
        return self._greenlet is not None

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def wait_connected(self, timeout: float) -> bool:
        """Wait for the connection; False when it does not come in time."""
        return bool(self._up.wait(timeout))

    def require(self) -> None:
        """Raise CompanionAway (503) when it is."""
        if self._connection is None:
            raise self._away()

    def ask(self, op: str, args: Message, within: float, outage: float) -> Any:
        """The answer to a question, in `within` seconds, of which the companion may be away for `outage`.
        Raises Refused, and Unavailable (503) when there is none. Waits."""
        began = time.monotonic()
        outcome = FAILED
        try:
            if len(self._questions) - self._lasting >= MOST_ASKED:
                outcome = FULL
                raise Unavailable(f"too much is asked of the companion of switch {self.switch}")
            try:
                found = self._ask(op, args, within, outage)
                outcome = ANSWERED
                return found
            except Unavailable as error:
                outcome = AWAY if isinstance(error, CompanionAway) else LATE
                raise
        finally:
            self._counted(op, outcome, time.monotonic() - began)

    def follow(self, op: str, args: Message, id: str) -> AsyncResult[Any]:
        """The answer to a lasting question, which is asked in each connection until it is there. Its result
        is the answer, or Refused. Unavailable when there are too many."""
        known = self._questions.get(id)
        if known is not None:
            return known.result
        if self._lasting >= MOST_LASTING:
            self._counted(op, FULL, 0.0)
            raise Unavailable(f"too much waits for the companion of switch {self.switch}")
        question = _Question(id, op, args, 0.0, lasting=True)
        pack(_asked(question))  # now, to whom it matters
        self._questions[id] = question
        self._lasting += 1
        self._send(question)
        return question.result

    def tell(self, message: Message) -> None:
        """Say something that has no answer. Lost when the companion is away."""
        if self._connection is not None:
            self._connection.send(message)

    # -- questions -------------------------------------------------------------------------------------------

    def _ask(self, op: str, args: Message, within: float, outage: float) -> Any:
        question = _Question(secrets.token_hex(12), op, args, within, lasting=False)
        pack(_asked(question))
        deadline = time.monotonic() + within
        self._questions[question.id] = question
        late = Unavailable(f"the companion of switch {self.switch} did not answer in time")
        try:
            self._send(question)
            while not question.result.ready():
                now = time.monotonic()
                left = deadline - now
                if not self.connected:
                    left = min(left, self._away_since + outage - now)
                if left <= 0:
                    raise late if self.connected else self._away()
                heard(question.result, min(left, LOOK_S))
            return question.result.get()
        except Refused as error:  # LATE: by the companion's clock, which may be faster
            raise (late if error.kind == LATE else error) from None
        finally:
            self._questions.pop(question.id, None)

    def _send(self, question: _Question) -> None:
        if self._connection is not None:
            self._connection.send(_asked(question))

    def _answer(self, message: Message) -> None:
        question = self._questions.get(message["id"])
        if question is None:
            return  # nobody waits for it any more
        error = message.get("error")
        if question.lasting:
            del self._questions[question.id]
            self._lasting -= 1
            self.tell({"kind": "settled", "id": question.id})
            self._counted(question.op, FAILED if error else ANSWERED, 0.0)
        if error:
            question.result.set_exception(Refused(str(error["kind"]), str(error["message"])))
        else:
            question.result.set(message["value"])

    # -- the connection --------------------------------------------------------------------------------------

    def _run(self) -> None:
        low, high = self._backoff_s
        pause = low
        while True:
            over = Event()
            try:
                welcome, connection = self._connect(over)
            except Superseded as error:
                self._not_reached(error)
                self._superseded(error.fence)
            except (Exception, gevent.Timeout) as error:
                self._not_reached(error)
            else:
                began = time.monotonic()
                self._begin(welcome, connection)
                over.wait()
                if time.monotonic() - began > STEADY_S:
                    pause = low
            gevent.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(high, pause * 2)

    def _connect(self, over: Event) -> tuple[Message, Connection]:
        to = self.address
        with gevent.Timeout(CONNECT_S):
            context = to.identity.client()
            plain = socket.create_connection((to.host, to.port), CONNECT_S)
        sock: socket.socket = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with gevent.Timeout(CONNECT_S):
                sock = context.wrap_socket(plain, server_hostname=to.name, do_handshake_on_connect=False)
                sock.do_handshake()
            reader = Reader()
            with gevent.Timeout(CONNECT_S):
                fence = {"fence": self._fence} if self._fence else {}
                sock.sendall(pack({"kind": "hello", "versions": [VERSION], **self._greeting, **fence}))
                welcome = first(sock, reader)
            if welcome["kind"] != "welcome" or welcome.get("version") != VERSION:
                why = f"it says: {str(welcome.get('reason', 'something else'))[:200]}"
                if self._fence and "fence" in welcome:
                    raise Superseded(int(welcome["fence"]), why)
                raise ConnectionError(why)
        except BaseException:
            shut(sock)
            raise

        def ended(why: str) -> None:
            self._gone(why)
            over.set()

        return welcome, Connection(sock, reader, self._take, ended, tick_s=self._tick_s)

    def _begin(self, welcome: Message, connection: Connection) -> None:
        self._connection, self._quiet = connection, False
        self.error = ""
        self.welcome = welcome
        self.connects += 1
        connection.start()
        log.info(
            "companion connected", switch=self.switch, address=self._shown, release=welcome.get("release", "")
        )
        try:
            self._came(welcome)
        except Exception:
            log.exception("what a companion said first was not understood", switch=self.switch)
            connection.close("it said something else than was expected")
            return
        for question in list(self._questions.values()):
            if not question.lasting:
                self._send(question)
        if self._lasting:
            gevent.spawn(self._send_lasting, connection)
        self._up.set()

    def _send_lasting(self, connection: Connection) -> None:
        """Thousands may have gathered; they are not to fill what both ends can keep."""
        for question in [one for one in self._questions.values() if one.lasting]:
            while connection.unsent > MOST_AHEAD:
                gevent.sleep(AHEAD_S)
            if connection.over:
                return
            if question.id in self._questions:
                connection.send(_asked(question))

    def _take(self, message: Message) -> None:
        if message["kind"] == TICK:
            self.status = message
        elif message["kind"] == "answer":
            self._answer(message)
        elif message["kind"] == SUPERSEDED:
            self._replaced(int(message["fence"]))
        else:
            for told in self.told:
                told(message)

    def _replaced(self, fence: int) -> None:
        self._quiet = True
        self._superseded(fence)
        if self._connection is not None:
            self._connection.close("another service has the switch")

    def _gone(self, why: str) -> None:
        self._connection = None
        self._up.clear()
        self._away_since = time.monotonic()
        self.error = why
        if self.wanted:
            log.warning("companion lost", switch=self.switch, address=self._shown, reason=why)
        if self._quiet:
            return
        for lost in self.lost:
            lost()

    def _not_reached(self, error: BaseException) -> None:
        why = str(error) if isinstance(error, tls.BadCertificate | Malformed) else ""
        if isinstance(error, gevent.Timeout):
            why = "it does not answer"
        if type(error) in (ConnectionError, Superseded):
            why = str(error)
        why = why or reason(error)
        if why != self.error:
            log.warning("companion not reached", switch=self.switch, address=self._shown, reason=why)
        self.error = why

    @property
    def _shown(self) -> str:
        return host_port(self.address.host, self.address.port)

    def _away(self) -> CompanionAway:
        return CompanionAway(f"the companion of switch {self.switch} is not connected")


def _asked(question: _Question) -> Message:
    within = {} if question.lasting else {"within": question.within}
    return {"kind": "ask", "id": question.id, "op": question.op, "args": question.args, **within}


def probe(line: Line) -> Message:
    """Connect once, and return what the companion says of itself. Raises OSError, ValueError, BadCertificate,
    Malformed, or gevent.Timeout."""
    welcome, connection = line._connect(Event())
    with suppress(OSError):
        connection.close("looked at")
    return welcome
