"""What switches show that we are not connected to, asked of several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import gevent

from ..errors import SwitchUnavailable
from ..switch.lines.fence import Fence
from .hands import Hands

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
