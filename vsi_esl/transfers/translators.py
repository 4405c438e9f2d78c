"""What the switch tells of transfers, beside the SIP headers that it watches."""

from __future__ import annotations

from ..calls.context import Context
from ..calls.nodes import Node
from ..translate import SwitchEvent, on_event, text_of
from . import outgoing
from .outgoing import Report


@on_event("sofia::notify_refer")
def notify_refer(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """A peer's report. One that does not say the subscription's state ends it, as for the switch."""
    leg = ctx.legs.find(text_of(event, "UniqueID"))
    if leg is not None and not leg.ending:
        final = text_of(event, "subscription-substate").lower() in ("", "terminated")
        outgoing.reported(ctx, leg, Report.of(text_of(event, "_body"), final))
