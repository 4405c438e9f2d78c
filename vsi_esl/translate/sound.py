"""The ends of files: of those that are played, and of those that are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sound.playback import player
from ..sound.recording import recorder
from . import SwitchEvent, on_event
from .legs import text_of

if TYPE_CHECKING:
    from ..calls.context import Context


def play_file_done(ctx: Context, event: SwitchEvent) -> None:
    """conference::maintenance, play-file-done."""
    player.done(ctx, text_of(event, "vsi_playback_id"), text_of(event, "Conference-Name"))


@on_event("RECORD_STOP")
def record_stop(ctx: Context, event: SwitchEvent) -> None:
    recorder.stopped_by_switch(ctx, text_of(event, "Record-File-Path"))
