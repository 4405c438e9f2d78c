"""Real-time text, as the switch reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..calls import texts
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
    texts.received(ctx, leg, body)
    remember_count(ctx, leg, "rtt_seq")
