"""Recordings of legs on hold: the switch writes nothing of a leg while it is held, by whichever side.

The timeline is kept all the same: it is noted when a leg was held, and silence is put there when the files
are published.
"""

from __future__ import annotations

from ...calls.context import Context
from ...model.leg import Leg
from ...model.owner import of_leg, of_room
from ...model.recording import RUNNING
from ...model.sound_stores import Recordings
from ...work import clock
from . import persistence


def changed(ctx: Context, leg: Leg) -> None:
    """The leg is on hold from now on, or not any more."""
    now = clock.happened()
    recording = ctx.get(Recordings).running(of_leg(leg.id))
    if recording is not None and recording.state == RUNNING:
        note(recording.held, leg.held, recording.elapsed_ms(now))
        persistence.save(ctx, recording)
    recording = ctx.get(Recordings).running(of_room(leg.room_id)) if leg.room_id else None
    track = recording.track_of(leg.id) if recording is not None else None
    if recording is not None and track is not None and not track.member:
        note(track.held, leg.held, recording.elapsed_ms(now))
        persistence.save(ctx, recording)


def note(held: list[list[int]], on: bool, at_ms: int) -> None:
    """Begin a time on hold, or end it. Repeating it changes nothing."""
    if on and not (held and held[-1][1] < 0):
        held.append([at_ms, -1])
    elif not on and held and held[-1][1] < 0:
        held[-1][1] = at_ms
