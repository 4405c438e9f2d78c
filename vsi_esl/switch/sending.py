"""What is sent to one switch, each kind over the connection that fits it.

Commands have a connection of their own, because a command that blocks holds back every event of its
connection; and those that take their time have others, because the quick ones would wait behind them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gevent
import structlog
from gevent.lock import BoundedSemaphore
from greenswitch.esl import NotConnectedError

from ..later import Within
from . import bond
from .esl.client import EslClient
from .esl.hurry import Hurry
from .esl.jobs import Jobs
from .esl.lanes import Lanes
from .lines import builder, refers
from .unavailable import as_unavailable

log = structlog.get_logger(__name__)

SETUP_TIMEOUT_S = 15.0
BOND_POLL_S = 0.01


class Sending(ABC):
    """The ways to have a switch do something. Whoever keeps the connections up is a subclass. Times are in
    seconds."""

    def __init__(self, bond_id: str, command_timeout: float, job_timeout: float, hurry: Hurry) -> None:
        self.bond = bond_id
        self.jobs = Jobs()
        self.hurry = hurry
        self.posts_lost = 0
        """Commands nobody waits for that could not be sent; the calls are looked at anew instead."""
        self._command_timeout = command_timeout
        self._job_timeout = job_timeout
        self._commands: EslClient | None = None
        self._lanes: Lanes | None = None
        self._bond_away = BoundedSemaphore()
        self._refresh_due = ""
        """Why the calls are to be looked at anew; empty when they need not be."""

    @abstractmethod
    def _require_commands(self) -> EslClient:
        """The command connection, for whoever may use it now. Waits for it as long as a command may take.
        SwitchUnavailable."""

    @property
    @abstractmethod
    def takes_posts(self) -> bool:
        """Whether what nobody waits for can be sent now."""

    def command(self, text: str, *, then: Sequence[str] = (), timeout: float | None = None) -> str:
        """Run an api command and return its answer. `then` commands follow it without being waited for.

        Raises SwitchUnavailable when there is no connection or no answer in time.
        """
        client = self._require_commands()
        more = [f"api {line}" for line in then] if then else ()
        with as_unavailable():
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
        if client is not None and self.takes_posts:
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

    def notify(self, headers: dict[str, str], body: str = "") -> None:
        """Send a NOTIFY. Whether it is answered is told by events."""
        client = self._require_commands()
        with as_unavailable():
            client.send(refers.NOTIFY, self._command_timeout, headers, body=body)

    @contextmanager
    def without_bond(self, patience: float) -> Iterator[None]:
        """A time without the bond channel, which is made anew behind it. One at a time."""
        with self._bond_away:
            try:
                self.command(builder.kill(self.bond, "NORMAL_CLEARING"))
                with Within(patience, False):
                    while self.command(builder.exists(self.bond)) == "true":
                        gevent.sleep(BOND_POLL_S)
                yield
            finally:
                bond.ensure(self.command, self.bond)

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
