"""What a command names is on switches of two services: both are brought to one, as two groups that are one
from then on (`ownership.groups`).

The service that the client is connected to sees to it, whoever has them. It asks both how much would have to
go, and whether the other could take it, notes who is to have both, and waits until that has come about. What
ends where it goes to another service, such as a browser's leg, is never moved for a command.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import gevent

from ..access.tokens import Access, Scope
from ..calls import tethering
from ..calls.cluster import GrowingView
from ..calls.context import Context
from ..calls.nodes import Node
from ..cluster import leases
from ..cluster.connection import RedisConnection, RedisUnavailable
from ..errors import NotSupported, Unavailable, VsiError
from ..protocol import confinement
from ..protocol.ids import LegId, RoomId
from ..protocol.named import Name
from .asking import Message

MOVED = 410
"""What a service answers that has not (any more) what it is asked for; then nothing was done."""
SHIPPED_S, SOON_S = 1.0, 0.02
"""Where something new is takes 20 ms to be in Redis."""
WEIGH_S = 4.0
"""For the answers of both; one may try for 2 s to reach a switch that does not answer."""
TOGETHER_S = 10.0
"""How long a command waits for what it names to be at one service. It takes a second, and some 8 when the
service that was to hand over is killed."""
LOOK_S = 0.05
KINDS = {"leg": LegId, "room": RoomId}


class Have(Protocol):
    """What a service, which may be this one, answers; VsiError."""

    def __call__(self, service: str, message: Message, timeout: float = ...) -> Any: ...


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its switch, and what the service that has it says of all that change hands with it."""

    service: str
    switch: str
    seen: bool
    """The client may see what its command names there."""
    bound: int
    """How much ends when another service has them."""
    legs: int
    ready: list[str]
    """Those that its service is connected to; what is dead for one may be so for the other."""


class Growing:
    """Of one service. `switch_of` says where something is by what Redis has of it, empty for nowhere."""

    def __init__(
        self, ctx: Context, redis: RedisConnection, *, have: Have, switch_of: Callable[[Name], str]
    ) -> None:
        self._ctx, self._redis = ctx, redis
        self._have, self._switch_of = have, switch_of

    def bring(self, names: list[Name], places: Mapping[Name, str], access: Message) -> str:
        """Returns when all of them are at one service; or at once the one that has what this client may not
        see, where its command fails as it should. Raises VsiError, with the code MOVED when they are on the
        way to one already."""
        what = _different_switches(names)
        nodes = self._nodes(names, what)
        if len({node.share.unit for node in nodes.values()}) == 1:
            raise VsiError("they are on the way from one service to another", MOVED)
        tethering.require_addresses(nodes.values(), what)
        switches = {name: node.name for name, node in nodes.items()}
        first, second = sorted(set(switches.values()))
        try:
            if first not in self._groups.switches_with(second):
                sides = [self._side(places[name], name, switches[name], access, what) for name in names]
                if hidden := [side.service for side in sides if not side.seen]:
                    return hidden[0]
                self._groups.unite(first, second, what, self._keeper(sides, what))
            self._wait(switches, what)
        except RedisUnavailable as error:
            text = f"{what}, and without Redis {first} and {second} cannot become one group"
            raise Unavailable(text) from error
        return ""

    def serve(self, message: Message) -> Any:
        """What another service asks for that."""
        if message["op"] == "reaches":
            return self._groups.reaches(message["switches"])
        name = Name(*message["name"])
        seen = confinement.allowed(self._ctx, access_of(message["access"]), KINDS[name.kind], name.id)
        found = [node for node in self._ctx.nodes if node.name in message["switches"]]
        bound = sum(sum(self._ctx.moments.bound(self._ctx, node)) for node in found)
        legs = sum(self._ctx.legs.on(node.name) for node in found)
        ready = [node.name for node in found if node.ready]
        return {"seen": seen, "bound": bound, "legs": legs, "ready": ready}

    @property
    def _groups(self) -> GrowingView:
        if self._ctx.cluster is None:
            raise NotSupported("this service has no others")
        return self._ctx.cluster.growing

    def _nodes(self, names: list[Name], what: str) -> dict[Name, Node]:
        """The switch of each. NotSupported when one is nowhere, or none of our settings."""
        switches: dict[Name, str] = {}
        with gevent.Timeout(SHIPPED_S, False):
            while "" in (switches := {name: self._switch_of(name) for name in names}).values():
                gevent.sleep(SOON_S)
        if "" in switches.values():
            raise NotSupported(what)
        nodes = {name: node for name, one in switches.items() if (node := self._ctx.nodes.find(one))}
        if len(nodes) < len(names):
            apart = " and ".join(sorted(set(switches.values())))
            raise NotSupported(f"{what}, and {apart} are of different groups")
        return nodes

    def _keeper(self, sides: list[Side], what: str) -> str:
        """The service that is to have both: of two that can the one that has more of what is on them."""
        able = [
            (self._groups.leaves(stays.service), goes.legs, at, stays.service)
            for at, (goes, stays) in enumerate((sides, sides[::-1]))
            if not goes.bound and self._reached(stays, goes.ready)
        ]
        if able:
            return min(able)[-1]
        names = " and ".join(sorted(side.switch for side in sides))
        if all(side.bound for side in sides):
            why = "each has browsers, WebSockets or agents, which would end where they go to another service"
        else:
            why = "no service can have both"
        raise Unavailable(f"{what}, and {names} cannot become one group now: {why}")

    def _side(self, service: str, name: Name, switch: str, access: Message, what: str) -> Side:
        switches = list(self._groups.switches_with(switch))
        message = {"op": "weigh", "name": list(name), "access": access, "switches": switches}
        try:
            told = self._have(service, message, WEIGH_S)
        except VsiError as error:
            if error.code != NotSupported.code:
                raise
            text = f"{what}, and service {service} is of a version in which groups do not become one"
            raise NotSupported(text) from error
        return Side(service, switch, **told)

    def _reached(self, side: Side, switches: list[str]) -> bool:
        if not switches:
            return True
        return bool(self._have(side.service, {"op": "reaches", "switches": switches}, WEIGH_S))

    def _wait(self, switches: Mapping[Name, str], what: str) -> None:
        deadline = time.monotonic() + TOGETHER_S
        while not self._at_one(switches):
            if time.monotonic() > deadline:
                names = " and ".join(sorted(switches.values()))
                raise Unavailable(f"{what}, and {names} did not come to one service within {TOGETHER_S:g} s")
            gevent.sleep(LOOK_S)

    def _at_one(self, switches: Mapping[Name, str]) -> bool:
        """Whether one service has all of these switches, and knows the calls on them."""
        holders = [leases.holder_of(self._redis, switch) for switch in switches.values()]
        services = {holder.service if holder is not None else "" for holder in holders}
        if len(services) > 1 or "" in services:
            return False
        service = services.pop()
        try:
            for name, switch in switches.items():
                self._have(service, {"op": "has", "names": [list(name)], "switch": switch})
        except VsiError as error:
            if error.code != Unavailable.code:
                raise
            return False
        return True


def told_of(access: Access) -> Message:
    """What a client may do, for whoever does its command."""
    return {"name": access.name, "scope": int(access.scope), "pattern": access.pattern}


def access_of(told: Message) -> Access:
    """The same, at that service."""
    return Access(told["name"], Scope(told["scope"]), told["pattern"])


def _different_switches(names: list[Name]) -> str:
    """In the words of one service with two switches."""
    legs = [name for name in names if name.kind == "leg"]
    rooms = [name for name in names if name.kind == "room"]
    if len(rooms) > 1:
        return f"rooms {rooms[0].id} and {rooms[1].id} are on different switches"
    if rooms and legs:
        return f"{legs[0]} is on another switch than {rooms[0]}"
    return f"{' and '.join(map(str, names))} are on different switches"
