"""The companion's end: services that show a certificate of the right authority and name, and what they ask.

An answer is remembered for a while: a service that did not get it asks again with the same id, and gets that
one, or the one that is being made.

Of several services that have a switch one after the other, the one with the latest turn is spoken to: the
fence in its first message says which that is. It is known until this process ends.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import gevent
import structlog
from gevent.event import AsyncResult
from gevent.pool import Pool
from gevent.server import StreamServer

from ..errors import VsiError
from ..later import Within, later
from ..net.connect import reason
from . import tls
from .connection import SUPERSEDED, TICK_S, Connection, first, shut
from .frames import VERSION, Malformed, Message, Reader, pack

log = structlog.get_logger(__name__)

HANDSHAKE_S = 5.0
"""For the handshake, and for the first words behind it."""
MOST_HANDSHAKES = 64
MOST_PEERS = 16
MOST_ASKED = 1024
"""Questions of all services that are being answered; more are refused, but of those that last."""
REMEMBERED_S = 600.0
MOST_REMEMBERED = 4096
MOST_SWITCHES = 1000
"""Of which the latest turn is known."""
PART_S = 1.0
"""For a service to read that another has its switch."""
STRANGERS_S = 10.0
"""A log line about those that were refused is written so often at most."""


class Failed(Exception):
    """What was asked cannot be done: `kind` says how the other end is to take it, the message is for
    people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Turn(NamedTuple):
    """Of a service at a switch, by its fence."""

    fence: int
    service: str


class Peer:
    """A service that is connected, as `service` of this switch; with the `fence` of its turn there, 0 for one
    that shares it with nobody."""

    def __init__(self, service: str, address: str, switch: str = "", fence: int = 0) -> None:
        self.service = service
        self.address = address
        self.switch = switch
        self.fence = fence
        self.over = False
        """Another service has the switch: it is not listened to any more."""
        self.connection: Connection

    @property
    def holder(self) -> str:
        """The same over all its connections."""
        return f"{self.service} {self.switch}"

    def send(self, message: Message) -> None:
        self.connection.send(message)


Operation = Callable[[Peer, Message], Any]
"""Does what was asked, and may wait. What it returns is the answer; an AsyncResult is waited for. Raises
Failed."""


@dataclass(slots=True)
class _Running:
    """One that is being answered, or was until a moment ago."""

    result: AsyncResult[Any] = field(default_factory=AsyncResult)
    answered_at: float = 0.0


class Server:
    """Listens at `address`. `operations` are what can be asked, `told` gets what is said without asking for
    something, `came` and `left` are called for each service; none of these three may wait."""

    def __init__(
        self,
        address: tuple[str, int],
        identity: tls.Identity,
        names: Iterable[str],
        operations: Mapping[str, Operation],
        *,
        welcome: Callable[[], Message],
        status: Callable[[Peer], Message] = lambda _: {},
        told: Callable[[Peer, Message], None] = lambda *_: None,
        came: Callable[[Peer], None] = lambda _: None,
        left: Callable[[Peer], None] = lambda _: None,
        tick_s: float = TICK_S,
    ) -> None:
        self._context = identity.server()
        self._names = frozenset(names)
        self._operations = operations
        self._welcome, self._status = welcome, status
        self._told, self._came, self._left = told, came, left
        self._tick_s = tick_s
        self._running: dict[str, _Running] = {}
        self._answered: OrderedDict[str, _Running] = OrderedDict()
        self._busy = 0
        self._peers: set[Peer] = set()
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        """The latest of each switch."""
        self._refused = 0
        self._refusal_told = 0.0
        self._server = StreamServer(address, self._accepted, spawn=Pool(MOST_HANDSHAKES))

    def start(self) -> None:
        """Listen. Raises OSError."""
        self._server.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    @property
    def peers(self) -> list[Peer]:
        return list(self._peers)

    def stop(self) -> None:
        """Listen no more, and end all connections."""
        self._server.stop(timeout=0.1)
        for peer in self.peers:
            peer.connection.close("the companion stops")

    # -- who comes -------------------------------------------------------------------------------------------

    def _accepted(self, plain: socket.socket, address: tuple[Any, ...]) -> None:
        sock = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with gevent.Timeout(HANDSHAKE_S):
                secured = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                sock = secured
                secured.do_handshake()
            reader = Reader()
            with gevent.Timeout(HANDSHAKE_S):
                hello = first(secured, reader)
            self._greet(secured, reader, hello, str(address[0]))
        except (OSError, ValueError, Malformed, gevent.Timeout) as error:
            shut(sock)
            self._stranger(str(address[0]), error)
        except BaseException:
            shut(sock)
            raise

    def _greet(self, sock: ssl.SSLSocket, reader: Reader, hello: Message, address: str) -> None:
        refusal = ""
        peer = _peer(hello, address)
        later: dict[str, int] = {}
        if hello["kind"] != "hello" or VERSION not in hello.get("versions", ()):
            refusal = f"this companion speaks version {VERSION}"
        elif not tls.is_for(sock.getpeercert(), self._names):
            refusal = "your certificate is for none of the names in companion.services"
        elif len(self._peers) >= MOST_PEERS:
            refusal = "too many services"
        elif (turn := self._later(peer)) is not None:
            refusal, later = f"service {turn.service} has switch {peer.switch}", {"fence": turn.fence}
        if refusal:
            with gevent.Timeout(HANDSHAKE_S):
                sock.sendall(pack({"kind": "refused", "reason": refusal, **later}))
            raise ConnectionError(refusal)
        self._note(peer)

        def ended(why: str) -> None:
            self._peers.discard(peer)
            log.info("service disconnected", service=peer.service, address=address, reason=why)
            self._left(peer)

        def took(message: Message) -> None:
            self._take(peer, message)

        with gevent.Timeout(HANDSHAKE_S):
            sock.sendall(pack({"kind": "welcome", "version": VERSION, **self._welcome()}))
        peer.connection = Connection(
            sock, reader, took, ended, status=partial(self._status, peer), tick_s=self._tick_s
        )
        self._peers.add(peer)
        log.info(
            "service connected",
            service=peer.service,
            address=address,
            release=str(hello.get("release", ""))[:80],
        )
        self._came(peer)
        peer.connection.start()
        if (turn := self._later(peer)) is not None:  # it came while this one was greeted
            self._part(peer, turn)

    def _later(self, peer: Peer) -> Turn | None:
        """The turn of another service by which that of this one is over."""
        known = self._turns.get(peer.switch)
        if not peer.fence or known is None or known.fence < peer.fence:
            return None
        return known if known != (peer.fence, peer.service) else None

    def _note(self, peer: Peer) -> None:
        """Those who had the switch before are spoken to no more."""
        if not peer.fence:
            return
        turn = self._turns[peer.switch] = Turn(peer.fence, peer.service)
        self._turns.move_to_end(peer.switch)
        if len(self._turns) > MOST_SWITCHES:
            self._turns.popitem(last=False)
        for other in self.peers:
            if other.switch == peer.switch and other.fence and self._later(other) is not None:
                self._part(other, turn)

    def _part(self, peer: Peer, turn: Turn) -> None:
        if peer.over:
            return
        peer.over = True
        log.warning("service superseded", service=peer.service, switch=peer.switch, by=turn.service)
        peer.send({"kind": SUPERSEDED, "fence": turn.fence})
        later(PART_S, peer.connection.close, f"service {turn.service} has its switch")

    def _stranger(self, address: str, error: BaseException) -> None:
        self._refused += 1
        now = time.monotonic()
        if now < self._refusal_told:
            return
        self._refusal_told = now + STRANGERS_S
        own = type(error) is ConnectionError or isinstance(error, Malformed)
        why = (
            "it does not answer"
            if isinstance(error, gevent.Timeout)
            else str(error)
            if own
            else reason(error)
        )
        log.warning("connection refused", address=address, reason=why, refused_so_far=self._refused)

    # -- what is asked ---------------------------------------------------------------------------------------

    def _take(self, peer: Peer, message: Message) -> None:
        if peer.over:
            return
        if message["kind"] == "ask":
            within = float(message.get("within", 0.0))
            self._asked(peer, str(message["id"]), str(message["op"]), dict(message["args"]), within)
        else:
            self._told(peer, message)

    def _asked(self, peer: Peer, id: str, op: str, args: Message, within: float) -> None:
        running = self._running.get(id) or self._answered.get(id)
        if running is None:
            operation = self._operations.get(op)
            if operation is None:
                _answer(peer, id, error=Failed("unknown", f"the companion does not know {op[:50]!r}"))
                return
            if within and self._busy >= MOST_ASKED:  # what lasts has a limit of its own
                _answer(peer, id, error=Failed("busy", "the companion has too much to do"))
                return
            running = self._running[id] = _Running()
            self._busy += 1
            gevent.spawn(self._run, id, running, partial(operation, peer, args), within)

        def done(result: AsyncResult[Any]) -> None:
            if result.exception is not None:
                _answer(peer, id, error=result.exception)
            else:
                _answer(peer, id, value=result.value)

        running.result.rawlink(done)

    def _run(self, id: str, running: _Running, operation: Callable[[], Any], within: float) -> None:
        try:
            with Within(within or None, Failed("late", "not done in time")):
                value = operation()
        except Failed as error:
            self._done(id, running, None, error)
            return
        except VsiError as error:
            self._done(id, running, None, Failed("internal", error.message))
            return
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.exception("a question was not understood")
            self._done(id, running, None, Failed("invalid", f"not understood: {type(error).__name__}"))
            return
        except Exception as error:
            log.exception("a question was not answered")
            self._done(id, running, None, Failed("internal", f"not done: {type(error).__name__}"))
            return
        finally:
            self._busy -= 1
        if isinstance(value, AsyncResult):
            value.rawlink(lambda later: self._done(id, running, later.value, later.exception))
        else:
            self._done(id, running, value, None)

    def _done(self, id: str, running: _Running, value: Any, error: BaseException | None) -> None:
        self._running.pop(id, None)
        running.answered_at = time.monotonic()
        self._answered[id] = running
        self._forget_old()
        if error is None:
            running.result.set(value)
        else:
            running.result.set_exception(error)

    def _forget_old(self) -> None:
        limit = time.monotonic() - REMEMBERED_S
        while self._answered:
            first_one = next(iter(self._answered.values()))
            if first_one.answered_at > limit and len(self._answered) <= MOST_REMEMBERED:
                return
            self._answered.popitem(last=False)


def _peer(hello: Message, address: str) -> Peer:
    """Who says so. Malformed for a fence that is none."""
    fence = hello.get("fence", 0)
    if type(fence) is not int or fence < 0:
        raise Malformed("a fence that is none")
    service, switch = (str(hello.get(member, ""))[:200] for member in ("service", "switch"))
    return Peer(service, address, switch, fence)


def _answer(peer: Peer, id: str, value: Any = None, error: BaseException | None = None) -> None:
    if error is None:
        try:
            peer.send({"kind": "answer", "id": id, "value": value})
            return
        except Malformed as fault:
            log.error("an answer could not be sent", reason=str(fault))
            error = Failed("internal", "the answer cannot be sent")
    kind, text = (error.kind, error.message) if isinstance(error, Failed) else ("internal", "not done")
    peer.send({"kind": "answer", "id": id, "error": {"kind": kind, "message": text}})
