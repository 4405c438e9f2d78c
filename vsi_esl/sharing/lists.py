"""What all services have of a list: a whole one, or none.

Calls whose switch goes from one service to another are for a moment at neither. A client that comes from the
one that is gone, and looks which of its calls are up, must not read from a list that they have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent

from ..calls.context import Context
from ..cluster import leases
from ..cluster.connection import RedisConnection
from ..cluster.leases import Holder
from ..errors import Unavailable, VsiError
from .asking import Asking, Message
from .peers import Peers

TIMEOUT_S = 30.0
BETWEEN_S = 20.0
"""For so long a switch without an owner is taken to be on its way to one, which takes some 8 s when the one
that it had was killed. What nobody can reach does not spoil everybody's lists for ever."""
THINGS = {"list_legs": "leg", "list_rooms": "room"}
"""What is on the lists."""


class Lists:
    """Of one service. `mine` says whether it has a switch."""

    def __init__(
        self,
        ctx: Context,
        redis: RedisConnection,
        peers: Peers,
        asking: Asking,
        *,
        mine: Callable[[str], bool],
    ) -> None:
        self._ctx, self._redis, self._peers, self._asking = ctx, redis, peers, asking
        self._mine = mine

    def whole(self, message: Message, here: Callable[[], Any]) -> Any:
        """What all have. Raises VsiError. Without Redis it is what is here, as the events are then."""
        if not self._redis.available:
            return here()
        before = self._holders()
        message = {**message, "names": []}
        asked = {one: gevent.spawn(self.asked, one, message, TIMEOUT_S) for one in list(self._peers.others)}
        rows = self.here(message["name"], here)
        heard = {self._peers.own.name}
        for service, greenlet in asked.items():
            found = greenlet.get()
            if not isinstance(found, VsiError):
                rows += found
                heard.add(service)
            elif self._peers.find(service) is not None:
                raise found  # else it is gone: what it had is another's by now, or about to be
        self._require_empty(
            {
                switch
                for switch, holder in self._holders().items()
                if (self._is_missed(switch) if holder is None else holder.service not in heard)
                or holder != before[switch]
            },
            message["name"],
        )
        return rows

    def here(self, name: str, here: Callable[[], Any]) -> list[Any]:
        """What this service has, if that is all that there is on its switches. Raises VsiError."""
        going = {
            node.name
            for node in self._ctx.nodes
            if self._mine(node.name) and not (node.adopted or node.unknown)
        }
        rows = list(here())
        self._require_empty(going, name)
        return rows

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
        return time.monotonic() - self._peers.had(switch) < BETWEEN_S

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
