"""Real-time text: reported to clients.

To the other legs of the room it is passed on by the switch itself: mod_conference writes each line, behind
the typist's name, to every member that has agreed on text, and cannot be told not to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events.text import RttReceived
from . import SwitchEvent, on_event
from .dtmf import remember_count

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node


@on_event("TEXT")
def text(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """A line of the peer's: the switch keeps what is typed until the line ends."""
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    body = event.get("_body")
    if leg is None or leg.ending or not leg.accept_rtt or not isinstance(body, str) or not body:
        return
    leg.rtt_negotiated = True
    leg.rtt_seq += 1
    remember_count(ctx, leg, "rtt_seq")
    ctx.emit(RttReceived.of(leg, text=body, seq=leg.rtt_seq))
    ctx.moments.text(ctx, leg, body)
