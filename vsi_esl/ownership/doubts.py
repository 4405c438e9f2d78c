"""Whether Redis is gone for everybody, or for one service alone.

The two look the same to who cannot reach it. So others, for which it is there, say on the switch itself when
they hear nothing of its owner any more (`switch.lines.fence`), before its lease runs out. While its owner
cannot reach Redis it looks for that, and tells nothing meanwhile that another may be about to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import gevent
import structlog

from ..cluster.leases import View
from ..errors import SwitchUnavailable
from .hands import Hands
from .turn import Turn, now

log = structlog.get_logger(__name__)

SILENT_S = 1.5
"""A service that renews its leases twice a second, and has not for so long, is not heard of."""
AGAIN_S = 1.0
"""How often it is said."""


class Doubts:
    """Of one service."""

    def __init__(self, hands: Hands, name: str) -> None:
        self._hands, self._name = hands, name
        self._said: dict[str, tuple[float, gevent.Greenlet]] = {}
        """Of each switch when it was said last, and who says it."""
        self.others = False
        """There was another service when Redis was asked last, or a while before, which could take what is
        ours."""
        self._lost: dict[str, int] = {}
        """Switch -> the fence of our last turn there that another ended."""

    def say(self, view: View, switches: Iterable[str], turns: Mapping[str, Turn]) -> None:
        """Of each switch whose owner is not heard of, say so there, in the background."""
        self.others = bool(view.known - {self._name})
        moment = now()
        for switch in switches:
            fence = view.fences.get(switch, 0)
            if switch in turns or not fence or _heard(view, switch):
                self._said.pop(switch, None)
                continue
            at, saying = self._said.get(switch, (-AGAIN_S, None))
            if moment - at >= AGAIN_S and (saying is None or saying.dead):
                self._said[switch] = moment, gevent.spawn(self._say, switch, fence)

    def _say(self, switch: str, fence: int) -> None:
        try:
            self._hands.doubt(switch, fence)
        except SwitchUnavailable as error:
            log.debug("doubt not said", switch=switch, error=error.message)
        except Exception:
            log.exception("doubt not said", switch=switch)

    def lost(self, turn: Turn) -> None:
        """Another has ended it."""
        self._lost[turn.switch] = max(turn.fence.number, self._lost.get(turn.switch, 0))

    def was_lost(self, switch: str, fence: int) -> bool:
        """Whether another ended our turn of this number there, or a later one."""
        return 0 < fence <= self._lost.get(switch, 0)


def _heard(view: View, switch: str) -> bool:
    """Whether its owner is heard of. One whose lease has run out is not."""
    holder = view.holders.get(switch)
    peer = view.peers.get(holder.service) if holder is not None else None
    return peer is not None and peer.silent < SILENT_S
