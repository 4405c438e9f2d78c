"""What all services have of a list: a whole one, or none.

Calls whose switch goes from one service to another are for a moment at neither. A client that comes from the
one that is gone, and looks which of its calls are up, must not read from a list that they have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from ..calls.context import Context
from ..cluster import leases
from ..cluster.connection import RedisConnection
from ..cluster.leases import Holder
from ..errors import Unavailable, VsiError
from ..protocol.unknown import remembered
from .asking import Asking, Message
from .peers import Peers

TIMEOUT_S = 30.0
BETWEEN_S = 20.0
"""For so long a switch without an owner is taken to be on its way to one, which takes some 8 s when the one
that it had was killed. What nobody can reach does not spoil everybody's lists for ever."""
THINGS = {"list_legs": "leg", "list_rooms": "room"}
"""What is on the lists."""


class Lists:
    """Of one service. `mine` says whether it has a switch, `unsure` whether Redis was away a moment ago: then
    it may not have yet what others are about to tell it again."""

    def __init__(
        self,
        ctx: Context,
        redis: RedisConnection,
        peers: Peers,
        asking: Asking,
        *,
        mine: Callable[[str], bool],
        unsure: Callable[[], bool],
    ) -> None:
        self._ctx, self._redis, self._peers, self._asking = ctx, redis, peers, asking
        self._mine, self._unsure = mine, unsure

    def whole(self, message: Message, here: Callable[[], Any]) -> Any:
        """What all have. Raises VsiError. Without Redis it is what is here, as the events are then."""
        if not self._redis.available:
            return self._apart(here)
        before = self._holders()
        name, message = message["name"], {**message, "names": []}
        asked = {one: gevent.spawn(self.asked, one, message, TIMEOUT_S) for one in list(self._peers.others)}
        rows = self._own(name, here, before)
        heard = {self._peers.own.name}
        for service, greenlet in asked.items():
            found = greenlet.get()
            if not isinstance(found, VsiError):
                rows += found
                heard.add(service)
            elif self._peers.find(service) is not None:
                raise found  # else it is gone: what it had is another's by now, or about to be
        after = self._holders()
        unheard = {one for one, holder in after.items() if holder is None or holder.service not in heard}
        if unheard and self._unsure():
            raise Unavailable("Redis was away: what others have is not known yet")
        missed = {one for one in unheard if after[one] is not None or self._is_missed(one)}
        self._require_empty(missed | {one for one, holder in after.items() if holder != before[one]}, name)
        return rows

    def here(self, name: str, here: Callable[[], Any]) -> list[Any]:
        """What this service has, for another one, if that is all that there is on its switches. Raises
        VsiError."""
        return self._own(name, here, self._holders())

    def _own(self, name: str, here: Callable[[], Any], holders: Mapping[str, Holder | None]) -> list[Any]:
        """By its lease a switch is also that of a service which has just begun anew, and does not have it
        yet; one that it gives up it has until the lease is given."""
        begun = {node.name for node in self._ctx.nodes if node.adopted or node.unknown}
        leased = {one for one, holder in holders.items() if holder and holder.service == self._peers.own.name}
        rows = list(here())
        self._require_empty({one for one in holders if one in leased or self._mine(one)} - begun, name)
        return rows

    def _apart(self, here: Callable[[], Any]) -> Any:
        """What this service has, unless it remembers legs on switches that it has not taken again yet."""
        for node in self._ctx.nodes:
            if not (node.adopted or node.unknown) and remembered(self._ctx, node):
                raise Unavailable(f"there are legs on switch {node.name}, whose calls are not known yet")
        return here()

    def asked(self, service: str, message: Message, timeout: float) -> Any:
        """What a service answers, or the error."""
        try:
            return self._asking.ask(service, message, timeout)
        except VsiError as error:
            return error

    def _holders(self) -> dict[str, Holder | None]:
        """Who has each switch now."""
        return leases.holders_of(self._redis, [node.name for node in self._ctx.nodes])

    def _is_missed(self, switch: str) -> bool:
        """Whether one that nobody has was somebody's a moment ago."""
        # while Redis was away nobody was seen
        return time.monotonic() - max(self._peers.had(switch), self._redis.since) < BETWEEN_S

    def _require_empty(self, switches: set[str], name: str) -> None:
        """Raises Unavailable when something that belongs on the list is on one of them, by what is known in
        Redis."""
        if not switches:
            return
        thing = THINGS[name]
        where = self._redis.command("HGETALL", self._redis.key("where"))
        for known, switch in where.items():
            if known.startswith(f"{thing}/".encode()) and switch.decode() in switches:
                raise Unavailable(
                    f"there are {thing}s on switch {switch.decode()}, which is on its way to a service"
                )
