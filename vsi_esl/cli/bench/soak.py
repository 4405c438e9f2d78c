"""How a service does over time, under a steady load: memory, descriptors and lag, flat or not."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gevent

from ..figures import Figures, NoFigures, between

EVERY_S = 5.0
MOST_READINGS = 1000
LEAST_READINGS = 9
WARM_UP = 5
"""The first part of so many is left out: what a service needs once it begins to need then."""
MORE_SHARE, MORE_BYTES, MORE_DESCRIPTORS = 0.05, 8 << 20, 8
"""What the end may have more than the beginning: memory by a share and by bytes, descriptors by number."""
LAG_TIMES, LAG_S = 2.0, 0.01
"""How much longer the lag may be, and up to where it does not matter."""


@dataclass(frozen=True, slots=True)
class Change:
    """Medians of the first and the last third of the time behind the warm-up."""

    first: float
    last: float
    flat: bool


class Watch:
    """Reads the service's figures in the background, at most `MOST_READINGS` of them in so many seconds."""

    def __init__(self, read: Callable[[], Figures], seconds: float) -> None:
        self._read = read
        self._every = max(EVERY_S, seconds / MOST_READINGS)
        self._readings: list[Figures] = []
        self._greenlet = gevent.spawn(self._look)

    def _look(self) -> None:
        due = time.monotonic()
        while True:
            with suppress(NoFigures):  # a restart shows in what comes before and after; the rest is told
                self._readings.append(self._read())
            due += self._every
            gevent.sleep(max(0.0, due - time.monotonic()))

    def stop(self) -> dict[str, Change]:
        """What has changed, by `memory` (bytes), `descriptors` and `lag` (p99, seconds); nothing of a run
        that was too short to tell, or in which the service was restarted."""
        self._greenlet.kill()
        return changes(self._readings)


def changes(readings: list[Figures]) -> dict[str, Change]:
    """As `Watch.stop`."""
    behind = readings[len(readings) // WARM_UP :]
    if len(behind) < LEAST_READINGS:
        return {}
    rates = [between(*pair) for pair in pairwise(behind)]
    if None in rates:
        return {}
    lags = [one.lag_p99 for one in rates if one is not None and one.lag_p99 is not None]
    found = {
        "memory": _change(_gauges(behind, "memory_bytes"), _memory_is_flat),
        "descriptors": _change(_gauges(behind, "descriptors"), _descriptors_are_flat),
        "lag": _change(lags, _lag_is_flat),
    }
    return {name: one for name, one in found.items() if one is not None}


def _gauges(readings: list[Figures], name: str) -> list[float]:
    return [one.gauges[name] for one in readings if name in one.gauges]


def _change(values: list[float], flat: Callable[[float, float], bool]) -> Change | None:
    third = len(values) // 3
    if not third:
        return None
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    return Change(first, last, flat(first, last))


def _memory_is_flat(first: float, last: float) -> bool:
    return last <= first + max(MORE_BYTES, MORE_SHARE * first)


def _descriptors_are_flat(first: float, last: float) -> bool:
    return last <= first + MORE_DESCRIPTORS


def _lag_is_flat(first: float, last: float) -> bool:
    return last <= max(LAG_S, LAG_TIMES * first)


SHOWN: dict[str, Callable[[float], str]] = {
    "memory": lambda value: f"{value / (1 << 20):.1f} MB",
    "descriptors": lambda value: f"{value:.0f}",
    "lag": lambda value: f"{1000 * value:.3g} ms",
}
CALLED = {"lag": "loop lag p99"}


def lines(over_time: dict[str, Change]) -> Iterator[str]:
    """For people."""
    for number, (name, one) in enumerate(over_time.items()):
        shown = SHOWN[name]
        verdict = "flat" if one.flat else "NOT flat"
        head = "over time" if number == 0 else ""
        yield f"{head:11}{CALLED.get(name, name)} {shown(one.first)} to {shown(one.last)}: {verdict}"


def as_json(over_time: dict[str, Change]) -> dict[str, Any]:
    """Bytes, number, seconds."""
    return {name: {"first": one.first, "last": one.last, "flat": one.flat} for name, one in over_time.items()}
