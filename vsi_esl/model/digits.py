"""Digits that a peer sends in more than one way at a time: each is one press of a key."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 2.0
"""How long after a digit the same one may come in another way: INFO waits for answers, a tone to be heard."""
MAX_REMEMBERED = 64
BY_HAND = "APP"
"""An operator's `uuid_recv_dtmf`."""


@dataclass(slots=True)
class _Press:
    digit: str
    at: float
    ways: set[str]


@dataclass(slots=True)
class Presses:
    """The presses of the last moments on one leg, on most of which no key is ever pressed: an empty deque has
    room for 64."""

    _recent: deque[_Press] | None = None

    def is_new(self, digit: str, way: str, now: float) -> bool:
        """Whether a digit that came by `way` (RTP, INFO, a tone) at this time is a press of its own.

        It is not when the same digit has just come by another way only. Each way has its own order, so of
        several such presses it is the first.
        """
        recent = self._recent
        if recent is None:
            recent = self._recent = deque(maxlen=MAX_REMEMBERED)
        while recent and recent[0].at < now - WINDOW_S:
            recent.popleft()
        if way == BY_HAND:
            return True
        for press in recent:
            if press.digit == digit and way not in press.ways:
                press.ways.add(way)
                return False
        recent.append(_Press(digit, now, {way}))
        return True
