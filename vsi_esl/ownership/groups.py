"""What services share, as it is at the moment: the units of the settings, and those of them that have grown
together.

While a leg of one unit is in a room of another, or is about to be, the two are one: had by one service,
handed over in one. A note in Redis says so (`LeaseBook.grow`), from before the first call between them until
a while behind the last one, when whoever has both takes it back. All services read the notes behind the
leases, in each turn; which of two owners is to have both is in the note, so none has to ask another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import orjson
import structlog
from gevent.lock import BoundedSemaphore

from ..cluster.leases import LeaseBook
from .turn import now
from .units import Unit

log = structlog.get_logger(__name__)

QUIET_S = 30.0
"""How long there has to be nothing between two units before they part: who was connected may be so again, and
each time costs a hand-over."""
SPLIT_S = 30.0
"""How long two services may have one of the two each before they part: it takes a second to bring them
together."""


class Groups:
    """Of the service that `book` is of. `known` are the notes that it has read last, as `remember` was given
    them; `units` are those that there are now, in the order of the settings.

    `united` and `parted` count what this service has noted and taken back.
    """

    def __init__(
        self, book: LeaseBook, base: Sequence[Unit], known: str, remember: Callable[[str], None]
    ) -> None:
        self._book, self._remember = book, remember
        self._base = list(base)
        self._base_of = {switch: unit for unit in base for switch in unit}
        self._notes: dict[str, str] = _read(known)
        self._own: dict[str, tuple[str, float]] = {}
        """What was noted, or taken back (""), here, and when: a look that was begun before lacks it."""
        self._writing = BoundedSemaphore(1)
        self._parting = ""
        """The pair whose note is being taken back."""
        self._quiet_since: dict[str, float] = {}
        self._split_since: dict[str, float] = {}
        self.united = self.parted = 0
        self.units: list[Unit] = []
        self._of: dict[str, Unit] = {}
        self._arrange()

    # -- which there are -----------------------------------------------------------------------------------

    def of(self, switch: str) -> Unit:
        """The unit that it is in."""
        return self._of[switch]

    def has_grown(self, unit: Unit) -> bool:
        """Whether it is more than one of the settings."""
        return self._base_of[unit[0]] != unit

    @property
    def grown(self) -> list[Unit]:
        """Those that are."""
        return list(filter(self.has_grown, self.units))

    def together(self, here: str, there: str) -> bool:
        """Whether two switches have one owner for as long as something is between them."""
        pair = self._pair(here, there)
        return not pair or (pair in self._notes and pair != self._parting)

    def keeper(self, unit: Unit, owner_of: Callable[[str], str]) -> str:
        """The service that has it, or is to have all of it; empty for none. The same for all services."""
        owners = list(filter(None, map(owner_of, unit)))
        if len(set(owners)) > 1:
            for _, wanted in sorted(map(_parts, self._within(unit).values())):
                if wanted in owners:
                    return wanted
        return owners[0] if owners else ""

    def _within(self, unit: Unit) -> dict[str, str]:
        return {pair: note for pair, note in self._notes.items() if pair.split()[0] in unit}

    def _pair(self, here: str, there: str) -> str:
        """The field of two switches' units; empty for one and the same."""
        units = self._base_of[here], self._base_of[there]
        return "" if units[0] == units[1] else " ".join(sorted(unit[0] for unit in units))

    # -- notes ---------------------------------------------------------------------------------------------

    def seen(self, notes: Mapping[str, str], asked_at: float) -> None:
        """What Redis had when it was asked, at that time (`turn.now`)."""
        self._own = {pair: (note, at) for pair, (note, at) in self._own.items() if at >= asked_at}
        found = {**notes, **{pair: note for pair, (note, _) in self._own.items()}}
        self._have({pair: note for pair, note in found.items() if note})

    def unite(self, here: str, there: str, keeper: str) -> None:
        """Note that they are together; the first who does says who is to have them. Waits for Redis, and
        raises RedisUnavailable."""
        with self._writing:
            if not self.together(here, there):
                self._note(self._pair(here, there), keeper)

    def _note(self, pair: str, keeper: str) -> None:
        note, new = self._book.grow(pair, keeper)
        self._noted(pair, note)
        if new:
            self.united += 1
            log.info("groups are one for now", switches=pair, service=keeper)

    def look(
        self,
        used: Callable[[], Iterable[tuple[str, str]]],
        had: Callable[[str], bool],
        others: set[str],
        astray: set[str],
    ) -> None:
        """Take back the note of two between which there has been nothing for a while, and note those anew of
        which Redis has lost it. `used` tells between which switches there is something, `had` of one whether
        it is ours and its calls are known; `others` are those of other services, `astray` those of services
        that know nothing of notes. May wait; RedisUnavailable.
        """
        with self._writing:
            between = {self._pair(*pair) for pair in used() if self._base_of.keys() >= set(pair)} - {""}
            lost = [pair for pair in between.difference(self._notes) if all(self._had(pair, had))]
            for pair in lost:
                self._note(pair, self._book.name)
            over = self._astray(astray) or self._over(between, had, others)
            if over and not lost:
                self._take_back(over)

    def _astray(self, switches: set[str]) -> str:
        """A pair of which one is with a service that has them each for itself; empty for none."""
        units = (self._base_of.get(switch, ()) for pair in self._notes for switch in pair.split())
        lost = {unit[0] for unit in units if not switches.isdisjoint(unit)}
        return next((pair for pair in self._notes if not lost.isdisjoint(pair.split())), "")

    def _had(self, pair: str, had: Callable[[str], bool]) -> list[bool]:
        units = [self._base_of.get(switch, ()) for switch in pair.split()]
        return [bool(unit) and all(map(had, unit)) for unit in units]

    def _over(self, between: set[str], had: Callable[[str], bool], others: set[str]) -> str:
        """A pair whose note is of no use any more; empty for none."""
        moment = now()
        quiet: dict[str, float] = {}
        split: dict[str, float] = {}
        for pair in self._notes:
            mine = self._had(pair, had)
            away = [others.issuperset(self._base_of.get(switch, ())) for switch in pair.split()]
            if all(mine) and pair not in between:
                quiet[pair] = self._quiet_since.get(pair, moment)
            elif any(mine) and any(away):
                split[pair] = self._split_since.get(pair, moment)
        self._quiet_since, self._split_since = quiet, split
        long = [pair for pair, since in quiet.items() if moment - since >= QUIET_S]
        long += [pair for pair, since in split.items() if moment - since >= SPLIT_S]
        return long[0] if long else ""

    def _take_back(self, pair: str) -> None:
        # from the look at what is between them until here nothing waits: what begins now notes it anew
        self._parting = pair
        try:
            gone = self._book.part(pair, self._notes[pair])
        finally:
            self._parting = ""
        if gone:
            self._noted(pair, "")
            self.parted += 1
            log.info("groups are two again", switches=pair)

    def _noted(self, pair: str, note: str) -> None:
        self._own[pair] = note, now()
        notes = {**self._notes, pair: note}
        self._have({pair: note for pair, note in notes.items() if note})

    def _have(self, notes: dict[str, str]) -> None:
        if notes == self._notes:
            return
        self._notes = notes
        self._remember(orjson.dumps(notes).decode())
        self._arrange()

    def _arrange(self) -> None:
        self._of = dict(self._base_of)
        for pair in sorted(self._notes):
            units = {self._of[switch] for switch in pair.split() if switch in self._of}
            one = tuple(sorted(switch for unit in units for switch in unit))
            self._of.update(dict.fromkeys(one, one))
        self.units = list(dict.fromkeys(self._of[unit[0]] for unit in self._base))


def _parts(note: str) -> tuple[int, str]:
    """Since when (microseconds of Redis), and the service that was to have both."""
    since, _, service = note.partition(" ")
    return int(since) if since.isdecimal() else 0, service


def _read(known: str) -> dict[str, str]:
    return dict(orjson.loads(known)) if known else {}
