"""What the switch says of files that it writes."""

from __future__ import annotations

from ...calls.context import Context
from ...calls.nodes import Node
from ...translate import SwitchEvent, on_event, text_of
from . import recorder


@on_event("RECORD_STOP")
def record_stop(ctx: Context, node: Node, event: SwitchEvent) -> None:
    recorder.stopped_by_switch(ctx, node, text_of(event, "Record-File-Path"))
