"""Where the sound of a file belongs in its recording: of a leg on hold the switch writes nothing."""

from __future__ import annotations

MAX_SHIFT_MS = 500
"""Most that is believed to be written too much or too little where the sound goes on after a hold."""

Stretches = list[tuple[int, int, int | None]]


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
