"""What this service has of a switch that another one took, and told nobody of yet: it is taken back.

The other one finds on the switch what became of its calls, and tells it (`ownership.doubts`). Told by both,
it would come twice, with two ids. What the other cannot find is not taken back: a call that was over before
the other looked, and what was said or dialled in a call that it knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import gevent
import orjson
import structlog
from gevent.lock import BoundedSemaphore

from ..delivery.blocks import StoredEvent
from ..delivery.bus import EventBus
from ..delivery.history import EventId, History

log = structlog.get_logger(__name__)

BEGIN, END = "leg.ringing", "leg.disconnected"
HEARD = frozenset(
    (
        "dtmf.received",
        "rtt.received",
        "stt.text",
        "agent.user_transcript",
        "agent.agent_response",
        "leg.command_failed",
    )
)
"""What nobody can find on a switch behind it."""
LOOK_S, LOOKS = 0.05, 400
MAX_TURNS = 1000
MAX_KNOWN = 50_000
"""Events of which it is remembered that they were taken back."""


@dataclass(frozen=True, slots=True)
class Stale:
    """An event of a turn that is over."""

    number: int
    id: str
    type: str
    leg_id: str


class Withdrawing:
    """Of one service. `lost(mark)` says whether an event's turn was ended by another (see `SharedEvents`),
    `losses()` how many turns were."""

    def __init__(self, history: History, bus: EventBus) -> None:
        self._history, self._bus = history, bus
        self.doubtful: Callable[[float], bool] = lambda since: False
        """Whether, Redis having been silent since then, another may be about to tell of our switches."""
        self.lost: Callable[[str], bool] = lambda mark: False
        self.losses: Callable[[], int] = lambda: 0
        self._looked = 0
        self._turn = BoundedSemaphore(1)
        self._gone: set[int] = set()
        self._order: deque[int] = deque()
        self.whole: set[int] = set()
        """Events of calls that were over before anybody else could see them: they are nobody else's."""
        self._over: set[str] = set()
        """Turns that Redis knows to be over."""
        self.count = 0

    def __contains__(self, number: int) -> bool:
        """Whether this event of ours was taken back."""
        return number in self._gone

    def over(self, marks: set[str], events: Iterable[StoredEvent], told: int) -> None:
        """Redis knows that these turns are over: take back what has to be of events that nobody was told of,
        which are those behind `told`. Waits."""
        if len(self._over) > MAX_TURNS:
            self._over.clear()  # Redis tells of them again
        self._over |= marks
        self.sort(events, told)

    def sort(self, events: Iterable[StoredEvent], told: int) -> None:
        """Of events that are about to be in the stream those of turns that are known to be over are taken
        back: until a switch is let go of, more of it is told. Waits."""
        if self._over:
            self.take_back(one for one in events if one.mark in self._over and one.cursor > told)

    def refuses(self, one: StoredEvent) -> bool:
        """Whether an event is not to be in the stream."""
        if one.cursor in self._gone:
            return True
        return one.mark in self._over and one.cursor not in self.whole

    def mark_of(self, one: StoredEvent) -> str | None:
        """Whose an event is for the stream; None when it is to be passed over."""
        if self.refuses(one):
            return None
        return "" if one.cursor in self.whole else one.mark

    def be_sure(self, since: float, position: Callable[[], int]) -> None:
        """Wait until it is known whether our switches are ours, Redis having been silent since then; and take
        back what has to be, of our events behind a position."""
        for _ in range(LOOKS):  # and not by the clock, which goes on while the process stands still
            if not self.doubtful(since):
                break
            gevent.sleep(LOOK_S)
        self._look(position)

    def _look(self, position: Callable[[], int]) -> None:
        with self._turn:
            while self._looked != (losses := self.losses()):
                self._sift(position())
                self._looked = losses

    def _sift(self, position: int) -> None:
        stale: list[StoredEvent] = []
        while (page := self._history.after(position)) is not None:
            position = page.last
            stale += [one for one in page.events if one.mark and self.lost(one.mark)]
            gevent.sleep(0)
        self.take_back(stale)

    def take_back(self, stored: Iterable[StoredEvent]) -> None:
        """Of these, whose turn is over, what another tells. Waits."""
        events = [_stale(one) for one in stored if one.cursor not in self._gone]
        begun = {one.leg_id for one in events if one.type == BEGIN}
        ended = {one.leg_id for one in events if one.type == END}
        whole = begun & ended
        kept = {one.number for one in events if one.leg_id in whole}
        heard = {one.number for one in events if one.type in HEARD and one.leg_id not in begun}
        gone = {one.number: one.id for one in events if one.number not in kept | heard}
        self.whole |= kept
        if not gone:
            return
        log.warning("events taken back: another service has the switch, and tells of it", count=len(gone))
        self._gone.update(gone)
        self._order.extend(gone)
        while len(self._order) > MAX_KNOWN:
            self._gone.discard(self._order.popleft())
        self.count += len(gone)
        self._bus.withdraw(set(gone.values()))


def _stale(one: StoredEvent) -> Stale:
    members = orjson.loads(one.frame)
    return Stale(one.cursor, members["event_id"], members["type"], members.get("leg_id") or "")


def number_of(history: History, event_id: str) -> int | None:
    """Which of our own events this is; None for one of another."""
    found = EventId.parse(event_id)
    return found.cursor if found is not None and found.epoch == history.epoch else None
