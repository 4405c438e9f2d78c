"""The files of a recording, from what the switch wrote to what is published. Run in native threads."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field

import structlog

from ..media import MediaError
from ..media.merge import Piece, join, merge
from ..media.wav import header, read_info, repair
from ..model.recording import Recording

log = structlog.get_logger(__name__)

SLACK_MS = 1000
SLACK = 0.02
"""How much shorter than by the clock a recording may be: a second, and two hundredths."""


@dataclass(slots=True)
class Result:
    """What became of the files. An empty name: there is none."""

    file: str = ""
    multi_file: str = ""
    ends: dict[str, int] = field(default_factory=dict)
    """Track file -> its length in ms, for tracks whose end nobody saw."""
    omitted: list[str] = field(default_factory=list)
    """Legs whose track could not be read."""
    error: str = ""


def publish(recording: Recording) -> Result:
    """Give the files their final names: complete, on the disk, and never over another file.

    Running it again after a crash in the middle completes it.
    """
    result = Result()
    duration = _publish_mix(recording, result)
    if recording.multi_file:
        _publish_tracks(recording, result, duration)
    return result


def _publish_mix(recording: Recording, result: Result) -> int:
    paths = [part.path for part in recording.parts]
    if _published_before(paths, recording.file):
        result.file = recording.file
        duration = read_info(recording.file).duration_ms
    elif not recording.started_at:
        return 0
    else:
        try:
            duration = _complete(recording, paths[0])
        except (MediaError, OSError) as error:
            result.error = f"recording not published: {_reason(error)}"
            return 0
    result.file = recording.file
    for path in paths:
        remove(path)
    expected = recording.elapsed_ms(recording.stopped_at) if recording.stopped_at else 0
    if duration < expected - max(SLACK_MS, SLACK * expected):
        result.error = (
            f"recording incomplete: {duration / 1000:.1f} s of {expected / 1000:.1f} s were written"
        )
    return duration


def _published_before(parts: list[str], final: str) -> bool:
    """Whether a crash came after the file got its name, and before what is left of its making was removed."""
    if not os.path.exists(final):
        return False
    return not os.path.exists(parts[0]) or len(parts) > 1 or os.path.samefile(parts[0], final)


def _complete(recording: Recording, first: str) -> int:
    """Make the file whole and give it its name. Returns its length in ms."""
    if len(recording.parts) > 1:
        joined = f"{first}.joined"
        duration = join(joined, [(part.path, part.start_ms, part.skip_ms) for part in recording.parts])
        _rename(joined, recording.file)
        return duration
    if not os.path.exists(first):
        # the switch removes a file into which no frame was written
        with open(first, "xb") as file:
            file.write(header(recording.rate, 2 if recording.leg_id else 1, 0))
    duration = repair(first).duration_ms
    _rename(first, recording.file)
    return duration


def _publish_tracks(recording: Recording, result: Result, mix_ms: int) -> None:
    if not os.path.exists(recording.multi_part) and os.path.exists(recording.multi_file):
        result.multi_file = recording.multi_file
        return
    duration = recording.elapsed_ms(recording.stopped_at) if recording.stopped_at else mix_ms
    # a track is stopped a moment after its leg left, and nothing of that moment belongs to the room
    pieces = [
        Piece(track.path, track.channel, track.start_ms, track.end_ms if track.end_ms >= 0 else None)
        for track in recording.tracks
    ]
    channels = 1 + max((track.channel for track in recording.tracks), default=0)
    for track in recording.tracks:
        with contextlib.suppress(MediaError, OSError):
            result.ends[track.path] = read_info(track.path).duration_ms
    try:
        skipped = merge(recording.multi_part, recording.rate, channels, duration, pieces)
        _rename(recording.multi_part, recording.multi_file)
    except (MediaError, OSError) as error:
        # the tracks stay, for somebody to put together by hand
        result.error = result.error or f"tracks not merged: {_reason(error)}"
        return
    result.multi_file = recording.multi_file
    result.omitted = list(dict.fromkeys(recording.tracks[index].leg_id for index in skipped))
    for track in recording.tracks:
        remove(track.path)


def _rename(part: str, final: str) -> None:
    """To its final name, unless that is taken; durable when it returns."""
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(part, final)
        os.unlink(part)
    except FileExistsError:
        raise
    except OSError:
        # a file system without links
        if os.path.exists(final):
            raise FileExistsError(17, "File exists", final) from None
        os.rename(part, final)
    directory = os.open(os.path.dirname(os.path.abspath(final)), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove(path: str) -> None:
    """Delete a file, if it is there. One that cannot be deleted stays; nothing depends on it."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("file not deleted", file=path, error=error.strerror)


def _reason(error: MediaError | OSError) -> str:
    return error.message if isinstance(error, MediaError) else error.strerror or type(error).__name__
