"""conference::maintenance: who is in which conference, and who speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..calls import lifecycle, placement
from . import SwitchEvent, on_event, text_of, translate_conference

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node


@on_event("conference::maintenance")
def conference_maintenance(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """Members that are no legs (bridges, bots, other people's conferences) are not found and so ignored."""
    action = text_of(event, "Action")
    if translate_conference(ctx, node, action, event):
        return
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None:
        if action == "add-member":
            node.waits.fulfil("arrived", event.get("Unique-ID", ""), value=event.get("Member-ID", ""))
        return
    if action == "start-talking":
        lifecycle.started_speaking(ctx, leg)
    elif action == "stop-talking":
        lifecycle.stopped_speaking(ctx, leg)
    elif action == "add-member":
        speak, hear = event.get("Speak") == "true", event.get("Hear") == "true"
        name, member_id = event.get("Conference-Name", ""), event.get("Member-ID", "")
        if not lifecycle.entered(ctx, leg, name, member_id, speak=speak, hear=hear):
            placement.came_by_itself(ctx, leg)
    elif action == "del-member":
        lifecycle.left(ctx, leg, event.get("Conference-Name", ""))
