"""Services that share switches, as far as whose those are goes: on a Redis, with made-up switches and
a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gevent

from vsi_esl.cluster.connection import RedisConnection
from vsi_esl.cluster.leases import LeaseBook
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.ownership import turn
from vsi_esl.ownership.hands import Load
from vsi_esl.ownership.owning import Ownership
from vsi_esl.ownership.units import Unit
from vsi_esl.switch.lines.fence import Fence

from .drivers import eventually

BOTH = ("east", "west")


class Switches:
    """What each shows, and which cannot be reached."""

    def __init__(self) -> None:
        self.shown: dict[str, Fence] = {}
        self.away: set[str] = set()
        self.dead: set[str] = set()


class FakeHands:
    """Has each switch show the fence at once."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self.done: list[tuple[Any, ...]] = []
        self.fences: dict[str, int] = {}
        self.used: list[tuple[str, str]] = []
        self.unknown: set[str] = set()
        self.remembered_groups = ""

    def take(self, turns: Sequence[turn.Turn]) -> None:
        self.done.append(("take", *(one.switch for one in turns)))
        for one in turns:
            self.fences[one.switch] = one.fence.number
            if one.switch not in self._switches.away | self._switches.dead:
                self._switches.shown[one.switch] = one.fence

    def shipped(self, switches: Sequence[str]) -> bool:
        return True

    def let_go(self, switches: Sequence[str], *, hand_over: bool) -> None:
        self.done.append(("hand over" if hand_over else "forget", *switches))
        for one in switches:
            self.fences.pop(one, None)

    def probe(self, switch: str) -> Fence | None:
        if switch in self._switches.dead:
            gevent.sleep(60)
        if switch in self._switches.away:
            raise SwitchUnavailable("not connected")
        return self._switches.shown.get(switch)

    def look(self, switch: str) -> None:
        pass

    def remembered(self, switch: str) -> int:
        return self.fences.get(switch, 0)

    def load(self, switch: str) -> Load:
        return Load(0, 1)

    def between(self) -> list[tuple[str, str]]:
        return self.used

    def adopted(self, switch: str) -> bool:
        return switch not in self.unknown

    def note(self, groups: str) -> None:
        self.remembered_groups = groups

    def noted(self) -> str:
        return self.remembered_groups


class One:
    """A service of these units, whose clock is turned by hand."""

    def __init__(self, name: str, redis: RedisConnection, switches: Switches, units: Sequence[Unit]) -> None:
        self.redis = redis
        self.hands = FakeHands(switches)
        self.book = LeaseBook(redis, name, f"id-{name}")
        self.ownership = Ownership(redis, self.book, 1, units, self.hands)

    def tick(self) -> None:
        """And wait for what that has begun."""
        self.ownership._tick(turn.now())
        eventually(lambda: not self.ownership._moving, "it is done", 20)

    def has(self) -> set[str]:
        return {one for one in self.ownership.switches if self.ownership.owned(one)}


def told(one: One, **more: Any) -> dict[str, Any]:
    """What it says of itself in each turn, but for `more`."""
    return {"weight": 1, "leaving": False, "group": one.ownership._group, "grows": True, **more}
