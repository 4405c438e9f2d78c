"""The switches of this service: which it takes, which it hands over, and that it says so in Redis.

Twice a second it renews its leases, says that it is there, and looks at all: one that nobody has is taken by
whoever has fewer than its share, and one that is above the share goes to whoever wants it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import gevent
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric

from ..cluster.connection import RedisConnection, RedisUnavailable
from ..cluster.leases import LEASE_S, LeaseBook, View
from ..errors import SwitchUnavailable
from ..ops.series import gauge, total
from ..switch.lines.fence import Fence
from .shares import shares, too_many
from .turn import Turn, now

log = structlog.get_logger(__name__)

TICK_S = 0.5
LOOK_S = 5.0
"""How often a switch of ours is looked at that Redis says is ours."""
LOOK_ALONE_S = 0.5
"""And while Redis is away, when only the switch can say it."""
UNWANTED_S = 3.0
"""A switch that nobody has had for so long is for anybody, whatever its share."""
UNREACHABLE_S = 10.0
"""And one that we cannot reach, which others may, for us as well."""
STEADY_S = 3.0
"""How long the shares have to be the same before one of ours is handed over for them."""
COOL_S, COOL_MOST_S = 15.0, 300.0
"""How long a switch is left alone that another service took from us although Redis said that it was ours."""
ALONE_S = 2.0
"""How long a service that has just begun waits for Redis before it asks the switches whose they are."""


class Hands(Protocol):
    """What is done with switches: `taking.Taking`."""

    def take(self, turn: Turn) -> None:
        """Have all that there is to know of a switch, and connect to it. May wait; RedisUnavailable."""

    def shipped(self, switch: str) -> bool:
        """Whether all that is known of a switch is in Redis. May wait for that a while."""

    def let_go(self, switch: str, *, hand_over: bool) -> None:
        """Disconnect, and forget all that is on it; to be handed over, what is known is in Redis behind it.
        May wait. RedisUnavailable when it could not be handed over: it is ours still, and remembered."""

    def probe(self, switch: str) -> Fence | None:
        """What a switch shows that we are not connected to. May wait; SwitchUnavailable."""

    def look(self, switch: str) -> None:
        """Look whether one that we are connected to is ours. May wait; SwitchUnavailable."""

    def remembered(self, switch: str) -> int:
        """The fence of our last turn there; 0 for none."""

    def load(self, switch: str) -> int:
        """How many legs are on it."""


class Ownership:
    """Had by `ctx.cluster`. `switches` are the names of all, which each service is to have in its settings.

    `taken`, `lost` (to another, unasked) and `handed_over` count since the start.
    """

    def __init__(
        self, redis: RedisConnection, book: LeaseBook, weight: int, switches: Sequence[str], hands: Hands
    ) -> None:
        self._redis, self._book, self._weight = redis, book, weight
        self._switches, self._hands = list(switches), hands
        self._group = hashlib.sha256("\n".join(sorted(switches)).encode()).hexdigest()[:12]
        self._turns: dict[str, Turn] = {}
        self._moving: set[str] = set()
        """Switches that are being taken or let go."""
        self._view = View()
        self._free_since: dict[str, float] = {}
        self._cool: dict[str, tuple[float, float]] = {}
        """Switch -> until when it is left alone, and for how long it was the last time."""
        self._given: dict[str, int] = {}
        """Switch -> our last fence there, of those that were handed over for the shares."""
        self._keep = 0.0, 0.0
        """Until when none is handed over any more, as nobody took the last one, and for how long that is."""
        self._known: dict[str, int] = {}
        """Switch -> the highest fence of another that was met there."""
        self._shares: tuple[dict[str, int], float] = {}, 0.0
        self._began = now()
        self._watchers: list[Callable[[], None]] = []
        self._greenlet: gevent.Greenlet | None = None
        self._looks: dict[str, gevent.Greenlet] = {}
        self._leaving = self._was_away = False
        self.problem = ""
        """Why this service must have no switches; empty when it may."""
        self.taken = self.lost = self.handed_over = 0

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

    def unowned(self) -> list[str]:
        """The switches that nobody had a moment ago."""
        return [switch for switch in self._switches if not self.owner_of(switch)]

    def fence(self, switch: str) -> int:
        """See `cluster.leases.Owners`."""
        turn = self._turns.get(switch)
        return turn.fence.number if turn is not None else 0

    def on_change(self, told: Callable[[], None]) -> None:
        """Have `told` called when switches were taken, let go, or changed hands. It must not wait."""
        self._watchers.append(told)

    def health(self) -> dict[str, object]:
        """What /readyz says of it."""
        return {
            "service": self.name,
            "redis": self._redis.health(),
            "problem": self.problem,
            "owners": {switch: self.owner_of(switch) for switch in self._switches},
        }

    def series(self) -> Iterator[Metric]:
        """What /metrics shows of it."""
        owned = GaugeMetricFamily("vsi_esl_switch_owned", "Whether this service has it.", labels=["switch"])
        for switch in self._switches:
            owned.add_metric([switch], float(self.owned(switch)))
        yield owned
        yield gauge("vsi_esl_services", "Services that are there, this one included.", len(self._view.peers))
        yield total("vsi_esl_switches_taken", "Switches that this service has taken.", self.taken)
        handed = "Switches that it has handed over."
        yield total("vsi_esl_switches_handed_over", handed, self.handed_over)
        yield total("vsi_esl_switches_lost", "Switches that another service had, unasked.", self.lost)

    # -- from start to stop --------------------------------------------------------------------------------

    def start(self) -> None:
        """Take part, in the background."""
        self._greenlet = gevent.spawn(self._run)

    def leave(self) -> None:
        """Take no switch any more. Those that there are stay ours until `stop`."""
        self._leaving = True

    def stop(self) -> None:
        """Hand all leases over. To be called when nothing is done on the switches any more, and all that is
        known of them is in Redis."""
        if self._greenlet is not None:
            self._greenlet.kill()
        gevent.killall(list(self._looks.values()))
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
            self._look_around(began)
            gevent.sleep(max(0.05, TICK_S - (now() - began)))

    def _tick(self, began: float) -> None:
        mine = {switch: turn.fence.number for switch, turn in self._turns.items() if not turn.over}
        leaving = self._leaving or bool(self.problem)
        told = {"weight": self._weight, "leaving": leaving, "group": self._group}
        before = self._view
        view = self._view = self._book.turn(self._switches, mine, told)
        for switch, kept in view.kept.items():
            turn = self._turns.get(switch)
            if turn is None or turn.fence.number != mine[switch]:
                continue
            if kept:
                turn.renewed(began)
            else:
                self._lose(switch, "its lease is another service's")
        self._check_name(view)
        if view.holders != before.holders:
            self._changed()
        if not self._leaving and not self.problem:
            self._share(view, began)

    def _check_name(self, view: View) -> None:
        problem = "" if view.alone else f"another service is called {self.name} (service.name)"
        if problem != self.problem:
            (log.error if problem else log.info)("name of the service", problem=problem or None)
            self.problem = problem

    def _share(self, view: View, began: float) -> None:
        # services with other lists, as there are while one is changed, are no part of it
        peers = [peer for peer in view.peers.values() if peer.group == self._group]
        share = shares(len(self._switches), peers)
        if share != self._shares[0]:
            self._shares = share, began
        held: dict[str, int] = {}
        for switch in self._switches:
            if owner := self.owner_of(switch):
                held[owner] = held.get(owner, 0) + 1
        room = share.get(self.name, 0) - len(self._turns) - len(self._moving - self._turns.keys())
        for switch in self._switches:
            holder = view.holders.get(switch)
            free = switch not in self._turns and (holder is None or self._book.ours(holder))
            if not free or switch in self._moving:
                self._free_since.pop(switch, None)
                continue
            since = self._free_since.setdefault(switch, began)
            if self._may_take(switch, began) and (room > 0 or began - since > UNWANTED_S):
                room -= 1
                self._begin(switch, self._take, view.fences.get(switch, 0), since)
        steady = began - self._shares[1] > STEADY_S and began >= self._keep[0]
        if too_many(self.name, share, held) and steady and not self._moving:
            idle = min((one for one in self._turns if one not in self._moving), key=self._hands.load)
            self._begin(idle, self._hand_over)

    def _may_take(self, switch: str, began: float) -> bool:
        # owners that could not renew for a while do so first
        just_back = self._was_away and time.monotonic() - self._redis.since < LEASE_S
        return not just_back and began >= self._cool.get(switch, (0.0, 0.0))[0]

    def redis_changed(self, available: bool) -> None:
        """Redis is there, or gone: to be told by its connection."""
        self._was_away = self._was_away or not available

    # -- one switch ----------------------------------------------------------------------------------------

    def _begin(self, switch: str, work: Callable[..., None], *args: object) -> None:
        self._moving.add(switch)
        gevent.spawn(self._move, switch, work, args)

    def _move(self, switch: str, work: Callable[..., None], args: tuple[object, ...]) -> None:
        try:
            work(switch, *args)
        except RedisUnavailable as error:
            log.warning("switch neither taken nor handed over", switch=switch, error=error.message)
        except Exception:
            log.exception("switch neither taken nor handed over", switch=switch)
        finally:
            self._moving.discard(switch)
            self._changed()

    def _take(self, switch: str, given: int, since: float) -> None:
        try:
            shown = self._hands.probe(switch)
        except SwitchUnavailable:
            if now() - since < UNREACHABLE_S:
                return  # another may reach it
            shown = None
        foreign = shown is not None and shown.service != self.name
        if shown is not None and foreign and shown.number > given and now() - since < LEASE_S:
            return  # Redis has lost what it knew: its owner, if there is one, renews the lease
        above = max(shown.number if shown is not None else 0, self._known.get(switch, 0))
        fence, quiet = self._book.take(switch, above)
        if not fence:
            return
        if given_up := self._given.pop(switch, 0):
            self._came_back(switch, taken=fence > given_up + 1)
        self._took(switch, fence, quiet=quiet)

    def _took(self, switch: str, fence: int, *, quiet: bool) -> None:
        turn = Turn(
            switch,
            Fence(fence, self.name),
            quiet=quiet,
            predecessor=self._hands.remembered(switch),
            lost=lambda number: self.outbid(switch, number),
        )
        self._turns[switch] = turn
        try:
            self._hands.take(turn)
        except BaseException:
            turn.end()
            del self._turns[switch]
            raise
        self.taken += 1
        self._free_since.pop(switch, None)
        log.info("switch taken", switch=switch, fence=fence, handed_over=quiet)

    def _hand_over(self, switch: str) -> None:
        turn = self._turns.get(switch)
        if turn is None or turn.over:
            return
        if not self._hands.shipped(switch) or turn.over:
            # who takes it knows only what is there, and here it is forgotten
            log.warning("switch not handed over: Redis has not all that is known of it", switch=switch)
            return
        turn.end()
        try:
            self._hands.let_go(switch, hand_over=True)
        finally:
            self._turns.pop(switch, None)
            self._free_since.pop(switch, None)
        self._cool[switch] = now() + STEADY_S, 0.0
        self._book.give(switch, turn.fence.number)
        self._given[switch] = turn.fence.number
        self.handed_over += 1
        log.info("switch handed over", switch=switch, fence=turn.fence.number)

    def _came_back(self, switch: str, *, taken: bool) -> None:
        """Whoever is there and takes nothing, such as one that hardly reaches Redis, is not offered more for
        a while: until we have it back nobody has it."""
        if taken:
            self._keep = 0.0, 0.0
            return
        pause = min(COOL_MOST_S, max(COOL_S, 2 * self._keep[1]))
        self._keep = now() + pause, pause
        log.warning("nobody took a switch that was handed over", switch=switch, pause=pause)

    def refused(self, switch: str) -> None:
        """Redis takes nothing of ours for it any more: to be told by `shipping`."""
        self._lose(switch, "Redis knows a later turn")

    def outbid(self, switch: str, fence: int) -> None:
        """See `calls.cluster.ClusterView`: the switch shows it, or its companion says so."""
        turn = self._turns.get(switch)
        if turn is None or fence < turn.fence.number:
            return
        self._known[switch] = fence
        _, before = self._cool.get(switch, (0.0, 0.0))
        pause = min(COOL_MOST_S, max(COOL_S, 2 * before))
        self._cool[switch] = now() + pause, pause
        self._lose(switch, f"fence {fence} of another service is known there")

    def _lose(self, switch: str, why: str) -> None:
        turn = self._turns.pop(switch, None)
        if turn is None:
            return
        turn.end()
        self.lost += 1
        log.warning("switch is another service's now", switch=switch, fence=turn.fence.number, reason=why)
        self._begin(switch, self._forget)
        self._changed()

    def _forget(self, switch: str) -> None:
        self._hands.let_go(switch, hand_over=False)

    def _changed(self) -> None:
        for told in self._watchers:
            told()

    # -- without Redis -------------------------------------------------------------------------------------

    def _alone(self, began: float) -> None:
        """Redis is away. What shows our fence is ours still, also after a restart of this process, or when a
        hand-over did not come to its end."""
        if self._leaving or began - self._began < ALONE_S:
            return
        for switch in self._switches:
            remembered = self._hands.remembered(switch)
            if remembered and switch not in self._turns and switch not in self._moving:
                self._begin(switch, self._take_again, remembered)

    def _take_again(self, switch: str, remembered: int) -> None:
        try:
            shown = self._hands.probe(switch)
        except SwitchUnavailable:
            return
        if shown == Fence(remembered, self.name):
            log.warning("Redis is away; a switch that shows our last turn is ours", switch=switch)
            self._took(switch, remembered, quiet=True)

    def _look_around(self, began: float) -> None:
        """Look at the switches themselves now and then, and often while nobody else can be asked."""
        interval = LOOK_S if self._redis.available else LOOK_ALONE_S
        for switch, turn in list(self._turns.items()):
            running = self._looks.get(switch)
            if turn.over or began - turn.looked_at < interval or (running is not None and not running.dead):
                continue
            self._looks[switch] = gevent.spawn(self._look, switch)

    def _look(self, switch: str) -> None:
        try:
            self._hands.look(switch)
        except SwitchUnavailable:
            pass  # it is away, and its own connections see that; or it was lost, which is seen to
        except Exception:
            log.exception("the look at a switch failed", switch=switch)
