"""Unix time that never jumps: for everything that is subtracted, or waited for.

The wall clock is set, by hand or by NTP, also while calls are up. A duration that is the difference of two of
its readings is wrong by that step, and so is a deadline. `now` is the wall clock as it was when the service
first read it after the machine was started, and from there on the monotonic clock. Only what is shown to
somebody (timestamps of events, file names) comes from the wall clock itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

BOOT_ID = "/proc/sys/kernel/random/boot_id"
MAX_LAG_S = 60.0
"""An event that seems to be older than that is of a switch whose clock was set."""
TRUE_FOR_S = 60.0
"""A switch's clock may run slower than ours, by seconds a day, or be set back a little: what is known of it
is looked at anew. Its heartbeat comes every 20 s."""

_begun = {"offset": time.time() - time.monotonic()}
_event = {"at": 0.0}


class Facts(Protocol):
    """Where the start of the clock is remembered (storage.state)."""

    def fact(self, name: str) -> str | None: ...
    def save_fact(self, name: str, value: str) -> None: ...


def now() -> float:
    """Unix time in seconds, without the steps of the wall clock."""
    return time.monotonic() + _begun["offset"]


def happened() -> float:
    """When that happened which is being dealt with, in the time of `now`: an event of the switch may have
    waited to be read. Whatever is no event happens now."""
    return _event["at"] or now()


def deal_with(at: float) -> None:
    """From now on an event is dealt with that happened at this time; 0 behind it. It is over before another
    greenlet has its turn."""
    _event["at"] = at


@lru_cache(maxsize=1024)
def second(at: int) -> str:
    """A second of the wall clock (Unix time) as ISO 8601 has it, in UTC and without a zone. What is shown
    together is of few seconds, and putting one into words takes longer than all else of a timestamp."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def carry_on(facts: Facts) -> None:
    """Go on with the clock of the process before, if the machine has not been started anew since: what that
    process remembered is to be compared with what this one reads."""
    boot = _boot_id()
    known = (facts.fact("clock") or "").split(" ")
    if boot and len(known) == 2 and known[0] == boot:
        _begun["offset"] = float(known[1])
    else:
        facts.save_fact("clock", f"{boot} {_begun['offset']!r}")


def _boot_id() -> str:
    try:
        with open(BOOT_ID) as file:
            return file.read().strip()
    except OSError:
        return ""


class SwitchClock:
    """The switch's times in ours. The switch has a clock of its own, which may be wrong or be set."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._least, self._until = math.inf, 0.0

    def learn(self, event: Mapping[str, Any]) -> None:
        """Take note of when an event was fired. The one of the last minute that came fastest tells the
        difference best."""
        fired = microseconds(event, "Event-Date-Timestamp")
        if not fired:
            return
        at = now()
        ahead = at - fired
        self._least = min(self._least, ahead)
        if self._ahead is None or not 0 <= ahead - self._ahead <= MAX_LAG_S:
            self._ahead, self._least, self._until = ahead, ahead, at + TRUE_FOR_S
        elif at >= self._until:
            self._ahead, self._least, self._until = self._least, math.inf, at + TRUE_FOR_S

    def time_of(self, event: Mapping[str, Any], header: str) -> float:
        """When something happened that the switch dates in microseconds, in our time; 0 when it has not."""
        at = microseconds(event, header)
        return at + (self._ahead or 0.0) if at else 0.0


def microseconds(event: Mapping[str, Any], header: str) -> float:
    """A header with Unix time in microseconds, in seconds; 0 when there is none."""
    text = event.get(header)
    return int(text) / 1_000_000 if isinstance(text, str) and text.isascii() and text.isdigit() else 0.0
