"""The readings of /metrics behind the rates that `vsi-esl top` shows."""

from __future__ import annotations

import time
from collections import deque

import gevent

from ..figures import Figures, NoFigures, Rates, between, read

EVERY_S = 2.0
RATES_S = 10.0
"""Rates are those of so many seconds."""
RATIO_S = 60.0
"""The answer ratio is that of so many, as it takes time to answer a call."""


class Readings:
    """Reads /metrics again and again, from `start` to `stop`. Without figures `reason` says why."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._kept: deque[Figures] = deque()
        self._reader: gevent.Greenlet | None = None
        self.reason = ""

    def start(self) -> None:
        self._reader = gevent.spawn(self._run)

    def stop(self) -> None:
        if self._reader is not None:
            self._reader.kill()

    @property
    def last(self) -> Figures | None:
        return self._kept[-1] if self._kept else None

    def take(self) -> bool:
        """One reading; False when there will never be any."""
        try:
            figures = read(self._url, self._token, time.monotonic())
        except NoFigures as error:
            self.reason = str(error)
            return not error.lasting
        self.reason = ""
        if self._kept and between(self._kept[-1], figures) is None:
            self._kept.clear()  # another process, whose counters begin at 0
        self._kept.append(figures)
        while figures.at - self._kept[0].at > RATIO_S:
            self._kept.popleft()
        return True

    def rates(self, seconds: float = RATES_S) -> Rates | None:
        """What happened in so many seconds; None when two readings are not there yet."""
        if len(self._kept) < 2 or self.reason:
            return None
        last = self._kept[-1]
        first = next(one for one in self._kept if last.at - one.at <= seconds or one is last)
        return between(first, last)

    @property
    def answer_ratio(self) -> float | None:
        """Calls answered of those set up, in the last minute."""
        rates = self.rates(RATIO_S)
        return rates.answer_ratio if rates else None

    def _run(self) -> None:
        while self.take():
            gevent.sleep(EVERY_S)
