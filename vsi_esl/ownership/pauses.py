"""When a service leaves switches alone: what it was outbid for, or has just handed over; and when it hands
nothing over, as nobody took what it did."""

from __future__ import annotations

import structlog

from .turn import now
from .units import Unit

log = structlog.get_logger(__name__)

COOL_S, COOL_MOST_S = 15.0, 300.0
"""How long a unit is left alone that another service took from us although Redis said that it was ours, and
for how long no other is handed over when nobody took the last one; longer each time."""


class Pauses:
    """Of one service."""

    def __init__(self) -> None:
        self._cool: dict[Unit, tuple[float, float]] = {}
        """Until when it is left alone, and for how long it was the last time."""
        self._given: dict[Unit, int] = {}
        """Our last fence at the first switch of each that was handed over for the shares."""
        self._keep = 0.0, 0.0
        """Until when none is handed over any more, and for how long that is."""

    def may_take(self, unit: Unit) -> bool:
        """Whether it is not left alone at the moment."""
        return now() >= self._cool.get(unit, (0.0, 0.0))[0]

    def may_hand_over(self) -> bool:
        """Whether somebody took what was handed over last."""
        return now() >= self._keep[0]

    def outbid(self, unit: Unit) -> None:
        """Another has it although we had a lease."""
        pause = _longer(self._cool.get(unit, (0.0, 0.0))[1])
        self._cool[unit] = now() + pause, pause

    def handed_over(self, unit: Unit, fence: int, moment: float) -> None:
        """For the shares; `fence` was ours at its first switch, 0 when that was not ours. Others have so many
        seconds to take it."""
        self._cool[unit] = now() + moment, 0.0
        if fence:
            self._given[unit] = fence

    def taken(self, unit: Unit, fence: int) -> None:
        """We have it (again), with this fence at its first switch. Whoever is there and takes nothing, such
        as one that hardly reaches Redis, is not offered more for a while: until we have it back nobody has
        it."""
        given = self._given.pop(unit, 0)
        if not given:
            return
        if fence > given + 1:  # another had it meanwhile
            self._keep = 0.0, 0.0
            return
        pause = _longer(self._keep[1])
        self._keep = now() + pause, pause
        log.warning("nobody took a switch that was handed over", switch=" ".join(unit), pause=pause)


def _longer(before: float) -> float:
    return min(COOL_MOST_S, max(COOL_S, 2 * before))
