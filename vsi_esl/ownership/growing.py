"""How groups grow together: who may have them do so, and when they are two again. See `groups`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..cluster.connection import RedisUnavailable
from ..cluster.leases import Peer
from ..errors import NotSupported, Unavailable
from .groups import Groups
from .hands import Hands, Load
from .looking import shown_by
from .moves import Moves
from .turn import now
from .units import Unit

LOOK_S = 2.0
"""How often it is looked whether groups that are one are still needed so."""


class Owner(Protocol):
    """The service, as the order of its switches has it."""

    groups: Groups
    switches: list[str]

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def peers(self) -> Mapping[str, Peer]:
        """The services that are there, this one included, by name."""

    def owned(self, switch: str) -> bool:
        """Whether it has a switch."""

    def owner_of(self, switch: str) -> str:
        """The service that had it a moment ago; empty for none."""


class Growing:
    """Of one service. `group` is the same of all that have our units in their settings. Had by
    `ctx.cluster.growing`."""

    def __init__(self, owner: Owner, hands: Hands, moving: Moves, group: str) -> None:
        self._owner, self._groups, self._hands, self._moving = owner, owner.groups, hands, moving
        self._group = group
        self._looked_at = 0.0
        self.allowed = True
        """What our settings say of it."""

    # -- for commands --------------------------------------------------------------------------------------

    def unite(self, here: str, there: str, what: str, keeper: str = "") -> None:
        """See `calls.cluster.GrowingView`."""
        if self._groups.together(here, there):
            return
        names = " and ".join(sorted((here, there)))
        if why := self._why_not():
            raise NotSupported(f"{what}, and {names} are of different groups; {why}")
        try:
            self._groups.unite(here, there, keeper or self._owner.name)
        except RedisUnavailable as error:
            raise Unavailable(f"{what}, and without Redis {names} cannot become one group") from error
        if not keeper and any(self._moving.has((one,)) for one in (here, there)):
            # handed over by itself as before, it comes back
            raise Unavailable(f"{what}, and {names} go from one service to another")

    def switches_with(self, switch: str) -> Sequence[str]:
        """See `calls.cluster.GrowingView`."""
        return self._groups.of(switch)

    def leaves(self, service: str) -> bool:
        """See `calls.cluster.GrowingView`."""
        peer = self._owner.peers.get(service)
        return peer is None or peer.leaving

    def reaches(self, switches: Sequence[str]) -> bool:
        """See `calls.cluster.GrowingView`."""
        return len(shown_by(self._hands, switches)) == len(switches)

    def load(self, unit: Sequence[str]) -> Load:
        """What there is on switches of ours."""
        return Load.of_all(map(self._hands.load, unit))

    def _why_not(self) -> str:
        """Why groups do not grow; empty when they may. One service that knows nothing of it would take a part
        of what has grown, when nobody has it."""
        if not self.allowed:
            return "they stay so (service.grow_groups)"
        for peer in self._owner.peers.values():
            if peer.grows is None:
                return f"service {peer.name} is of a version in which groups do not become one"
            if not peer.grows:
                return f"service {peer.name} lets them stay so (service.grow_groups)"
            if peer.group != self._group:
                return f"service {peer.name} has other groups in its settings"
        return ""

    # -- for the owner -------------------------------------------------------------------------------------

    def takes(self, keeper: str, unit: Unit) -> bool:
        """Whether one who is to have all of it takes what is handed over."""
        peer = self._owner.peers.get(keeper)
        able = peer is not None and self._knows(peer) and not peer.leaving
        return able or not self._groups.has_grown(unit)

    def _knows(self, peer: Peer) -> bool:
        """Whether a service has groups that are one as one; others take and hand over each for itself."""
        return peer.grows is not None and peer.group == self._group

    def look(self) -> None:
        """Now and then, whether they are still needed so. Raises RedisUnavailable."""
        moment = now()
        if moment - self._looked_at < LOOK_S:
            return
        self._looked_at = moment
        owner = self._owner
        if len(self._groups.units) == 1 and not self._groups.grown:
            return
        owners = {one: owner.owner_of(one) for one in owner.switches}
        others = {one for one, service in owners.items() if service not in ("", owner.name)}
        blind = {peer.name for peer in owner.peers.values() if not self._knows(peer)}
        astray = {one for one in others if owners[one] in blind}

        def known(switch: str) -> bool:
            return owner.owned(switch) and self._hands.adopted(switch)

        self._groups.look(self._hands.between, known, others, astray)
