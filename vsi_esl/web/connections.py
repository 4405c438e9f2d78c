"""Who is connected to the HTTP listener, and who has to leave when there is no room.

A connection waits while it is its client's turn: to send a request, the rest of one, or to read the answer.
That costs nothing to whoever opens it. So when there is no room, the one that waits longest makes some, and
whoever does send a request, such as a health check, is served whatever the others do.
"""

from __future__ import annotations

import ipaddress
import resource
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

log = structlog.get_logger(__name__)

RESERVED_DESCRIPTORS = 256
"""For the switch, webhooks, files and databases, whatever the listener is asked to hold."""
WANTED_DESCRIPTORS = 65536
LOG_PERIOD_S = 10.0


class Connection:
    """One connection of the listener. `waiting` and `busy` say what it does."""

    def __init__(self, sock: socket.socket, address: Any, table: Connections | None = None) -> None:
        self.address = str(address[0]) if isinstance(address, tuple) else ""
        self.home = home(self.address)
        self.evicted = False
        self._writing = False
        self._socket = sock
        self._table = table

    def waiting(self, *, writing: bool = False) -> None:
        """The client is to send something, or with `writing` to read."""
        self._writing = writing
        if self._table is not None and not self.evicted:
            self._table.wait(self)

    def busy(self) -> None:
        """It has a request, which is served."""
        if self._table is not None:
            self._table.work(self)

    def upgraded(self) -> None:
        """It is a WebSocket, which is counted elsewhere."""
        if self._table is not None:
            self._table.leave(self)

    def evict(self) -> None:
        """Have its greenlet find an end. A request that has come may still be answered, unless that is what
        its client is waited for."""
        self.evicted = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR if self._writing else socket.SHUT_RD)


class Connections:
    """Those that are no WebSockets: at most `limit`, and `per_address` (0: no limit) of one address, unless
    `is_shared` says of it that it stands for many clients."""

    def __init__(
        self, limit: int, per_address: int = 0, is_shared: Callable[[str], bool] = lambda address: False
    ) -> None:
        self._limit, self._per_address, self._is_shared = limit, per_address, is_shared
        self._by_home: dict[str, set[Connection]] = {}
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._count = 0
        self.evicted_total = 0
        self.refused_total = 0
        self._logged_at = 0.0

    def __len__(self) -> int:
        return self._count

    def enter(self, connection: Connection) -> bool:
        """Let one in, for which another may have to go. False when there is no room."""
        beside = self._by_home.get(connection.home, set())
        crowded = 0 < self._per_address <= len(beside) and not self._is_shared(connection.address)
        if crowded or self._count >= self._limit:
            oldest = next((one for one in self._waiting if not crowded or one in beside), None)
            if oldest is None:
                self.refused_total += 1
                self._tell(connection.home)
                return False
            self.leave(oldest)
            oldest.evict()
            self.evicted_total += 1
            self._tell(oldest.home)
        self._by_home.setdefault(connection.home, set()).add(connection)
        self._count += 1
        self.wait(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """It is over, or to be. May be called again."""
        self._waiting.pop(connection, None)
        beside = self._by_home.get(connection.home, set())
        if connection in beside:
            beside.remove(connection)
            self._count -= 1
        if not beside:
            self._by_home.pop(connection.home, None)

    def wait(self, connection: Connection) -> None:
        """It waits from now on, if it is one of them at all."""
        if connection in self._by_home.get(connection.home, ()):
            self._waiting.pop(connection, None)
            self._waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """It does not wait any more."""
        self._waiting.pop(connection, None)

    def _tell(self, address: str) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_PERIOD_S:
            self._logged_at = now
            log.warning(
                "too many http connections",
                address=address,
                connections=self._count,
                closed_total=self.evicted_total,
                refused_total=self.refused_total,
            )


def home(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 host has for itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))


def room_for(wanted: int) -> int:
    """How many descriptors the listener may use: those wanted, if the process may have as many and the
    reserve. The soft limit is raised for it as far as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    target = min(most, wanted + RESERVED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < target:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(16, min(wanted, soft - RESERVED_DESCRIPTORS))
