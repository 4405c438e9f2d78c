"""What the switch tells of mod_audio_fork."""

from __future__ import annotations

from ..calls.context import Context
from ..calls.nodes import Node
from ..translate import SwitchEvent, on_event, text_of
from . import following

COMMAND = "uuid_audio_fork"


@on_event("MODULE_UNLOAD")
def module_unload(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """The forks there are fall silent, and nobody tells; their bugs stay, and cannot be taken away."""
    if text_of(event, "name") == COMMAND:
        following.forks_gone(ctx, node)


@on_event("MODULE_LOAD")
def module_load(ctx: Context, node: Node, event: SwitchEvent) -> None:
    """Now they can."""
    if text_of(event, "name") == COMMAND:
        following.forks_back(ctx, node)
