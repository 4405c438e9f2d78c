"""One FreeSWITCH: its connections, kept up, and what it can do.

Commands have a connection of their own, because a command that blocks holds back every event of its
connection; and those that take their time have others, because the quick ones would wait behind them.
After each connect: subscribe, look at the switch, re-adopt its calls, and only then be ready.

A switch that stands still keeps its connections: what it has been sent it does when it goes on, so its calls
are looked at behind the answers to all of that, not beside them on a new connection.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import gevent
import structlog
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from ..errors import NotSupported, SwitchUnavailable
from ..work.clock import SwitchClock
from . import bond
from .esl.client import AuthenticationFailed, CommandTimeout, EslClient
from .esl.hurry import Hurry
from .esl.jobs import Jobs
from .esl.lanes import Lanes
from .esl.pulse import PATIENCE_S, TICK_S, Pulse, longest_still, wait_until_answered
from .esl.writer import Traffic
from .facts import SwitchFacts, learn, warn
from .lines import builder
from .unavailable import as_unavailable

log = structlog.get_logger(__name__)

OWN_EVENTS = frozenset("BACKGROUND_JOB CHANNEL_HANGUP_COMPLETE HEARTBEAT MODULE_LOAD MODULE_UNLOAD".split())
"""Asked for in any case, beside what has a translator. With all that there is, a plain call is 24 events."""

DEFAULT_HEARTBEAT_S = 20.0
SETUP_TIMEOUT_S = 15.0
SILENT_HEARTBEATS = 2.5
RESYNC_TIMEOUT_S = 30.0
QUICK_BACKOFF_S = 1.0
"""Longest wait before connecting again to a switch that did not refuse us: it may be there any moment."""
BUSY = 1000
"""Commands under way; with more the calls are not also looked at anew."""
SAME_ERROR_S = 60.0
"""How often the same reason for not being connected is logged."""


class SwitchNode:
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
        self._address = (host, port, password)
        self._wanted = frozenset(events)
        self._subscription = builder.subscription(OWN_EVENTS.union(self._wanted))
        self._on_event = on_event
        self._resync = resync
        self._on_lost = on_lost
        self.bond = bond_id
        self._command_timeout = command_timeout
        self._job_timeout = job_timeout
        self._connect_timeout = connect_timeout
        self._backoff = (backoff_min, backoff_max)
        self._commands: EslClient | None = None
        self._events: EslClient | None = None
        self._lanes: Lanes | None = None
        self._lost, self._ready = Signal(), Signal()
        self._resyncing = self._in_use = False
        """`_in_use`: it has been ready, and `on_lost` has not been told since."""
        self._heartbeat = DEFAULT_HEARTBEAT_S
        self._supervisor: gevent.Greenlet | None = None
        self._bond_check: gevent.Greenlet | None = None
        self._modules_changed = False
        self._refresh_due = ""
        """Why the calls are to be looked at anew; empty when they need not be."""
        self._logged = "", 0.0
        self.jobs = Jobs()
        self.traffic = Traffic()
        self.hurry = Hurry(lambda: self._events)
        self.facts = SwitchFacts()
        self.clock = SwitchClock()
        self.reconnects = 0
        self.stalls = 0
        """How often the switch stood still."""
        self.refreshes = 0
        """How often the calls were looked at anew on a connection that was never lost."""
        self.posts_lost = 0
        """Commands nobody waits for that could not be sent; the calls are looked at anew instead."""
        self.events_handled = 0
        self.last_error = "not connected yet"

    @property
    def ready(self) -> bool:
        """Connected, subscribed and resynced."""
        return bool(self._ready.is_set())

    def wait_ready(self, timeout: float) -> bool:
        """Wait until ready; False when that took longer."""
        return bool(self._ready.wait(timeout))

    def require(self, *modules: str) -> None:
        """NotSupported, naming it, when the switch lacks one of these modules."""
        for module in modules:
            if module in self.facts.missing_modules:
                raise NotSupported(f"this needs {module}, which the switch has not loaded")

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._supervisor = gevent.spawn(self._supervise)

    def stop(self) -> None:
        """Disconnect for good. Calls stay up."""
        self.last_error = "the service is shutting down"
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor = None
        self.hurry.stop()
        self._disconnect(goodbye=True)

    def command(self, text: str, *, then: Sequence[str] = (), timeout: float | None = None) -> str:
        """Run an api command and return its answer. `then` commands follow it without being waited for.

        Raises SwitchUnavailable when there is no connection or no answer in time.
        """
        client = self._require_commands()
        with as_unavailable():
            more = [f"api {line}" for line in then]
            return client.send(f"api {text}", timeout or self._command_timeout, then=more)

    def command_many(self, lines: Sequence[str], timeout: float | None = None) -> list[str]:
        """Run api commands in one write; their answers, in order."""
        if not lines:
            return []
        client = self._require_commands()
        with as_unavailable():
            return client.send_many([f"api {line}" for line in lines], timeout or self._command_timeout)

    def post(self, *lines: str) -> None:
        """Send api commands without waiting, and without failing.

        What cannot be sent, or not by when a command has to be answered, is counted, and what it would have
        set is set again when the calls are next re-adopted: at the connect that follows, or soon when the
        connection is there.
        """
        if not lines:
            return
        client = self._commands
        if client is not None and (self.ready or self._resyncing):
            try:
                posted = [f"api {line}" for line in lines]
                client.post(*posted, timeout=self._command_timeout, not_sent=self._post_lost)
                return
            except NotConnectedError as error:
                log.debug("not sent", error=str(error))
        self._post_lost(len(lines))

    def _post_lost(self, count: int = 1) -> None:
        self.posts_lost += count
        self._refresh_due = "commands could not be sent"

    def execute(self, channel: str, application: str, argument: str) -> str:
        """Run a dialplan application on a channel. The argument is `${}`-expanded: never outside text."""
        return self.message(
            channel,
            {
                "call-command": "execute",
                "execute-app-name": builder.name(application),
                "execute-app-arg": argument,
            },
        )

    def message(self, channel: str, headers: dict[str, str]) -> str:
        """Tell a channel something (`sendmsg`). The answer says that it is there, not that it did it."""
        client = self._require_commands()
        with as_unavailable():
            return client.send(builder.to_channel(channel), self._command_timeout, headers)

    def job(self, text: str, timeout: float | None = None) -> str:
        """Run a command that may block in the background, and return its result."""
        client = self._require_commands()
        self.hurry.begin()
        with as_unavailable():
            return self.jobs.run(client, text, timeout or self._job_timeout)

    def set_up(self, lines: Sequence[str], *, files: bool = False) -> list[tuple[str, float]]:
        """Run api commands that take 2 to 50 ms each: their answers, and when each came (Unix seconds).

        They are run one after the other; with `files`, for those that open or close files and make no
        channels, beside those of other calls.
        """
        if not lines:
            return []
        commands, lanes = self._require_commands(), self._lanes
        client = (lanes.files if files else lanes.channels) if lanes else commands
        with as_unavailable():
            return client.send_timed([f"api {line}" for line in lines], SETUP_TIMEOUT_S)

    def _require_commands(self) -> EslClient:
        """The command connection, for use by anyone once the calls are re-adopted.

        While that is under way, only the supervisor itself may use it; others wait for it to end.
        """
        if not self.ready and gevent.getcurrent() is not self._supervisor and self._resyncing:
            self._ready.wait(self._command_timeout)
        client = self._commands
        if client is None or not client.connected or not (self.ready or self._resyncing):
            raise SwitchUnavailable(f"not connected to the switch: {self.last_error}")
        return client

    def _supervise(self) -> None:
        failures = 0
        while True:
            refused = False
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
        return f"{host}:{port}"

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
        self._lanes = Lanes(partial(EslClient, *self._address, **options))
        self._lanes.connect()
        self._events = EslClient(*self._address, on_event=self._handle, **options)
        self._events.connect()
        reply = self._events.send(self._subscription)
        if not reply.startswith("+OK"):
            raise NotConnectedError(f"the switch refused our events: {reply}")
        self._adopt_calls()

    def _adopt_calls(self) -> None:
        """Look at the switch and make the model what it is, with events held back meanwhile."""
        events = self._events
        if events is None:
            raise NotConnectedError(self.last_error)
        self._resyncing = True
        self._refresh_due = ""
        events.pause()
        self._learn()
        bond.ensure(self.command, self.bond)
        with gevent.Timeout(RESYNC_TIMEOUT_S, SwitchUnavailable("re-adoption of the calls took too long")):
            finish = self._resync()
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
        late = 0
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
            silent = now - self._events.last_event_at if self._events else 0.0
            if silent > SILENT_HEARTBEATS * self._heartbeat:
                raise NotConnectedError(f"the switch has been silent for {silent:.0f} s")

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
            bond.ensure(self.command, self.bond)
        except SwitchUnavailable as error:
            log.warning("bond channel not renewed", error=str(error))

    def _closed(self, cause: Exception) -> None:
        if not self._lost.is_set():  # the first cause is the one to report
            self.last_error = str(cause)
            self._lost.set()

    def _disconnect(self, goodbye: bool = False) -> None:
        self._ready.clear()
        self._resyncing = False
        self._lost.set()
        for client in (self._events, *(self._lanes or ()), self._commands):
            if client is not None:
                client.stop() if goodbye else client.close()
        self._events = self._lanes = self._commands = None
        self.jobs.fail_all(NotConnectedError(self.last_error))
