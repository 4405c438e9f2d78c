"""A line between a service and a companion, both ends in the test's process."""

from __future__ import annotations

from collections import Counter
from typing import Any

from vsi_esl.wire.client import Address, Line
from vsi_esl.wire.server import Server
from vsi_esl.wire.tls import Identity

from .certs import Authority
from .ports import free_port

COMPANION, SERVICE = "companion.test", "service.test"


def identity(authority: Authority, name: str, days: float = 2.0, ca: str = "") -> Identity:
    """What an end of this name shows."""
    certificate, key = authority.sign(name, days)
    return Identity(ca or authority.ca, certificate, key)


class Ends:
    """A server with these operations, and lines to it."""

    def __init__(
        self, authority: Authority, operations: dict[str, Any], tick_s: float = 0.2, **more: Any
    ) -> None:
        self._authority = authority
        self._tick_s = tick_s
        self.operations = operations
        self.events: list[tuple[str, Any]] = []
        self.counted: Counter[tuple[str, str]] = Counter()
        self.lines: list[Line] = []
        self._more = more
        self.server: Server
        self.port = free_port()
        self.listen()

    def listen(self) -> None:
        """Have the companion there, at the port that it had."""
        self.server = Server(
            ("127.0.0.1", self.port),
            identity(self._authority, COMPANION),
            [SERVICE],
            self.operations,
            welcome=lambda: {"release": "1"},
            told=lambda peer, message: self.events.append(("told", message)),
            left=lambda peer: self.events.append(("left", peer.service)),
            tick_s=self._tick_s,
            **self._more,
        )
        self.server.start()

    def line(self, shown: Identity | None = None, name: str = COMPANION, **more: Any) -> Line:
        """A line of the service, which connects."""

        def counted(op: str, outcome: str, seconds: float) -> None:
            self.counted[op, outcome] += 1

        line = Line(
            "east",
            Address("127.0.0.1", self.port, name, shown or identity(self._authority, SERVICE)),
            {"service": "pbx1"},
            counted=counted,
            backoff_s=(0.02, 0.1),
            tick_s=self._tick_s,
            **more,
        )
        self.lines.append(line)
        line.start()
        return line

    def connected(self, **more: Any) -> Line:
        line = self.line(**more)
        assert line.wait_connected(20), line.error
        return line

    def stop(self) -> None:
        for line in self.lines:
            line.stop()
        self.server.stop()
