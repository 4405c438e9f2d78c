"""conference::maintenance: who is in which conference, and who speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..calls import lifecycle, placement
from . import SwitchEvent, on_event, tethers, text_of, translate_conference

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node
    from ..model.leg import Leg


@on_event("conference::maintenance")
def conference_maintenance(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """Members that are no legs (bridges, bots, other people's conferences) are not found and so ignored."""
    action = text_of(event, "Action")
    if translate_conference(ctx, node, action, event):
        return
    channel = event.get("Unique-ID", "")
    leg = ctx.legs.find(channel)
    if leg is None:
        if action == "add-member":
            node.waits.fulfil("arrived", channel, value=event.get("Member-ID", ""))
        elif action == "del-member":
            tethers.ended(ctx, channel)
        elif (tethered := tethers.of_member(ctx, channel)) is not None:
            _talks(ctx, tethered, action)
        return
    _talks(ctx, leg, action)
    if action == "add-member":
        speak, hear = event.get("Speak") == "true", event.get("Hear") == "true"
        name, member_id = event.get("Conference-Name", ""), event.get("Member-ID", "")
        if not lifecycle.entered(ctx, leg, name, member_id, speak=speak, hear=hear):
            placement.came_by_itself(ctx, leg)
    elif action == "del-member":
        lifecycle.left(ctx, leg, event.get("Conference-Name", ""))


def _talks(ctx: Context, leg: Leg, action: str) -> None:
    if action == "start-talking":
        lifecycle.started_speaking(ctx, leg)
    elif action == "stop-talking":
        lifecycle.stopped_speaking(ctx, leg)
