"""Whether the other end of a connection still answers: a question now and then, and how long it is owed.

A connection whose peer stands still (a stopped process, a dead network) looks like one on which nothing
happens, and one that is out of step like one on which much does; only an answer tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gevent
from gevent.event import Event as Signal
from greenswitch.esl import NotConnectedError

from ..lines import builder
from .client import AuthenticationFailed, CommandTimeout, EslClient

TICK_S = 0.5
QUESTION_EVERY_S = 2.0
PATIENCE_S = 4.0
"""How long a connection may bring nothing whole while an answer is owed. With the time between questions
it is what passes, at most, until a switch that stands still is known to."""
PROBE_TIMEOUT_S = 2.0
PROBE_PAUSE_S = 0.5
FRESH_GRACE_S = 1.0
"""How long the old connections may still be silent when a new one to the same switch is answered."""
WAIT_TICK_S = 0.1
SETTLE_S = 0.3

QUESTION = f"api {builder.global_getvar('core_uuid')}"
"""Answered at once, without a lock of the switch that anything of ours could hold."""


class Pulse:
    """Asks one connection. `tick` is to be called every TICK_S.

    Time is counted in ticks, not read from a clock: when this process itself stands still, the answer has
    come in the meantime and is read before the next tick.
    """

    def __init__(self, client: EslClient, patience: float = PATIENCE_S) -> None:
        self.client = client
        self._patience = patience
        self._waiting = False
        self._quiet = 0
        self._since = 0
        self._frames = client.frames_read

    def tick(self) -> None:
        """A step in time. NotConnectedError when the connection is gone."""
        self._since += 1
        if self._waiting:
            frames = self.client.frames_read
            self._quiet = self._quiet + 1 if frames == self._frames else 0
            self._frames = frames
        elif self._since * TICK_S >= QUESTION_EVERY_S:
            self.ask()

    def ask(self) -> None:
        """Ask now, whenever that was done last."""
        if not self._waiting:
            self._waiting, self._since, self._quiet = True, 0, 0
            self._frames = self.client.frames_read
            self.client.ask(QUESTION, self._answered)

    def _answered(self) -> None:
        self._waiting = False
        self._quiet = 0

    @property
    def waiting(self) -> bool:
        """Whether an answer is owed."""
        return self._waiting

    @property
    def still(self) -> bool:
        """Whether the other end has stood still for longer than can be explained."""
        return self.quiet_s >= self._patience

    @property
    def quiet_s(self) -> float:
        """For how many seconds nothing whole has come while an answer was owed."""
        return self._quiet * TICK_S


def longest_still(pulses: Sequence[Pulse]) -> float:
    """How long the stillest of these has been still, in seconds; 0 when all live."""
    return max((pulse.quiet_s for pulse in pulses if pulse.still), default=0.0)


def wait_until_answered(pulses: Sequence[Pulse], lost: Signal, connection: Callable[..., EslClient]) -> bool:
    """Wait until a switch that stands still has answered on each of its connections, for as long as it takes.

    Returns at once when `lost` is set. False when it answers, but only on a new `connection`, as after a
    network that was gone for long, or when what we read is out of step.
    """
    fresh = gevent.spawn(_probe, connection)
    try:
        if not _answered_by_all(pulses, lost, fresh):
            return False
        lost.wait(SETTLE_S)  # for what it was in the middle of
        return _answered_by_all(pulses, lost, fresh)
    finally:
        fresh.kill(block=False)


def _answered_by_all(pulses: Sequence[Pulse], lost: Signal, fresh: gevent.Greenlet) -> bool:
    silent = 0.0
    frames = -1
    for pulse in pulses:
        pulse.ask()
    while any(pulse.waiting for pulse in pulses) and not lost.wait(WAIT_TICK_S):
        read = sum(pulse.client.frames_read for pulse in pulses if pulse.waiting)
        silent = silent + WAIT_TICK_S if read == frames and fresh.ready() else 0.0
        frames = read
        if silent > FRESH_GRACE_S:
            return False
    return True


def _probe(connection: Callable[..., EslClient]) -> None:
    """Return when the switch answers on a connection made now."""
    while True:
        client = connection(timeout=PROBE_TIMEOUT_S)
        try:
            client.connect()
            return
        except AuthenticationFailed:
            return  # an answer, too
        except (NotConnectedError, CommandTimeout):
            gevent.sleep(PROBE_PAUSE_S)
        finally:
            client.close()
