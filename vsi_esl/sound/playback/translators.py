"""What the switch says of files that it plays."""

from __future__ import annotations

from ...calls.context import Context
from ...calls.nodes import Node
from ...translate import SwitchEvent, on_conference_event, text_of
from . import player


@on_conference_event("play-file-done")
def play_file_done(ctx: Context, node: Node, event: SwitchEvent) -> None:
    player.done(ctx, text_of(event, "vsi_playback_id"), text_of(event, "Conference-Name"))
