"""A service that systemd started (`Type=notify`): when it is ready, that it is alive, what it is doing."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import structlog

from .. import lasting
from ..app import Service
from ..calls.nodes import Node
from ..ops.systemd import Notifier, reloading

log = structlog.get_logger(__name__)

PATIENCE_S = 30.0
"""How long a start waits for the switch. READY=1 means that the calls that are up are adopted and commands
work. But a service whose switch is down is not one that failed to start: it listens, says 503, delivers its
webhooks, and connects by itself when the switch comes. Were it never ready then, `systemctl start`, and a
boot, would hang for as long as the switch is down; were its start to time out, systemd would kill it and
start it again for ever, and mend nothing. So after this time it is ready all the same, and its status says
what it waits for. Who has to know asks /readyz: that is 200 only while the switch is there."""
LOOK_EVERY_S = 0.1
"""Until it is ready."""
TELL_EVERY_S = 2.0
"""At most, from then on. With a watchdog, four times within its time if that is sooner."""


class Supervised:
    """Tells systemd of one service. Seconds in `watchdog` (0 for none) and `patience`.

    WATCHDOG=1 is sent by a greenlet: a loop that stands still stops it, and systemd ends and starts the
    service anew. The calls stay up meanwhile.
    """

    def __init__(
        self, service: Service, systemd: Notifier, watchdog: float = 0.0, patience: float = PATIENCE_S
    ) -> None:
        self._service = service
        self._systemd = systemd
        self._watchdog = watchdog
        self._patience = patience
        self._every = min(TELL_EVERY_S, watchdog / 4) if watchdog else TELL_EVERY_S
        self._ready = False
        """Whether systemd knows."""
        self._status = ""
        self._not_reloaded = False
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin, when the service has been started."""
        if self._systemd:
            self._greenlet = lasting.keep(self._tell_on)

    def reload(self, take_over: Callable[[], bool]) -> None:
        """Have the settings read again by `take_over`, which returns whether that could be done."""
        if self._ready:
            self._systemd.tell(*reloading())
        done = False
        try:
            done = take_over()
        finally:
            self._not_reloaded = not done
            if self._ready:  # should it not go out, the next turn tells it
                self._ready = self._tell_status("READY=1")

    def stopping(self) -> None:
        """From now on it is being shut down."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            self._systemd.tell("STOPPING=1", "STATUS=stopping; the calls stay up")

    def _tell_on(self) -> None:
        began = time.monotonic()
        while True:
            if not self._ready:
                late = time.monotonic() - began > self._patience
                if self._able() or late:
                    self._ready = self._tell_status("READY=1")
                    if late and not self._able():
                        log.warning("started without the switch; it is used as soon as it is there")
            self._tell_status()
            if self._watchdog:
                self._systemd.tell("WATCHDOG=1")
            gevent.sleep(self._every if self._ready else min(LOOK_EVERY_S, self._every))

    def _had(self) -> list[Node]:
        """The switches, of several services those that this one has."""
        ctx = self._service.ctx
        return [one for one in ctx.nodes if ctx.cluster is None or ctx.cluster.owned(one.name)]

    def _able(self) -> bool:
        """Whether commands are taken, and the calls of one of its own switches known, if it has any."""
        had = self._had()
        return self._service.ctx.able and (not had or any(one.ready for one in had))

    def _tell_status(self, *lines: str) -> bool:
        """Tell these lines, with the status if it is another than before; whether that went out."""
        try:
            status = self._describe()
        except Exception as error:  # systemd has to be told that it lives, whatever becomes of a text
            status = f"what it does is not known: {type(error).__name__}"
            if status != self._status:
                log.exception("systemd is not told what the service does")
        if status == self._status and not lines:
            return True
        told = self._systemd.tell(*lines, f"STATUS={status}")
        if told:
            self._status = status
        return told

    def _describe(self) -> str:
        """One line, for `systemctl status`."""
        ctx = self._service.ctx
        parts = [f"{len(ctx.legs)} legs, {len(ctx.rooms)} rooms, {self._service.http.clients} VSI clients"]
        had = self._had()
        parts += [f"no switch at {one.address}: {one.last_error}" for one in had if not one.ready]
        if len(had) < len(ctx.nodes):
            parts.append(f"has {len(had)} of {len(ctx.nodes)} switches")
        parts += [
            f"no companion of {one.name}: {line.error}"
            for one in ctx.nodes
            if (line := one.host.companion) is not None and line.wanted and not line.connected
        ]
        if ctx.state.error:
            parts.append(f"the state cannot be saved: {ctx.state.error}")
        if self._not_reloaded:
            parts.append("the settings were not reloaded, see the log")
        return " ".join("; ".join(parts).split())
