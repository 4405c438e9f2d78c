"""A turn of this service at a switch, from the lease that it took until it lets go.

It acts only while its turn is fresh: confirmed a moment ago, by Redis or by the switch. A process that stood
still finds that it is not when it goes on, looks at the switch, and sees whether another has it by now. Who
takes a switch shows so there, and waits until whoever had it before cannot be fresh any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import structlog
from gevent.lock import BoundedSemaphore

from ..errors import SwitchUnavailable
from ..switch.guard import Ask
from ..switch.lines import fence as lines
from ..switch.lines.fence import Fence

log = structlog.get_logger(__name__)

FRESH_S = 1.5
"""How long a turn counts as ours after it was confirmed."""
SETTLE_S = 1.75
"""How long who takes a switch waits behind showing it there: FRESH_S, and what a clock may be off."""
NOTICED_S = 2.5
"""How long it takes others to notice that nothing is heard of a service in Redis, and to say so there."""
DOUBTED_S = 2.5
"""How long that counts: as long as it is so it is said once a second."""
SEEN_S = 2.0
"""How long a look for that is good for."""
LONGEST_S = 15.0
"""How long it can take at most until another has a switch: lease, wait for the share, look at the calls."""
ATTEMPTS = 3
"""To show a fence that others change at the same time."""


def now() -> float:
    """Seconds that go on while the process, or the machine, stands still."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Turn:
    """`fence` as Redis gave it. `quiet` says that nobody acts who had the switch before: it was handed over,
    or that was a process of ours. `predecessor` is the last fence of ours there, 0 for none. `lost` is told,
    once, of the number that another service shows.
    """

    def __init__(
        self, switch: str, fence: Fence, *, quiet: bool, predecessor: int, lost: Callable[[int], None]
    ) -> None:
        self.switch, self.fence = switch, fence
        self._quiet, self._predecessor, self._lost = quiet, predecessor, lost
        self._taken_at = self.renewed_at = now()
        """`renewed_at`: when Redis was asked the last time that said yes; the lease runs from then."""
        self._heeded_at = self._doubted_at = self._doubted_since = 0.0
        self._confirmed_at = 0.0
        self._settled = False
        self._looking = BoundedSemaphore(1)
        self.looked_at = 0.0
        """When the switch was last seen to show it."""
        self.over = False
        """It has let go, or is about to: nothing is done on the switch any more."""

    def fresh(self) -> bool:
        """See `switch.guard.Guard`."""
        return not self.over and now() - self._confirmed_at < FRESH_S

    def renewed(self, asked_at: float) -> None:
        """Redis has confirmed it, asked at that time (`now`)."""
        self.renewed_at = max(self.renewed_at, asked_at)
        if self._settled:  # what the switch shows comes first
            self._confirmed_at = max(self._confirmed_at, asked_at)

    def confirm(self, ask: Ask, *, anew: bool = False) -> None:
        """See `switch.guard.Guard`; with `anew` also when it is fresh."""
        with self._looking:
            if not anew and self.fresh():
                return
            self._look(ask)

    def connected(self, ask: Ask) -> None:
        """See `switch.guard.Guard`."""
        with self._looking:
            before = self._look(ask, confirms=self._settled)
            if not self._settled:
                self._settle(ask, before)

    def heed(self, ask: Ask) -> None:
        """Look whether another service, for which Redis is there, says that it hears nothing of this turn.
        SwitchUnavailable, which counts as a look: nothing comes from such a switch that could be told."""
        asked_at = now()
        try:
            if lines.doubted(ask(lines.DOUBTED)) == self.fence.number:
                if asked_at - self._doubted_at > DOUBTED_S:
                    self._doubted_since = asked_at
                    log.warning("Redis is there for another service", switch=self.switch)
                self._doubted_at = asked_at
                ask(lines.CERTAIN)  # it is said again as long as it is so
        finally:
            self._heeded_at = asked_at

    def in_doubt(self) -> bool:
        """While Redis does not answer us: whether it may be that it answers others, and that one of these
        takes the switch before long. Bounded: who is doubted for longer goes on."""
        moment = now()
        if moment - self._doubted_at < DOUBTED_S:
            return moment - self._doubted_since < LONGEST_S
        # one that stood still has to look anew
        return self._heeded_at < self.renewed_at + NOTICED_S or moment - self._heeded_at > SEEN_S

    def end(self) -> None:
        """Act no more."""
        self.over = True

    def _settle(self, ask: Ask, before: Fence | None) -> None:
        own = before == Fence(self._predecessor, self.fence.service)
        # nobody acts on a switch that shows nothing: whoever did shows so at each connect, before all else
        if not (self._quiet or own or before is None):
            since = now() if before != self.fence else self._taken_at
            left = SETTLE_S - (now() - since)
            log.info(
                "whoever had the switch has a moment to see it", switch=self.switch, seconds=round(left, 2)
            )
            gevent.sleep(max(0.0, left))
        self._settled = True
        self._look(ask)

    def _look(self, ask: Ask, *, confirms: bool = True) -> Fence | None:
        """See that the switch shows it, and have it do so in place of a lower one. What it showed before."""
        first: Fence | None = None
        for attempt in range(ATTEMPTS):
            if self.over:
                raise SwitchUnavailable(f"switch {self.switch} is another service's now")
            asked_at = now()
            shown = lines.read(ask(lines.SHOWN))
            first = shown if attempt == 0 else first
            if shown == self.fence:
                self.looked_at = asked_at
                if confirms:
                    self._confirmed_at = max(self._confirmed_at, asked_at)
                return first
            if shown is not None and shown.number >= self.fence.number:
                self.over = True
                self._lost(shown.number)
                raise SwitchUnavailable(f"switch {self.switch} is another service's now: {shown.service}")
            ask(lines.show(self.fence, shown))
        raise SwitchUnavailable(f"switch {self.switch} does not show whose it is")
