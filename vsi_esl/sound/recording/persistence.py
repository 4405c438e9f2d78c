"""Recordings as they are kept in the state database, for the next process."""

from __future__ import annotations

from contextlib import suppress

from ...calls.context import Context
from ...errors import StorageFailed
from ...model.recording import Recording
from ...model.sound_stores import Recordings

KIND = "recording"


def begin(ctx: Context, recording: Recording) -> None:
    """Keep a new one. There is none when StorageFailed is raised."""
    ctx.get(Recordings).add(recording)
    try:
        ctx.state.save_item(KIND, recording.id, recording, needed=True)
    except StorageFailed:
        ctx.get(Recordings).remove(recording)
        raise


def save(ctx: Context, recording: Recording) -> None:
    """Keep a recording as it is now, unless it is over."""
    if ctx.get(Recordings).find(recording.id) is recording:
        ctx.state.save_item(KIND, recording.id, recording)


def settle(ctx: Context, recording: Recording) -> None:
    """Keep a recording as it is now, and wait until that is written; not for a disk that is full."""
    if ctx.get(Recordings).find(recording.id) is recording:
        with suppress(StorageFailed):
            ctx.state.save_item(KIND, recording.id, recording, needed=True)


def forget(ctx: Context, recording: Recording) -> None:
    """A recording is over: published and reported, or never begun."""
    ctx.get(Recordings).remove(recording)
    ctx.state.forget_item(KIND, recording.id)
