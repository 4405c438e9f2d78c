"""The switches of this service: which it takes, which it hands over, and that it says so in Redis.

Twice a second it renews its leases, says that it is there, and looks at all: one that nobody has is taken by
whoever has fewer than its share, and one that is above the share goes to whoever wants it.

What is taken and handed over are units (`units`), mostly of one switch, and those that have grown together
(`groups`). All switches of a unit are had or none: they are taken in one step, handed over in one, and who
loses one of them lets go of the others.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import gevent
import structlog

from .. import lasting
from ..cluster.connection import RedisConnection, RedisUnavailable
from ..cluster.leases import LEASE_S, LeaseBook, Peer, View
from ..switch.lines.fence import Fence
from .doubts import Doubts
from .groups import Groups
from .growing import Growing
from .hands import Hands
from .looking import Looks, show_ours, shown_by
from .moves import Moves
from .pauses import Pauses
from .shares import evens_out, shares, too_many
from .turn import Turn, now
from .units import Unit

log = structlog.get_logger(__name__)

TICK_S = 0.5
UNWANTED_S = 3.0
"""A switch that nobody has had for so long is for anybody, whatever its share."""
UNREACHABLE_S = 10.0
"""And one that we cannot reach, which others may, for us as well."""
PARTLY_S = 1.5
"""And a unit of which we reach a part."""
STEADY_S = 3.0
"""How long the shares have to be the same before one of ours is handed over for them."""
ALONE_S = 2.0
"""How long a service that has just begun waits for Redis before it asks the switches whose they are."""


class Ownership:
    """Had by `ctx.cluster`. `units` are all switches, which each service is to have so in its settings.

    `taken`, `lost` (to another, unasked), `handed_over` and `renewed_late` (leases, with less than half of it
    left) count since the start.
    """

    def __init__(
        self, redis: RedisConnection, book: LeaseBook, weight: int, units: Sequence[Unit], hands: Hands
    ) -> None:
        self._redis, self._book, self._weight, self._hands = redis, book, weight, hands
        self.groups = Groups(book, units, hands.noted(), hands.note)
        self.switches = [switch for unit in units for switch in unit]
        self._group = hashlib.sha256("\n".join(sorted(map(" ".join, units))).encode()).hexdigest()[:12]
        self._turns: dict[str, Turn] = {}
        self._moving = Moves(self._changed)
        self._view = View()
        self._free_since: dict[Unit, float] = {}
        self._pauses = Pauses()
        self.doubts = Doubts(hands, book.name)
        self._answered_at = 0.0
        """When Redis was asked last that answered."""
        self._known: dict[str, int] = {}
        """Switch -> the highest fence of another that was met there."""
        self._shares: tuple[dict[str, int], float] = {}, 0.0
        self._began = now()
        self._watchers: list[Callable[[], None]] = []
        self._greenlet: gevent.Greenlet | None = None
        self._looks = Looks(hands, self._turns)
        self.growing = Growing(self, hands, self._moving, self._group)
        self._leaving = self._was_away = False
        self.problem = ""
        """Why this service must have no switches; empty when it may."""
        self.taken = self.lost = self.handed_over = self.renewed_late = 0

    # -- for the others ------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._book.name

    @property
    def ready(self) -> bool:
        """Whether this deployment can do something with calls: somebody has a switch, as far as we know."""
        return not self.problem and (
            bool(self._turns) or (self._redis.available and bool(self._view.holders))
        )

    def owned(self, switch: str) -> bool:
        """See `cluster.leases.Owners`."""
        return switch in self._turns

    def owner_of(self, switch: str) -> str:
        """See `cluster.leases.Owners`."""
        if switch in self._turns:
            return self.name
        holder = self._view.holders.get(switch)
        # of what was ours until a moment ago nobody is known yet
        return holder.service if holder is not None and not self._book.ours(holder) else ""

    def unowned(self, switch: str) -> bool:
        """Whether a switch without a lease waits for its next owner: whoever had it a moment ago has it no
        more, unless that is this service, which renews the lease."""
        return switch in self.switches and switch not in self._turns

    @property
    def peers(self) -> Mapping[str, Peer]:
        """The services that are there, this one included, by name."""
        return self._view.peers

    def fence(self, switch: str) -> int:
        """See `cluster.leases.Owners`."""
        turn = self._turns.get(switch)
        return turn.fence.number if turn is not None else 0

    def in_doubt(self, since: float) -> bool:
        """Whether Redis has not answered us since then (`turn.now`), and may answer others, one of which is
        about to take a switch of ours: what it finds there it tells. Some seconds, then it is known."""
        if not self.doubts.others or (self._redis.available and self._answered_at > since):
            return False
        return any(turn.in_doubt() for turn in self._turns.values())

    def lease_left(self, switch: str) -> float:
        """Seconds until the lease runs out if it is not renewed; 0 when it is not ours."""
        turn = self._turns.get(switch)
        return 0.0 if turn is None else max(0.0, turn.renewed_at + LEASE_S - now())

    def on_change(self, told: Callable[[], None]) -> None:
        """Have `told` called when switches were taken, let go, or changed hands. It must not wait."""
        self._watchers.append(told)

    def health(self) -> dict[str, object]:
        """What /readyz says of it."""
        return {
            "service": self.name,
            "redis": self._redis.health(),
            "problem": self.problem,
            "owners": {switch: self.owner_of(switch) for switch in self.switches},
            "grown_groups": [list(unit) for unit in self.groups.grown],
        }

    # -- from start to stop --------------------------------------------------------------------------------

    def start(self) -> None:
        """Take part, in the background."""
        self._greenlet = lasting.keep(self._run)

    def leave(self) -> None:
        """Take no switch any more. Those that there are stay ours until `stop`."""
        self._leaving = True

    def stop(self) -> None:
        """Hand all leases over. To be called when nothing is done on the switches any more, and all that is
        known of them is in Redis."""
        if self._greenlet is not None:
            self._greenlet.kill()
        self._looks.stop()
        for turn in self._turns.values():
            turn.end()
        try:
            for switch, turn in self._turns.items():
                self._book.give(switch, turn.fence.number)
            self._book.farewell()
        except RedisUnavailable as error:
            log.warning("leases not handed over; they run out", error=error.message)
        self._turns.clear()

    # -- each turn of the clock ----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            began = now()
            try:
                self._tick(began)
            except RedisUnavailable:
                self._alone(began)
            except Exception:
                log.exception("the leases were not looked after")
            self._looks.around(began, alone=not self._redis.available)
            gevent.sleep(max(0.05, TICK_S - (now() - began)))

    def _tick(self, began: float) -> None:
        mine = {switch: turn.fence.number for switch, turn in self._turns.items() if not turn.over}
        leaving = self._leaving or bool(self.problem)
        told = {
            "weight": self._weight,
            "leaving": leaving,
            "group": self._group,
            "grows": self.growing.allowed,
        }
        before = self._view
        view = self._view = self._book.turn(self.switches, mine, told)
        self._answered_at = began
        self.groups.seen(view.grown, began)
        for switch, kept in view.kept.items():
            turn = self._turns.get(switch)
            if turn is None or turn.fence.number != mine[switch]:
                continue
            if kept:
                self.renewed_late += began - turn.renewed_at > LEASE_S / 2
                turn.renewed(began)
            else:
                self._lose(switch, "its lease is another service's")
        self._check_name(view)
        if view.holders != before.holders:
            self._changed()
        if not self._leaving and not self.problem:
            self._share(view, began)
            self.growing.look()
            # also while it would leave them alone for a moment still: it is said before it takes one
            self.doubts.say(view, self.switches, self._turns)

    def _check_name(self, view: View) -> None:
        problem = "" if view.alone else f"another service is called {self.name} (service.name)"
        if problem != self.problem:
            (log.error if problem else log.info)("name of the service", problem=problem or None)
            self.problem = problem

    def _share(self, view: View, began: float) -> None:
        # services with other lists, as there are while one is changed, are no part of it
        peers = [peer for peer in view.peers.values() if peer.group == self._group]
        units = self.groups.units
        share = shares(len(units), peers)
        if share != self._shares[0]:
            self._shares = share, began
        keepers = {unit: self.groups.keeper(unit, self.owner_of) for unit in units}
        held = Counter(filter(None, keepers.values()))
        mine = [unit for unit in units if self._had(unit)]
        room = share.get(self.name, 0) - len(mine) - self._moving.beside(mine)
        self._free_since = {unit: since for unit, since in self._free_since.items() if unit in keepers}
        for unit in units:
            free = keepers[unit] in ("", self.name) and len(self._had(unit)) < len(unit)
            if not free or self._moving.has(unit) or self._waits_for_another(unit):
                self._free_since.pop(unit, None)
                continue
            since = self._free_since.setdefault(unit, began)
            wanted = unit in mine or room > 0 or began - since > UNWANTED_S
            if wanted and self._may_take(unit):
                room -= unit not in mine
                self._moving.begin(unit, self._take, view.fences, since)
        for unit in mine:  # as after a Redis that had lost leases, or when it has grown
            other = keepers[unit] != self.name and self.growing.takes(keepers[unit], unit)
            if other and not self._moving.has(unit):
                self._moving.begin(unit, self._hand_over)
        steady = began - self._shares[1] > STEADY_S and self._pauses.may_hand_over()
        if too_many(self.name, share, held) and steady and not self._moving:
            evens = evens_out(self.name, peers, held)
            spare = [unit for unit in mine if evens or not self.groups.has_grown(unit)]
            if spare:
                self._moving.begin(min(spare, key=self.growing.load), self._hand_over)

    def _waits_for_another(self, unit: Unit) -> bool:
        """Whether a part of it is another's, who hands it over or loses it."""
        return any(self.owner_of(switch) not in ("", self.name) for switch in unit)

    def _had(self, unit: Unit) -> list[Turn]:
        """Our turns in it."""
        return [turn for switch in unit if (turn := self._turns.get(switch)) is not None]

    def _may_take(self, unit: Unit) -> bool:
        # owners that could not renew for a while do so first
        just_back = self._was_away and time.monotonic() - self._redis.since < LEASE_S
        return not just_back and self._pauses.may_take(unit)

    def redis_changed(self, available: bool) -> None:
        """Redis is there, or gone: to be told by its connection."""
        self._was_away = self._was_away or not available

    # -- one unit ------------------------------------------------------------------------------------------

    def _take(self, unit: Unit, given: Mapping[str, int], since: float) -> None:
        free = [switch for switch in unit if switch not in self._turns]
        shown = shown_by(self._hands, free)
        if len(shown) < len(free):
            partly = bool(shown) or len(free) < len(unit)
            if now() - since < (PARTLY_S if partly else UNREACHABLE_S):
                return  # another may reach them
        above = {switch: self._known.get(switch, 0) for switch in free}
        for switch, fence in shown.items():
            if fence is None:
                continue
            above[switch] = max(above[switch], fence.number)
            foreign = fence.service != self.name
            if foreign and fence.number > given.get(switch, 0) and now() - since < LEASE_S:
                return  # Redis has lost what it knew: its owner, if there is one, renews the lease
        taken = self._book.take(above)
        if not taken:
            return
        if unit[0] in taken:
            self._pauses.taken(unit, taken[unit[0]][0])
        self._took(unit, taken)

    def _took(self, unit: Unit, taken: Mapping[str, tuple[int, bool]]) -> None:
        """Of each switch the fence, and whether nobody acts there who had it before."""
        turns = [
            Turn(
                switch,
                Fence(number, self.name),
                quiet=quiet,
                predecessor=self._hands.remembered(switch),
                lost=partial(self.outbid, switch),
            )
            for switch, (number, quiet) in taken.items()
        ]
        for turn in turns:
            self._turns[turn.switch] = turn
        try:
            self._hands.take(turns)
        except BaseException:
            for turn in turns:
                turn.end()
                self._turns.pop(turn.switch, None)
            raise
        self._free_since.pop(unit, None)
        for turn in turns:
            self.taken += 1
            quiet = taken[turn.switch][1]
            log.info("switch taken", switch=turn.switch, fence=turn.fence.number, handed_over=quiet)

    def _hand_over(self, unit: Unit) -> None:
        turns = [turn for turn in self._had(unit) if not turn.over]
        switches = [turn.switch for turn in turns]
        if not turns or not self._hands.shipped(switches) or any(turn.over for turn in turns):
            # who takes it knows only what is in Redis
            log.warning("not handed over: Redis has not all that is known of it", switch=" ".join(unit))
            return
        if unit not in self.groups.units:
            return  # it has grown meanwhile, or is two
        for turn in turns:
            turn.end()
        try:
            self._hands.let_go(switches, hand_over=True)
        finally:
            for turn in turns:
                self._turns.pop(turn.switch, None)
            self._free_since.pop(unit, None)
        whole = turns[0].fence.number if len(turns) == len(unit) else 0
        self._pauses.handed_over(unit, whole, STEADY_S)
        for turn in turns:
            self._book.give(turn.switch, turn.fence.number)
            self.handed_over += 1
            log.info("switch handed over", switch=turn.switch, fence=turn.fence.number)

    def refused(self, switch: str) -> None:
        """Redis takes nothing of ours for it any more: to be told by `shipping`."""
        self._lose(switch, "Redis knows a later turn")

    def outbid(self, switch: str, fence: int) -> None:
        """See `calls.cluster.ClusterView`: the switch shows it, or its companion says so."""
        turn = self._turns.get(switch)
        if turn is None or fence < turn.fence.number:
            return
        self._known[switch] = fence
        self._pauses.outbid(self.groups.of(switch))
        self._lose(switch, f"fence {fence} of another service is known there")

    def _lose(self, switch: str, why: str) -> None:
        """Of the unit's other switches it lets go as well, whosever they are."""
        if switch not in self._turns:
            return
        unit = self.groups.of(switch)
        turns = self._had(unit)
        for turn in turns:
            turn.end()
            del self._turns[turn.switch]
            self.doubts.lost(turn)
            self.lost += 1
            told = {"switch": turn.switch, "fence": turn.fence.number}
            told["reason"] = why if turn.switch == switch else f"{switch} is, which it goes together with"
            log.warning("switch is another service's now", **told)
        lost = [turn.switch for turn in turns]
        self._moving.begin(unit, lambda _: self._hands.let_go(lost, hand_over=False))
        self._changed()

    def _changed(self) -> None:
        for told in self._watchers:
            told()

    # -- without Redis -------------------------------------------------------------------------------------

    def _alone(self, began: float) -> None:
        """Redis is away. What shows our fence is ours still, also after a restart of this process, or when a
        hand-over did not come to its end."""
        if self._leaving or began - self._began < ALONE_S:
            return
        for unit in self.groups.units:
            free = [switch for switch in unit if switch not in self._turns]
            remembered = {one: number for one in free if (number := self._hands.remembered(one))}
            if remembered and not self._moving.has(unit):
                self._moving.begin(unit, self._take_again, remembered)

    def _take_again(self, unit: Unit, remembered: Mapping[str, int]) -> None:
        """All of them, when one shows it, and none shows another: a turn acts on no switch before it has seen
        that it is the one that is shown there."""
        if ours := show_ours(self._hands, self.name, remembered):
            log.warning("Redis is away; switches that show our last turn are ours", switch=" ".join(ours))
            self._took(unit, {switch: (number, True) for switch, number in remembered.items()})
