"""One FreeSWITCH: its connections, kept up, and what it can do. What is sent over them is in `sending`.

After each connect: subscribe, look at the switch, re-adopt its calls, and only then be ready.

A switch that stands still keeps its connections: what it has been sent it does when it goes on, so its calls
are looked at behind the answers to all of that, not beside them on a new connection.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import gevent
import structlog
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from .. import lasting
from ..errors import BadArgument, NotSupported, SwitchUnavailable
from ..later import Within
from ..net.addresses import host_port
from ..work.clock import SwitchClock
from . import bond
from .esl.client import AuthenticationFailed, CommandTimeout, EslClient
from .esl.hurry import Hurry
from .esl.lanes import Lanes
from .esl.pulse import PATIENCE_S, TICK_S, Pulse, longest_still, wait_until_answered
from .esl.writer import Traffic
from .facts import SwitchFacts, learn, warn
from .guard import Guard
from .lines import builder
from .sending import SETUP_TIMEOUT_S, Sending
from .unavailable import as_unavailable
from .unsure import Unsure

log = structlog.get_logger(__name__)

OWN_EVENTS = frozenset("BACKGROUND_JOB CHANNEL_HANGUP_COMPLETE HEARTBEAT MODULE_LOAD MODULE_UNLOAD".split())
"""Asked for in any case, beside what has a translator. With all that there is, a plain call is 24 events."""

DEFAULT_HEARTBEAT_S = 20.0
SILENT_HEARTBEATS = 2.5
RESYNC_TIMEOUT_S = 30.0
QUICK_BACKOFF_S = 1.0
"""Longest wait before connecting again to a switch that did not refuse us: it may be there any moment."""
BUSY = 1000
"""Commands under way; with more the calls are not also looked at anew."""
SAME_ERROR_S = 60.0
"""How often the same reason for not being connected is logged."""


class SwitchNode(Sending):
    """Keeps the connections to one switch. Times are in seconds.

    `on_event` gets the events of the switch that are named in `events` (of a CUSTOM event, its subclass), and
    no others are asked for; `on_lost` is told of each loss of a switch that was ready.
    `resync` is run after each connect, while events are held back; what it returns, if anything, is run
    when they flow again. Only then is the switch ready.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        password: str,
        events: Iterable[str],
        unheard: AbstractSet[str] = frozenset(),
        on_event: Callable[[dict[str, Any]], None],
        resync: Callable[[], Callable[[], None] | None],
        on_lost: Callable[[], None],
        bond_id: str = "vsi-bond",
        command_timeout: float = 5.0,
        job_timeout: float = 30.0,
        connect_timeout: float = 5.0,
        backoff_min: float = 0.25,
        backoff_max: float = 10.0,
    ) -> None:
        super().__init__(bond_id, command_timeout, job_timeout, Hurry(lambda: self._events))
        self._address = (host, port, password)
        self._wanted = frozenset(events)
        self._unheard = unheard
        self._subscription = builder.subscription(OWN_EVENTS.union(self._wanted))
        self._on_event = on_event
        self._resync = resync
        self._on_lost = on_lost
        self._connect_timeout = connect_timeout
        self._backoff = (backoff_min, backoff_max)
        self._events: EslClient | None = None
        self._lost, self._ready, self._tried = Signal(), Signal(), Signal()
        """`_tried`: no attempt to connect and to look at the calls is under way."""
        self._resyncing = self._in_use = self._held_back = False
        """`_in_use`: it has been ready, and `on_lost` has not been told since. `_held_back`: events wait for
        the calls to be re-adopted."""
        self._heartbeat = DEFAULT_HEARTBEAT_S
        self._supervisor: gevent.Greenlet | None = None
        self._bond_check: gevent.Greenlet | None = None
        self._modules_changed = False
        self._logged = "", 0.0
        self.guard: Guard | None = None
        """Of a switch that other services may have."""
        self.started_at = time.monotonic()
        """Since when it is, or was last, connected to."""
        self.adopted = False
        """Its calls have been looked at, since the start or since this service has it; also while it is away
        behind that."""
        self._unsure = Unsure(self.confirm, self._take, self._not_ours, self._go_on)
        self.traffic = Traffic()
        self.facts = SwitchFacts()
        self.clock = SwitchClock()
        self.reconnects = 0
        self.stalls = 0
        """How often the switch stood still."""
        self.refreshes = 0
        """How often the calls were looked at anew on a connection that was never lost."""
        self.events_handled = 0
        self.last_error = "not connected yet"

    @property
    def ready(self) -> bool:
        """Connected, subscribed and resynced."""
        return bool(self._ready.is_set()) and not self._lost.is_set()

    @property
    def unknown(self) -> bool:
        """It is this service's, which has not looked at its calls yet."""
        return self._supervisor is not None and not self.adopted

    def wait_ready(self, timeout: float) -> bool:
        """Wait until ready; False when that took longer."""
        return bool(self._ready.wait(timeout))

    def wait_adopted(self, timeout: float) -> bool:
        """Wait while its calls are about to be looked at; False when that took longer, or failed."""
        if not self.adopted:
            self._tried.wait(timeout)
        return self.adopted

    def require(self, *modules: str) -> None:
        """NotSupported, naming it, when the switch lacks one of these modules."""
        for module in modules:
            if module in self.facts.missing_modules:
                raise NotSupported(f"this needs {module}, which the switch has not loaded")

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._tried.clear()
        self.started_at = time.monotonic()
        self._supervisor = lasting.keep(self._supervise)

    def stop(self) -> None:
        """Disconnect for good. Calls stay up."""
        self.last_error = "the service is shutting down"
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor = None
        self._tried.set()
        self.hurry.stop()
        self._disconnect(goodbye=True)

    def leave(self, why: str) -> None:
        """Disconnect, for another service has the switch; `start` connects again. Calls stay up."""
        self.adopted = False
        self.stop()
        self.adopted = self._in_use = False  # it may have come to be so until it was stopped
        self.last_error = why

    @property
    def takes_posts(self) -> bool:
        return (self.ready or self._resyncing) and (self.guard is None or self.guard.fresh())

    def _require_commands(self) -> EslClient:
        """The command connection, for use by anyone once the calls are re-adopted.

        While that is under way, only the supervisor itself may use it; others wait for it to end.
        """
        ready = self.ready
        if not ready and gevent.getcurrent() is not self._supervisor and self._resyncing:
            self._ready.wait(self._command_timeout)
            ready = self.ready
        client = self._commands
        if client is None or not client.connected or not (ready or self._resyncing):
            raise SwitchUnavailable(f"not connected to the switch: {self.last_error}")
        if self.guard is not None and not self.guard.fresh():
            self.guard.confirm(self.ask)
        return client

    def ask(self, line: str) -> str:
        """The answer to an api command of the guard's, which is not asked itself. SwitchUnavailable."""
        client = self._commands
        if client is None:
            raise SwitchUnavailable(f"not connected to the switch: {self.last_error}")
        with as_unavailable():
            return client.send(f"api {line}", self._command_timeout)

    def confirm(self, *, anew: bool = False) -> None:
        """Look whether the switch is still ours, if others may have it; with `anew` also when that is known.
        SwitchUnavailable."""
        if self.guard is not None:
            self.guard.confirm(self.ask, anew=anew)

    def _supervise(self) -> None:
        failures = 0
        while True:
            refused = False
            self._tried.clear()
            try:
                self._connect()
                failures = 0
                self._logged = ("", 0.0)
                log.info("switch ready", version=self.facts.version, address=self.address)
                self._watch()
            except AuthenticationFailed as error:
                refused = True
                self._unavailable(error)
            except (NotConnectedError, CommandTimeout, SwitchUnavailable) as error:
                self._unavailable(error)
            except Exception as error:
                refused = True
                self.last_error = str(error)
                log.exception("connecting to the switch failed", address=self.address)
            self._disconnect()
            self._tried.set()
            if self._in_use:
                self._in_use = False
                self._on_lost()
            low, high = self._backoff
            longest = high if refused else min(high, max(low, QUICK_BACKOFF_S))
            # full jitter, so that many services do not return to a restarted switch in step
            gevent.sleep(max(low, random.uniform(0, min(longest, low * 2 ** min(failures, 16)))))  # noqa: S311
            failures += 1
            self.reconnects += 1

    @property
    def address(self) -> str:
        """Where the switch is, for people."""
        host, port, _ = self._address
        return host_port(host, port)

    def _unavailable(self, error: Exception) -> None:
        self.last_error = str(error)
        now = time.monotonic()
        text, at = self._logged
        if text != self.last_error or now - at >= SAME_ERROR_S:
            self._logged = (self.last_error, now)
            log.warning("switch not available", address=self.address, error=self.last_error)

    def _connect(self) -> None:
        self._lost.clear()
        options: dict[str, Any] = {"timeout": self._connect_timeout, "on_close": self._closed}
        options["traffic"] = self.traffic
        self._commands = EslClient(*self._address, **options)
        self._commands.connect()
        if self.guard is not None:
            self.guard.connected(self.ask)
        self._lanes = Lanes(partial(EslClient, *self._address, **options))
        self._lanes.connect()
        self._events = EslClient(*self._address, on_event=self._handle, **options)
        self._events.connect()
        reply = self._events.send(self._subscription)
        if not reply.startswith("+OK"):
            raise NotConnectedError(f"the switch refused our events: {reply}")
        self._leave_out(self._commands, self._events)
        self._adopt_calls()

    def _leave_out(self, commands: EslClient, events: EslClient) -> None:
        """Have it keep to itself what means nothing here, if it can: each event costs it and us as much as a
        command, and brings all variables of a channel."""
        core = commands.send(builder.api(builder.global_getvar("core_uuid")))
        try:
            first, *others = builder.leave_out(core, self._unheard)
        except BadArgument:
            return
        if events.send(first).startswith("+OK"):
            events.send_many(others)

    def _adopt_calls(self) -> None:
        """Look at the switch and make the model what it is, with events held back meanwhile."""
        events = self._events
        if events is None:
            raise NotConnectedError(self.last_error)
        self._resyncing = self._held_back = True
        self._refresh_due = ""
        events.pause()
        self._learn()
        bond.ensure(self.command, self.bond)
        with Within(RESYNC_TIMEOUT_S, SwitchUnavailable("re-adoption of the calls took too long")):
            finish = self._resync()
            self._held_back, self.adopted = False, True
            self._tried.set()
            events.resume()
            if finish is not None:
                finish()
        self._ready.set()
        self._resyncing, self._in_use = False, True

    def _learn(self) -> None:
        self._modules_changed = False
        facts = learn(self.command_many)
        if facts != self.facts:
            self.facts = facts
            warn(facts)

    def _refresh(self, why: str) -> None:
        """Re-adopt the calls on the connections there are."""
        log.info("calls looked at anew", reason=why)
        self.refreshes += 1
        self._ready.clear()
        self._adopt_calls()

    def _watch(self) -> None:
        """Return when the connection is lost; raise when it is of no more use."""
        lanes = list(self._lanes or ())
        connections = [one for one in (self._commands, *lanes, self._events) if one is not None]
        pulses = [Pulse(one, SETUP_TIMEOUT_S if one in lanes else PATIENCE_S) for one in connections]
        bond_at = time.monotonic()
        late = silent = 0
        event_at = 0.0
        while not self._lost.wait(TICK_S):
            for pulse in pulses:
                pulse.tick()
            if seconds := longest_still(pulses):
                self._wait_for_life(pulses, seconds)
                self._refresh_due = "the switch stood still"
            answered_late = self.jobs.late_results + sum(one.late_answers for one in connections)
            if answered_late > late:
                late = answered_late
                self._refresh_due = self._refresh_due or "commands were done after their callers had given up"
            if self._refresh_due and not any(one.owing or one.pending > BUSY for one in connections):
                self._refresh(self._refresh_due)
            if self._modules_changed:
                self._learn()
            now = time.monotonic()
            if now - bond_at > self._heartbeat / 4 and not self._bond_check:
                bond_at = now
                self._bond_check = gevent.spawn(self._renew_bond)
            latest = self._events.last_event_at if self._events else 0.0
            # counted in ticks, as by a `Pulse`: what came while we stood still is read before the next one
            silent, event_at = (silent + 1 if latest == event_at else 0), latest
            if silent * TICK_S > SILENT_HEARTBEATS * self._heartbeat:
                raise NotConnectedError(f"the switch has been silent for {silent * TICK_S:.0f} s")

    def _wait_for_life(self, pulses: list[Pulse], seconds: float) -> None:
        """The switch stands still: take no commands until everything it was sent is answered.

        NotConnectedError when the connections are lost, or it answers, but only on new ones.
        """
        self.stalls += 1
        self._ready.clear()
        self.last_error = "the switch does not answer"
        log.warning("switch stands still", address=self.address, seconds=seconds)
        answered = wait_until_answered(pulses, self._lost, partial(EslClient, *self._address))
        if self._lost.is_set() or not answered:
            raise NotConnectedError(self.last_error)
        log.info("switch answers again", address=self.address)

    def _handle(self, event: dict[str, Any]) -> None:
        if self._events is None and self._supervisor is None:
            return  # it was left: of what its connection had read nothing is ours to tell
        if self.guard is not None and (self._unsure or not self.guard.fresh()):
            self._unsure.hold(event, self._events)
            return
        self._take(event)

    def _not_ours(self, why: str) -> None:
        self._closed(NotConnectedError(why))

    def _go_on(self, events: EslClient) -> None:
        if not self._held_back:  # by the re-adoption, which goes on with them by itself
            events.resume()

    def _take(self, event: dict[str, Any]) -> None:
        self.events_handled += 1
        self.clock.learn(event)
        kind = event.get("Event-Name")
        if kind == "BACKGROUND_JOB":
            self.jobs.finished(event)
        elif kind == "HEARTBEAT":
            seconds = str(event.get("Heartbeat-Interval", ""))
            if seconds.isascii() and seconds.isdigit() and int(seconds) > 0:
                self._heartbeat = float(seconds)
        elif kind in ("MODULE_LOAD", "MODULE_UNLOAD"):
            self._modules_changed = True
            if kind in self._wanted:
                self._on_event(event)
        elif kind == "CHANNEL_HANGUP_COMPLETE" and event.get("Unique-ID") == self.bond:
            gevent.spawn(self._renew_bond)
        else:
            self._on_event(event)

    def _renew_bond(self) -> None:
        try:
            with self._bond_away:
                bond.ensure(self.command, self.bond)
        except SwitchUnavailable as error:
            log.warning("bond channel not renewed", error=str(error))

    def _closed(self, cause: Exception) -> None:
        if not self._lost.is_set():  # the first cause is the one to report
            self.last_error = str(cause)
            self._lost.set()

    def _disconnect(self, goodbye: bool = False) -> None:
        self._ready.clear()
        self._resyncing = self._held_back = False
        self._lost.set()
        self._unsure.drop()
        for client in (self._events, *(self._lanes or ()), self._commands):
            if client is not None:
                client.stop() if goodbye else client.close()
        self._events = self._lanes = self._commands = None
        self.jobs.fail_all(NotConnectedError(self.last_error))
