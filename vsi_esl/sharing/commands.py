"""Where a command is done: here, or at the service that has what it names.

What it names is looked for here, then where it was last, then at who has its switch (as Redis and that
service told last), then at all others. The other service does the command as one of its own clients',
with this client's scope and confinement, and what it answers is the answer. There is one hop: who is
asked does it, or says that it has no such thing (any more).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import gevent
import structlog

from ..access.tokens import Access
from ..calls.context import Context
from ..calls.nodes import Node
from ..cluster import leases
from ..cluster.connection import RedisConnection
from ..errors import NotSupported, Unavailable, VsiError
from ..events.rooms import RoomDeleted
from ..protocol import registry
from ..protocol.confinement import OWNERS
from ..protocol.ids import LegId, RoomId
from ..protocol.named import Name, names_in
from ..protocol.registry import Command
from . import lists, moving
from .asking import Asking, Message
from .growing import MOVED, Growing, access_of, told_of
from .lists import Lists
from .peers import Peers

log = structlog.get_logger(__name__)

TIMEOUT_S = 30.0
"""For a command that another service does."""
WHO_TIMEOUT_S = 1.5
"""For whether it has something."""
STOP_S = 2.0
UNSURE_S = 5.0
"""How long after an outage of Redis nothing is said to be nowhere."""
MAX_KNOWN = 50_000
CLAIM_MS = 10_000
ATTEMPTS = 3
"""Where it was said to be; where all are asked for it; and once more, as it may have gone on meanwhile."""
PLACED = {"create_leg": "leg", "create_room": "room", "webrtc_offer": "leg"}
"""Commands that make something which may be at any service, and what."""
MAKING = frozenset(("create_leg", "create_room", "add_leg_to_room"))
"""Commands that make the room that they name."""


class Commands:
    """The commands of this service's clients, and those that others have it do."""

    def __init__(self, ctx: Context, redis: RedisConnection, name: str, peers: Peers) -> None:
        self._ctx, self._redis, self.name, self._peers = ctx, redis, name, peers
        self._known: OrderedDict[Name, str] = OrderedDict()
        """Where something was when it was last heard of."""
        self.unowned: Callable[[str], bool] = lambda switch: False
        """Whether a switch without a lease is one that a service is to have, and not this one's still."""
        self.asking = Asking(redis, name, serve=self._serve, there=lambda one: peers.find(one) is not None)
        self.forwarded = self.done_for_others = 0
        self._lists = Lists(
            ctx,
            redis,
            peers,
            self.asking,
            mine=lambda switch: not self.unowned(switch),
            unsure=lambda: time.monotonic() < self._unsure_until,
        )
        self._growing = Growing(ctx, redis, have=self._have, switch_of=self._switch_of)
        self._was_away = False
        self._unsure_until = 0.0
        redis.on_change(self._redis_changed)
        ctx.bus.add_sink(lambda event, *_: gevent.spawn(self._disclaim, event.room_id), RoomDeleted)

    def _redis_changed(self, available: bool) -> None:
        """Another server may lack who is there and what is where, until all have told it again."""
        if available and self._was_away:
            self._unsure_until = time.monotonic() + UNSURE_S
        self._was_away = not available

    # -- a client's command --------------------------------------------------------------------------------

    def run(
        self,
        command: Command,
        payload: Any,
        arguments: Mapping[str, Any],
        access: Access,
        here: Callable[[], Any],
    ) -> Any:
        """What it answers, at the service that it is for; `here` does it at this one. Raises VsiError."""
        message = {"op": "command", "name": command.name, "payload": payload, "access": told_of(access)}
        if command.schema is None:
            return self._lists.whole(message, here)
        names = names_in(command, arguments)
        if not names and command.name not in PLACED:
            return here()
        for attempt in range(ATTEMPTS):
            try:
                return self._routed(command, names, arguments, message, here, anew=attempt > 0)
            except VsiError as error:
                if error.code != MOVED:
                    raise
            self._forget(names)
        raise Unavailable(f"{names[0]} goes from one service to another")

    def _routed(
        self,
        command: Command,
        names: list[Name],
        arguments: Mapping[str, Any],
        message: Message,
        here: Callable[[], Any],
        *,
        anew: bool,
    ) -> Any:
        """`anew`: it is not where it was said to be."""
        making = command.name in MAKING
        places = {name: place for name in names if (place := self._place(name, making, anew=anew))}
        services = set(places.values())
        if len(services) > 1 and not self._brought_together(command, places):
            target = self._growing.bring(names, places, message["access"])
            if not target:
                raise VsiError("they are at one service now", MOVED)
            services = {target}
        new = [name for name in names if name not in places and name.kind == "room"]
        if len(services) > 1:
            target = places[next(name for name in names if name.kind == "leg")]
        elif services:
            target = services.pop()
            if new and command.name == "add_leg_to_room" and self._claimed(new[0], target) != target:
                raise Unavailable(f"{new[0]} is being made at another service")
        elif command.name not in PLACED:
            return here()  # nobody has it: it fails here as it would anywhere
        else:
            return self._placed(new, arguments, message, here)
        there = [name for name, place in places.items() if place == target]
        if target == self.name:
            return self._done_here(there, here)
        return self._at(target, {**message, "names": [list(name) for name in there]})

    def _placed(
        self, new: list[Name], arguments: Mapping[str, Any], message: Message, here: Callable[[], Any]
    ) -> Any:
        """Make what has no place yet. What each service has to do is told once a second: one that takes
        nothing new any more says so, and another makes it."""
        refused: set[str] = set()
        while True:
            target = self._best(arguments, refused)
            target = self._claimed(new[0], target) if new else target
            if target == self.name:
                return here()
            try:
                return self._at(target, {**message, "names": [], "placed": [list(name) for name in new]})
            except VsiError as error:
                if error.code != MOVED or target in refused:
                    raise
                refused.add(target)

    def _done_here(self, names: list[Name], here: Callable[[], Any]) -> Any:
        """Do what names these, which were here when that was looked at. What goes wrong with them while they
        go to another service says nothing about them."""
        if not all(map(self._here, names)):
            raise VsiError("it is not here any more", MOVED)
        nodes = [node for name in names if (node := self._node(name)) is not None]
        try:
            return here()
        except VsiError as error:
            for node in nodes:
                if not node.adopted:
                    text = f"switch {node.name} went to another service meanwhile; it may have been done"
                    raise Unavailable(text) from error
            raise

    def _at(self, service: str, message: Message) -> Any:
        """Have another service do it."""
        names = [Name(*name) for name in message["names"]]
        self.forwarded += 1
        try:
            data = self.asking.ask(service, message, TIMEOUT_S)
        except VsiError as error:
            if error.code == Unavailable.code:
                self._forget(names)
            raise
        for name in names:
            self._learn(name, service)
        made = PLACED.get(message["name"])
        if made is not None and isinstance(id := data.get("leg_id", data.get("id")), str):
            self._learn(Name(made, id), service)
        return data

    # -- where something is --------------------------------------------------------------------------------

    def _here(self, name: Name) -> bool:
        """Raises Unavailable when its switch comes to this service, or goes from it, at the moment."""
        there = bool(OWNERS[LegId if name.kind == "leg" else RoomId](self._ctx, name.id))
        if there and (node := self._node(name)) is not None and not node.adopted:
            raise _on_the_way(name, node.name)
        return there

    def _node(self, name: Name) -> Node | None:
        """The switch that something here is on; None for what has no place yet."""
        one = (self._ctx.legs if name.kind == "leg" else self._ctx.rooms).find(name.id)
        return self._ctx.nodes.find(one.node) if one is not None else None

    def _place(self, name: Name, making: bool, *, anew: bool) -> str:
        """The service that has it; empty when nobody does. Raises Unavailable when that is not known. A
        room that the command makes (`making`) is made here when others cannot be asked. `anew` asks all."""
        if self._here(name):
            return self.name
        known = self._known.get(name, "")
        if known and self._peers.find(known) is not None:
            return known
        if not self._redis.available:
            if making and name.kind == "room":
                return ""
            raise Unavailable(f"{name} is not here, and without Redis others cannot be asked")
        if not anew and (likely := self._peers.having(self._switch_of(name))):
            self._learn(name, likely)
            return likely
        if found := self._ask_around(name):
            return found
        if known:
            raise Unavailable(f"{name} was at service {known}, which is not there")
        place = self._on_its_switch(name)
        if not (place or making) and time.monotonic() < self._unsure_until:
            raise Unavailable(f"{name} is not here, and Redis was away: what others have is not known yet")
        return place

    def _on_its_switch(self, name: Name) -> str:
        """The service that has it, when all said that they have it not: it may have gone from one of them to
        another meanwhile. Who has its switch knows, once it has looked at the calls there."""
        switch = self._switch_of(name)
        if not switch:
            return ""
        holder = leases.holder_of(self._redis, switch)
        if holder is None:
            if self.unowned(switch):
                raise Unavailable(f"{name} is on switch {switch}, which no service has now")
            return ""
        if not self._have(holder.service, {"op": "has", "names": [list(name)], "switch": switch}):
            return ""
        self._learn(name, holder.service)
        return holder.service

    def _switch_of(self, name: Name) -> str:
        """The switch that it is on by what is known in Redis; empty for none."""
        found = self._redis.command("HGET", self._redis.key("where"), f"{name.kind}/{name.id}")
        return found.decode() if found is not None else ""

    def _ask_around(self, name: Name) -> str:
        message = {"op": "has", "names": [list(name)]}
        silent: VsiError | None = None
        known: set[str] = set()
        for look in range(2):
            if look:
                self._peers.tell()  # one that began a moment ago may be told of already, and has calls
            new = self._peers.others.keys() - known
            known |= new
            asked = {one: gevent.spawn(self._lists.asked, one, message, WHO_TIMEOUT_S) for one in new}
            for service, greenlet in asked.items():
                found = greenlet.get()
                if isinstance(found, VsiError):
                    silent = found if self._peers.find(service) is not None else silent
                elif found:
                    self._learn(name, service)
                    return service
        if silent is not None:
            raise Unavailable(f"{name} is not here: {silent.message}")
        return ""

    def _learn(self, name: Name, service: str) -> None:
        self._known[name] = service
        self._known.move_to_end(name)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _forget(self, names: list[Name]) -> None:
        for name in names:
            self._known.pop(name, None)

    # -- where something is to be --------------------------------------------------------------------------

    def _best(self, arguments: Mapping[str, Any], refused: Collection[str] = ()) -> str:
        """The service whose switch has the least to do, but for those that have refused; this one where that
        is equal, or nobody has one."""
        others = self._peers.others.values() if self._redis.available else ()
        everyone = [self._peers.own, *(one for one in others if one.name not in refused)]
        trunk = arguments.get("trunk", "")
        if trunk and not any(one.best(trunk) for one in everyone):
            return self.name  # it says that there is none, or who has it was not asked for it yet
        able = [(load.share, one.name) for one in everyone if (load := one.best(trunk)) is not None]
        return min(able, key=lambda one: (one[0], one[1] != self.name), default=(0.0, self.name))[1]

    def _claimed(self, room: Name, service: str) -> str:
        """The service that makes a room: this one, unless another was told to a moment ago."""
        if not self._redis.available:
            return service
        key = self._claim(room)
        if self._redis.command("SET", key, service, "NX", "PX", CLAIM_MS):
            return service
        holder = self._redis.command("GET", key)
        name = service if holder is None else str(holder.decode())
        return name if name == self.name or self._peers.find(name) is not None else service

    def _disclaim(self, room_id: str) -> None:
        """A room is gone: whoever makes one of its name makes it where it is to be."""
        room = self._ctx.rooms.find(room_id)
        if room is not None and not room.deleting:
            return  # it is there again, by that claim
        try:
            self._redis.run("disclaim", [self._claim(Name("room", room_id))], [self.name])
        except VsiError as error:
            log.debug("a claim runs out by itself", room_id=room_id, reason=error.message)

    def _claim(self, room: Name) -> str:
        return self._redis.key("claim", "room", room.id)

    def _brought_together(self, command: Command, places: Mapping[Name, str]) -> bool:
        """A room that nothing is in goes to the leg that joins it."""
        rooms = [name for name in places if name.kind == "room"]
        legs = [name for name in places if name.kind == "leg"]
        if command.name != "add_leg_to_room" or not (rooms and legs):
            return False
        room, target = rooms[0], places[legs[0]]
        given = self._have(places[room], {"op": "give room", "id": room.id})
        self._forget([room])
        return given is not None and self._have(target, {"op": "take room", "room": given})

    def _have(self, service: str, message: Message, timeout: float = WHO_TIMEOUT_S) -> Any:
        """What a service, which may be this one, answers."""
        if service == self.name:
            return self._serve(message)
        return self.asking.ask(service, message, timeout)

    # -- for another service -------------------------------------------------------------------------------

    def _serve(self, message: Message) -> Any:
        """What another service asks. Raises VsiError."""
        match message["op"]:
            case "has":
                return self._has(message)
            case "command":
                return self._do(message)
            case "give room":
                return moving.give(self._ctx, message["id"])
            case "take room":
                return moving.take(self._ctx, message["room"])
            case "weigh" | "reaches":
                return self._growing.serve(message)
        raise NotSupported("a service of this version cannot do that for another")

    def _has(self, message: Message) -> bool:
        names = [Name(*name) for name in message["names"]]
        if any(map(self._here, names)):
            return True
        switch = message.get("switch")
        if switch and ((node := self._ctx.nodes.find(switch)) is None or not node.adopted):
            raise _on_the_way(names[0], switch)
        return False

    def _do(self, message: Message) -> Any:
        if "placed" in message and (self._ctx.draining or self._peers.own.best() is None):
            # of those who make one room at the same time all are to be told the next place
            for room in message["placed"]:
                self._redis.run("disclaim", [self._claim(Name(*room))], [self.name])
            raise VsiError("nothing new is made here any more", MOVED)
        self.done_for_others += 1
        name, payload, access = message["name"], message["payload"], access_of(message["access"])
        here = partial(registry.dispatch, self._ctx, name, payload, access, forwarded=True)
        with registry.log_lines(name, message["id"], payload):
            if name in lists.THINGS:
                return self._lists.here(name, here)
            return self._done_here([Name(*one) for one in message["names"]], here)


def _on_the_way(name: Name, switch: str) -> Unavailable:
    return Unavailable(f"{name} is on switch {switch}, whose calls are not known yet")
