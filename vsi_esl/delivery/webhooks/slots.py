"""Who may have a request under way: a bound over all receivers, a share of it for each host, and turns.

An endpoint that never answers holds each of its requests until the deadline. It must not hold up others:
those of other hosts, nor other paths of its own host (tenants behind one gateway). So an endpoint that has
not shown lately that it answers ("unproven") finds only half of its host's places, and half of all; the other
half is kept for those that do answer. Whoever waits for a place waits in a line of its endpoint, and the
endpoints of a host take turns.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gevent.event import AsyncResult

from .targets import host_of

MAX_REQUESTS = 512
"""Requests at once."""
PER_HOST = 64
"""Of these to one host (scheme, host and port)."""


@dataclass(slots=True)
class _Use:
    """How many places are taken, and how many of them by the unproven."""

    taken: int = 0
    unproven: int = 0

    def has_room(self, limit: int, proven: bool) -> bool:
        return self.taken < limit and (proven or self.unproven < limit // 2)

    def add(self, count: int, proven: bool) -> None:
        self.taken += count
        self.unproven += 0 if proven else count


@dataclass(slots=True)
class _Host(_Use):
    lines: dict[bool, OrderedDict[str, deque[AsyncResult[None]]]] = field(
        default_factory=lambda: {True: OrderedDict(), False: OrderedDict()}
    )
    """Who waits, by whether it is proven, and by endpoint."""
    last: bool = False
    """Which kind had the last turn."""


class Slots:
    """The places. `with slots.place(endpoint, proven):` waits for one and gives it back."""

    def __init__(self, limit: int = MAX_REQUESTS, per_host: int = PER_HOST) -> None:
        self._limit = limit
        self._per_host = per_host
        self._all = _Use()
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @contextmanager
    def place(self, endpoint: str, proven: bool) -> Iterator[None]:
        """Have a place for a request to this endpoint. Waits for as long as it takes."""
        name = host_of(endpoint)
        host = self._hosts.setdefault(name, _Host())
        if host.lines[proven] or not self._room(host, proven):
            self._wait(host, endpoint, proven)
        else:
            self._give(host, proven)
        try:
            yield
        finally:
            host.add(-1, proven)
            self._all.add(-1, proven)
            self._next(name, host)

    def _wait(self, host: _Host, endpoint: str, proven: bool) -> None:
        lines = host.lines[proven]
        turn: AsyncResult[None] = AsyncResult()
        lines.setdefault(endpoint, deque()).append(turn)
        try:
            turn.get()
        except BaseException:
            if turn.ready():  # it was given the place in the moment in which it gave up
                host.add(-1, proven)
                self._all.add(-1, proven)
                self._next(host_of(endpoint), host)
            else:
                lines[endpoint].remove(turn)
                if not lines[endpoint]:
                    del lines[endpoint]
            raise

    def _room(self, host: _Host, proven: bool) -> bool:
        return host.has_room(self._per_host, proven) and self._all.has_room(self._limit, proven)

    def _give(self, host: _Host, proven: bool) -> None:
        host.add(1, proven)
        self._all.add(1, proven)

    def _next(self, name: str, host: _Host) -> None:
        """A place has become free at a host: it is for those who wait there, or for another host."""
        if not host.taken and not any(host.lines.values()):
            self._hosts.pop(name, None)
        if self._serve(host) or self._all.taken + 1 < self._limit // 2:
            return  # where there is plenty of room, nobody of another host waits for it
        for other in list(self._hosts):
            if self._serve(self._hosts[other]):
                self._hosts.move_to_end(other)
                return

    def _serve(self, host: _Host) -> bool:
        """Let the next who waits for this host have a place, if there is one."""
        for proven in (not host.last, host.last):
            lines = host.lines[proven]
            if lines and self._room(host, proven):
                endpoint, line = next(iter(lines.items()))
                turn = line.popleft()
                lines.move_to_end(endpoint)
                if not line:
                    del lines[endpoint]
                self._give(host, proven)
                host.last = proven
                turn.set(None)
                return True
        return False
