"""One attempt to deliver an event: an HTTP POST, signed, to an address that was checked, with a deadline."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import lru_cache

import gevent

from ... import __version__
from ...config.web import WebhookSettings
from ...later import Within
from ...net import NetError
from ...net.connect import FAILURES, Connection, Connector, Resolver, reason, resolve
from ...net.guard import AddressGuard
from ...net.url import WebUrl, parsed
from .failure import ANSWERED, SILENT, UNREACHED, Undelivered
from .targets import GLOBAL, host_of

WHAT = "webhook"
MAX_ANSWER = 64 << 10
"""What is read of an answer's body, so that the connection can be used again; nobody looks at it."""
BLOCK = 16 << 10
MAX_IDLE = 256
"""Open connections without a request, over all receivers."""
IDLE_S = 15.0
MAX_AGE_S = 300.0
"""Then a connection is made anew, to where the name leads by then."""


@dataclass(slots=True)
class _Idle:
    connection: Connection
    opened: float
    since: float

    def usable(self) -> bool:
        now = time.monotonic()
        return now - self.since < IDLE_S and now - self.opened < MAX_AGE_S


@dataclass(slots=True)
class _Exchange:
    endpoint: str
    url: str
    secret: str
    event_id: str
    frame: bytes
    stage: str = UNREACHED


class Poster:
    """Makes attempts, and keeps connections for the next ones to the same host.

    The global webhook's are its own: nobody else gets through to where only the operator may send.
    """

    def __init__(self, settings: WebhookSettings, guard: AddressGuard, resolver: Resolver = resolve) -> None:
        self._settings = settings
        self._connector = Connector(guard, settings.timeout, WHAT, resolver=resolver)
        self._idle: OrderedDict[str, deque[_Idle]] = OrderedDict()
        self._idle_count = 0

    def post(self, endpoint: str, url: str, secret: str, event_id: str, frame: bytes) -> None:
        """Deliver; returns when the receiver answered 2xx, completely. Raises Undelivered."""
        deadline = Within(self._settings.timeout)
        deadline.start()
        exchange = _Exchange(endpoint, url, secret, event_id, frame)
        try:
            self._run(exchange)
        except gevent.Timeout as raised:
            if raised is not deadline:
                raise
            message = f"no complete answer within {self._settings.timeout:g} s"
            raise Undelivered(message, exchange.stage) from None
        except NetError as error:
            raise Undelivered(error.message, exchange.stage) from None
        except FAILURES as error:
            raise Undelivered(reason(error), exchange.stage) from None
        finally:
            deadline.close()

    def reload(self, settings: WebhookSettings) -> None:
        """Use another global webhook, and another secret, from now on."""
        if settings.url != self._settings.url:
            self.close(host_of(GLOBAL))
        self._settings = settings

    def close(self, host: str | None = None) -> None:
        """Close the idle connections to a host, or all."""
        for name in [*self._idle] if host is None else [host]:
            for idle in self._idle.pop(name, ()):
                self._idle_count -= 1
                idle.connection.close()

    def close_unused(self) -> None:
        """Close the connections that have been idle for too long."""
        for host in list(self._idle):
            waiting = self._idle[host]
            while waiting and not waiting[0].usable():  # the oldest is the first
                self._idle_count -= 1
                waiting.popleft().connection.close()
            if not waiting:
                del self._idle[host]

    def _run(self, exchange: _Exchange) -> None:
        settings = self._settings
        where = exchange.url or settings.url
        if not where:
            raise Undelivered("there is no global webhook any more", UNREACHED)
        target = _parsed(where)
        headers = _headers(target, exchange.event_id, exchange.secret or settings.secret, exchange.frame)
        idle = self._take(host_of(exchange.endpoint))
        if idle is not None:
            exchange.stage = SILENT
            try:
                self._send(exchange, idle, target, headers)
                return
            except ConnectionError:
                # the receiver closed it while it was idle; should it have read the event, its id tells it
                exchange.stage = UNREACHED
        # the operator's own receiver may be anywhere
        connection = self._connector.connect(target, guarded=exchange.url != GLOBAL)
        exchange.stage = SILENT
        now = time.monotonic()
        self._send(exchange, _Idle(connection, now, now), target, headers)

    def _send(self, exchange: _Exchange, one: _Idle, target: WebUrl, headers: dict[str, str]) -> None:
        connection, keep = one.connection, False
        try:
            connection.request(
                "POST",
                target.target,
                body=exchange.frame,
                headers=headers,
                preload_content=False,
                decode_content=False,
            )
            answer = connection.getresponse()
            if not 200 <= answer.status < 300:
                what = ", redirects are not followed" if 300 <= answer.status < 400 else ""
                raise Undelivered(f"status {answer.status}{what}", ANSWERED)
            length = 0
            # an answer that is cut short may be that of a receiver that died over the event
            while length <= MAX_ANSWER and (block := answer.read(BLOCK, decode_content=False)):
                length += len(block)
            keep = length <= MAX_ANSWER and connection.sock is not None
        finally:
            if keep:
                self._put(host_of(exchange.endpoint), one)
            else:
                connection.close()

    def _take(self, host: str) -> _Idle | None:
        waiting = self._idle.get(host)
        while waiting:
            one = waiting.pop()
            self._idle_count -= 1
            if not waiting:
                del self._idle[host]
            if one.usable():
                return one
            one.connection.close()
        return None

    def _put(self, host: str, one: _Idle) -> None:
        one.since = time.monotonic()
        self._idle.setdefault(host, deque()).append(one)
        self._idle.move_to_end(host)
        self._idle_count += 1
        while self._idle_count > MAX_IDLE:
            self.close(next(iter(self._idle)))


@lru_cache(maxsize=1024)
def _parsed(url: str) -> WebUrl:
    """The parts of a receiver's URL: the same few again and again."""
    return parsed(url, WHAT)


def _headers(target: WebUrl, event_id: str, secret: str, frame: bytes) -> dict[str, str]:
    headers = {
        "Host": target.host_header,
        "User-Agent": f"vsi_esl/{__version__}",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "X-Event-Id": event_id,
    }
    if secret:
        headers["X-Signature-256"] = signature(secret, frame)
    if target.authorization:
        headers["Authorization"] = target.authorization
    return headers


def signature(secret: str, body: bytes) -> str:
    """The X-Signature-256 of a body (reference section 7.2)."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
