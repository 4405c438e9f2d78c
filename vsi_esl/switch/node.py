"""One FreeSWITCH: its three connections, kept up, and what it can do.

Commands have a connection of their own, because a command that blocks holds back every event of its
connection; and those that take their time have another one, because the quick ones would wait behind them.
After each connect: subscribe, look at the switch, re-adopt its calls, and only then be ready.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
import structlog
from gevent.event import Event as Flag
from greenswitch.esl import NotConnectedError

from ..clock import SwitchClock
from ..errors import NotSupported, SwitchUnavailable
from ..model.codecs import CODEC_MODULES
from . import commands
from .client import AuthenticationFailed, CommandTimeout, EslClient
from .jobs import Jobs

log = structlog.get_logger(__name__)

EVENTS = (
    "CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_HOLD CHANNEL_UNHOLD "
    "CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB DTMF TEXT RECORD_STOP HEARTBEAT SHUTDOWN CUSTOM "
    "conference::maintenance sofia::notify_watched_header sofia::error"
)
"""The event types asked for: a plain call is 5 events with these, 24 with all."""

DEFAULT_HEARTBEAT_S = 20.0
SETUP_TIMEOUT_S = 15.0
SOUND_MODULES = ("mod_sndfile", "mod_loopback")
"""Files, and the internal channels of playbacks, recorders and bridges."""
SILENT_HEARTBEATS = 2.5
RESYNC_TIMEOUT_S = 30.0


@dataclass(slots=True)
class SwitchFacts:
    """What the connected switch said of itself."""

    version: str = ""
    core_uuid: str = ""
    watches_headers: bool = False
    """Whether replies to our re-INVITEs, and REFERs, are reported (sip_watch_headers)."""
    missing_codecs: frozenset[str] = frozenset()
    """Codecs whose module is not loaded; a call answered with one of them would be lost."""
    missing_modules: frozenset[str] = frozenset()
    """Modules that playback and recording need and the switch has not loaded."""


class SwitchNode:
    """Keeps the connections to one switch. Times are in seconds.

    `on_event` gets every event of the switch; `on_lost` is told of each loss of a switch that was ready.
    `resync` is run after each connect, while events are held back; what it returns, if anything, is run
    when they flow again. Only then is the switch ready.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        password: str,
        on_event: Callable[[dict[str, Any]], None],
        resync: Callable[[], Callable[[], None] | None],
        on_lost: Callable[[], None],
        bond: str = "vsi-bond",
        command_timeout: float = 5.0,
        job_timeout: float = 30.0,
        connect_timeout: float = 5.0,
        backoff_min: float = 0.25,
        backoff_max: float = 10.0,
    ) -> None:
        self._address = (host, port, password)
        self._on_event = on_event
        self._resync = resync
        self._on_lost = on_lost
        self.bond = bond
        self._command_timeout = command_timeout
        self._job_timeout = job_timeout
        self._connect_timeout = connect_timeout
        self._backoff = (backoff_min, backoff_max)
        self._commands: EslClient | None = None
        self._setups: EslClient | None = None
        self._events: EslClient | None = None
        self._lost = Flag()
        self._ready = Flag()
        self._resyncing = False
        self._heartbeat = DEFAULT_HEARTBEAT_S
        self._supervisor: gevent.Greenlet | None = None
        self.jobs = Jobs()
        self.facts = SwitchFacts()
        self.clock = SwitchClock()
        self.reconnects = 0
        self.events_handled = 0
        self.last_error = "not connected yet"

    @property
    def ready(self) -> bool:
        """Connected, subscribed and resynced."""
        return self._ready.is_set()

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
        self._disconnect(goodbye=True)

    def command(self, text: str, *, then: Sequence[str] = (), timeout: float | None = None) -> str:
        """Run an api command and return its answer. `then` commands follow it without being waited for.

        Raises SwitchUnavailable when there is no connection or no answer in time.
        """
        client = self._require_commands()
        try:
            more = [f"api {line}" for line in then]
            return client.send(f"api {text}", timeout or self._command_timeout, then=more)
        except (NotConnectedError, CommandTimeout) as error:
            raise _unavailable(error) from error

    def command_many(self, lines: Sequence[str], timeout: float | None = None) -> list[str]:
        """Run api commands in one write; their answers, in order."""
        if not lines:
            return []
        client = self._require_commands()
        try:
            return client.send_many([f"api {line}" for line in lines], timeout or self._command_timeout)
        except (NotConnectedError, CommandTimeout) as error:
            raise _unavailable(error) from error

    def post(self, *lines: str) -> None:
        """Send api commands without waiting, and without failing: what they set is set again at resync."""
        client = self._commands
        if client is not None and client.connected:
            try:
                client.post(*[f"api {line}" for line in lines])
            except NotConnectedError as error:
                log.debug("not sent", error=str(error))

    def execute(self, channel: str, application: str, argument: str) -> str:
        """Run a dialplan application on a channel. The argument is `${}`-expanded: never outside text."""
        client = self._require_commands()
        block = {
            "call-command": "execute",
            "execute-app-name": commands.name(application),
            "execute-app-arg": argument,
        }
        try:
            return client.send(f"sendmsg {commands.uuid(channel)}", self._command_timeout, block)
        except (NotConnectedError, CommandTimeout) as error:
            raise _unavailable(error) from error

    def job(self, text: str, timeout: float | None = None) -> str:
        """Run a command that may block in the background, and return its result."""
        client = self._require_commands()
        try:
            return self.jobs.run(client, text, timeout or self._job_timeout)
        except (NotConnectedError, CommandTimeout) as error:
            raise _unavailable(error) from error

    def set_up(self, lines: Sequence[str], timeout: float = SETUP_TIMEOUT_S) -> list[tuple[str, float]]:
        """Run api commands that take 10 to 50 ms each: their answers, and when each came (Unix seconds).

        They have a connection of their own, on which nothing else waits behind them, and are run one after
        the other: a global variable set by one is there for the next.
        """
        self._require_commands()
        client = self._setups
        if client is None:
            raise SwitchUnavailable("not connected to the switch")
        try:
            return client.send_timed([f"api {line}" for line in lines], timeout)
        except (NotConnectedError, CommandTimeout) as error:
            raise _unavailable(error) from error

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
            try:
                self._connect()
                failures = 0
                log.info("switch ready", version=self.facts.version)
                self._watch()
            except (NotConnectedError, AuthenticationFailed, CommandTimeout, SwitchUnavailable) as error:
                self.last_error = str(error)
                log.warning("switch not available", error=str(error))
            except Exception as error:
                self.last_error = str(error)
                log.exception("connecting to the switch failed")
            was_ready = self.ready
            self._disconnect()
            if was_ready:
                self._on_lost()
            low, high = self._backoff
            # full jitter, so that many services do not return to a restarted switch in step
            gevent.sleep(max(low, random.uniform(0, min(high, low * 2 ** min(failures, 16)))))  # noqa: S311
            failures += 1
            self.reconnects += 1

    def _connect(self) -> None:
        self._lost.clear()
        host, port, password = self._address
        options: dict[str, Any] = {"timeout": self._connect_timeout, "on_close": self._closed}
        self._commands = EslClient(host, port, password, **options)
        self._commands.connect()
        self._setups = EslClient(host, port, password, **options)
        self._setups.connect()
        self._events = EslClient(host, port, password, on_event=self._handle, **options)
        self._events.connect()
        reply = self._events.send(f"event json {EVENTS}")
        if not reply.startswith("+OK"):
            raise NotConnectedError(f"the switch refused our events: {reply}")
        self._events.pause()
        self._resyncing = True
        self._learn_facts()
        self._ensure_bond()
        with gevent.Timeout(RESYNC_TIMEOUT_S, SwitchUnavailable("re-adoption of the calls took too long")):
            finish = self._resync()
            self._events.resume()
            if finish is not None:
                finish()
        self._ready.set()
        self._resyncing = False

    def _learn_facts(self) -> None:
        version, core_uuid, watched, *answers = self.command_many(
            [
                "version",
                commands.global_getvar("core_uuid"),
                commands.global_getvar("sip_watch_headers"),
                *[commands.module_exists(module) for module in (*SOUND_MODULES, *CODEC_MODULES.values())],
            ]
        )
        sound, loaded = answers[: len(SOUND_MODULES)], answers[len(SOUND_MODULES) :]
        lacking = frozenset(
            module for module, answer in zip(SOUND_MODULES, sound, strict=True) if answer != "true"
        )
        missing = frozenset(
            codec for codec, answer in zip(CODEC_MODULES, loaded, strict=True) if answer != "true"
        )
        words = version.split()
        shown = words[2] if version.startswith("FreeSWITCH Version") and len(words) > 2 else version[:60]
        self.facts = SwitchFacts(shown, core_uuid, "CSeq" in watched, missing, lacking)
        if not (shown.startswith(("1.10", "1.11")) or shown == "sandbox"):
            log.warning("untested switch version", version=shown)
        if lacking:
            log.warning("no playback or recording without these modules", modules=sorted(lacking))
        if missing:
            log.warning("codecs without their module on the switch", codecs=sorted(missing))
        if not self.facts.watches_headers:
            log.warning("sip_watch_headers is not set on the switch: a refused hold will not be noticed")

    def _ensure_bond(self) -> None:
        """Have the dummy channel that every leg names as its partner, so that REFERs wait for us."""
        if self.command(commands.exists(self.bond)) == "true":
            return
        # the music of a leg on hold is played to its partner, who must not need a music module for that
        settings = {"vsi_internal": "true", "hold_music": "silence_stream://-1"}
        answer = self.command(commands.originate_null(self.bond, settings))
        if not answer.startswith("+OK"):
            log.warning("no bond channel; inbound REFERs are refused by the switch", answer=answer[:80])

    def _watch(self) -> None:
        """Return when the connection is lost, or silent for too long."""
        while not self._lost.wait(self._heartbeat / 4):
            events = self._events
            if events is None:
                return
            self._renew_bond()
            silent = time.monotonic() - events.last_frame_at
            if silent > SILENT_HEARTBEATS * self._heartbeat:
                raise NotConnectedError(f"the switch has been silent for {silent:.0f} s")

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
        elif kind == "CHANNEL_HANGUP_COMPLETE" and event.get("Unique-ID") == self.bond:
            gevent.spawn(self._renew_bond)
        else:
            self._on_event(event)

    def _renew_bond(self) -> None:
        try:
            self._ensure_bond()
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
        for client in (self._events, self._setups, self._commands):
            if client is not None:
                client.stop() if goodbye else client.close()
        self._events = self._setups = self._commands = None
        self.jobs.fail_all(NotConnectedError(self.last_error))


def _unavailable(error: Exception) -> SwitchUnavailable:
    if isinstance(error, CommandTimeout):
        return SwitchUnavailable(f"the switch did not answer: {error}")
    return SwitchUnavailable(f"the connection to the switch was lost: {error}")
