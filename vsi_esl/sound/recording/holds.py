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
from . import kept

MAX_SHIFT_MS = 500
"""Most that is believed to be written too much or too little where the sound goes on after a hold."""

Stretches = list[tuple[int, int, int | None]]


def changed(ctx: Context, leg: Leg) -> None:
    """The leg is on hold from now on, or not any more."""
    now = clock.now()
    recording = ctx.get(Recordings).running(of_leg(leg.id))
    if recording is not None and recording.state == RUNNING:
        note(recording.held, leg.held, recording.elapsed_ms(now))
        kept.save(ctx, recording)
    recording = ctx.get(Recordings).running(of_room(leg.room_id)) if leg.room_id else None
    track = recording.track_of(leg.id) if recording is not None else None
    if recording is not None and track is not None:
        note(track.held, leg.held, recording.elapsed_ms(now))
        kept.save(ctx, recording)


def note(held: list[list[int]], on: bool, at_ms: int) -> None:
    """Begin a time on hold, or end it. Repeating it changes nothing."""
    if on and not (held and held[-1][1] < 0):
        held.append([at_ms, -1])
    elif not on and held and held[-1][1] < 0:
        held[-1][1] = at_ms


def stretches(start_ms: int, skip_ms: int, end_ms: int | None, held: list[list[int]]) -> Stretches:
    """Where the sound of a file belongs that was begun at `start_ms`: (start, how much of the file comes
    before it, length), in ms; None for all there is. Of the file itself the first `skip_ms` are not used, and
    nothing after `end_ms` of the recording."""
    found: Stretches = []
    at, used = start_ms, skip_ms
    for begin, finish in held:
        if 0 <= finish <= at:
            continue  # before this file
        if end_ms is not None and begin >= end_ms:
            break
        if begin > at:
            found.append((at, used, begin - at))
            used += begin - at
        if finish < 0 or (end_ms is not None and finish >= end_ms):
            return found  # held to its end
        at = finish
    found.append((at, used, None if end_ms is None else max(0, end_ms - at)))
    return found


def aligned(found: Stretches, start_ms: int, skip_ms: int, end_ms: int, written_ms: int) -> Stretches:
    """The stretches of a file that was begun at `start_ms` and closed at `end_ms`, by what is really in it.

    When a call is taken off hold, the switch first reads what came from a peer that did not stop sending, or
    waits for one that did: up to 0.3 s too much or too little, which would shift all that comes after it.
    """
    resumed = len(found) - (bool(found) and found[0][0] == start_ms)
    if not resumed:
        return found
    expected = sum(end_ms - start if length is None else length for start, _, length in found)
    shift = round((written_ms - skip_ms - expected) / resumed)
    if abs(shift) > MAX_SHIFT_MS:
        return found  # that is something else
    result: Stretches = []
    number = resumed - len(found)
    for start, used, length in found:
        number += 1
        if number < 1:
            result.append((start, used, length))
        elif shift > 0:
            result.append((start, used + shift * number, length))
        else:
            shorter = None if length is None else max(0, length + shift)
            result.append((start - shift, max(0, used + shift * (number - 1)), shorter))
    return result
