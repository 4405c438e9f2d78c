"""What switches show: those that we are not connected to, several at a time, and our own, now and then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import gevent
import structlog

from ..errors import SwitchUnavailable
from ..switch.lines.fence import Fence
from .hands import Hands
from .turn import Turn

log = structlog.get_logger(__name__)

LOOK_S = 5.0
"""How often a switch of ours is looked at that Redis says is ours."""
LOOK_ALONE_S = 0.5
"""And while Redis is away, when only the switch can say it."""
PROBE_S = 2.0
"""How long several are waited for: one that is dead must not hold up the others. One for itself has the time
that its settings give it."""


def shown_by(hands: Hands, switches: Sequence[str]) -> dict[str, Fence | None]:
    """What each shows that can be reached; the others are not in it. Waits."""
    found: dict[str, Fence | None] = {}

    def ask(switch: str) -> None:
        with suppress(SwitchUnavailable):
            found[switch] = hands.probe(switch)

    asking = [gevent.spawn(ask, switch) for switch in switches]
    gevent.joinall(asking, PROBE_S if len(asking) > 1 else None, raise_error=True)
    gevent.killall(asking, block=False)
    return dict(found)


def show_ours(hands: Hands, name: str, remembered: Mapping[str, int]) -> list[str]:
    """Of these switches those that show our last turn there (switch -> its fence); none when one of them
    shows another. Waits."""
    shown = shown_by(hands, list(remembered))
    ours = [switch for switch, fence in shown.items() if fence == Fence(remembered[switch], name)]
    others = [fence for switch, fence in shown.items() if switch not in ours]
    return ours if all(fence is None for fence in others) else []


class Looks:
    """At the switches of our turns."""

    def __init__(self, hands: Hands, turns: Mapping[str, Turn]) -> None:
        self._hands, self._turns = hands, turns
        self._under_way: dict[str, gevent.Greenlet] = {}

    def stop(self) -> None:
        gevent.killall(list(self._under_way.values()))

    def around(self, began: float, *, alone: bool) -> None:
        """Look at each whose time it is, in the background; often while Redis is away (`alone`)."""
        interval = LOOK_ALONE_S if alone else LOOK_S
        for switch, turn in list(self._turns.items()):
            running = self._under_way.get(switch)
            if turn.over or began - turn.looked_at < interval or (running is not None and not running.dead):
                continue
            self._under_way[switch] = gevent.spawn(self._look, switch, alone)

    def _look(self, switch: str, alone: bool) -> None:
        try:
            self._hands.look(switch)
        except SwitchUnavailable:
            pass  # it is away, and its own connections see that; or it was lost, which is seen to
        except Exception:
            log.exception("the look at a switch failed", switch=switch)
        turn = self._turns.get(switch)
        if turn is not None and alone:
            with suppress(SwitchUnavailable):
                turn.heed(partial(self._hands.ask, switch))
