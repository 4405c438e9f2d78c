"""Internal channels that are to be in a conference, or parked: made, waited for, made again when they went
astray.

The switch may answer `+OK` to an originate and lose the channel all the same: the far end was there before
the channel's own thread was ready to be sent on. It then ends at once, or stays and does nothing. Only its
arrival counts; what has not arrived is ended, and another one is tried.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import gevent
import structlog

from ..errors import SwitchUnavailable, VsiError
from ..later import Within
from .nodes import Node

log = structlog.get_logger(__name__)

ARRIVAL_TIMEOUT_S = 2.0
"""From the switch's answer to the report of its arrival. An idle switch takes 30 ms."""
ATTEMPTS = 3


def place(
    node: Node, prefix: str, make: Callable[[str], None], wanted: Callable[[], bool]
) -> tuple[str, str]:
    """Have a channel made that enters a conference on this switch, or is parked. Returns its id and its
    member id in the conference ("" when parked).

    `make(channel)` has the switch make it, and is called with a fresh id each time: the one that is stuck
    still has the id of its own. `wanted()` tells whether somebody still wants it. Raises what `make` raises,
    and SwitchUnavailable when none arrived or nobody wants it any more; nothing is left behind then.
    """
    for attempt in range(1, ATTEMPTS + 1):
        channel = f"{prefix}-{secrets.token_hex(3)}"
        node.placed.add(channel)
        node.placing.add(channel)
        with node.waits.expect("arrived", channel) as arrival:
            try:
                make(channel)
                if (member_id := _arrived(arrival)) is not None and wanted():
                    return channel, member_id
            except VsiError:
                node.sound.dismiss(channel)  # it may have come all the same
                raise
            finally:
                node.placing.discard(channel)
        node.sound.dismiss(channel)
        if not wanted():
            break
        node.sound.gone_astray += 1
        log.warning("internal channel went astray", channel=channel, attempt=attempt)
    raise SwitchUnavailable("the switch did not report the internal channel")


def _arrived(arrival: gevent.event.AsyncResult[str]) -> str | None:
    """Its member id or ""; None when it ended, or did not come in time."""
    with Within(ARRIVAL_TIMEOUT_S, False):
        member_id: str = arrival.get()
        return member_id
    return None


def ended(node: Node, channel: str) -> None:
    """The switch ended a channel that is no leg: nobody has to wait for it any longer."""
    node.placed.discard(channel)
    node.waits.fulfil("arrived", channel, value=None)
