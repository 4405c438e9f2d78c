"""The files of a recording, from what the switch wrote to what is published. Run in native threads.

The switch may run as another user, whose files can only be read here: then they can neither be mended nor, on
most systems (fs.protected_hardlinks), be linked. What cannot get its name by a link or a rename is copied.
Whatever fails leaves the files of the switch as they are, to be tried again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import BinaryIO

import structlog

from ...audio import MediaError
from ...audio.merge import Piece, Stretch, join, merge
from ...audio.wav import examine, header, intact, read_info, repair
from ...calls.host import Published
from ...model.recording import Recording
from ...storage import folders
from .timeline import aligned, stretches

log = structlog.get_logger(__name__)

SLACK_MS = 1000
SLACK = 0.02
"""How much shorter than by the clock a recording may be: a second, and two hundredths."""


def publish(recording: Recording) -> Published:
    """Give the files their final names: complete, on the disk, and never over another file.

    Running it again after a crash in the middle, or after a failure, completes it.
    """
    result = Published()
    duration = 0
    if recording.started_at:
        try:
            duration = _publish_mix(recording, result)
            result.published.append(recording.file)
        except (MediaError, OSError) as error:
            _failed(result, "recording not published", recording.file, error)
    if recording.multi_file:
        try:
            _publish_tracks(recording, result, duration)
            result.published.append(recording.multi_file)
        except (MediaError, OSError) as error:
            # the tracks stay, for somebody to put together by hand
            _failed(result, "tracks not merged", recording.multi_file, error)
    return result


def _failed(result: Published, what: str, name: str, error: MediaError | OSError) -> None:
    if isinstance(error, OSError):
        result.again.append(name)
    reason = error.message if isinstance(error, MediaError) else error.strerror or type(error).__name__
    result.error = result.error or f"{what}: {reason}"


def _publish_mix(recording: Recording, result: Published) -> int:
    """Returns the length in ms. Raises MediaError, OSError."""
    paths = [part.path for part in recording.parts]
    own = f"{paths[0]}.own"
    if _published_before(paths, own, recording.file):
        duration = read_info(recording.file).duration_ms
    else:
        duration = _complete(recording, own)
    for path in (*paths, own):
        remove(path)
    expected = recording.elapsed_ms(recording.stopped_at) if recording.stopped_at else 0
    if duration < expected - max(SLACK_MS, SLACK * expected):
        result.error = (
            f"recording incomplete: {duration / 1000:.1f} s of {expected / 1000:.1f} s were written"
        )
    elif not duration and not recording.stopped_at:
        # nobody saw it end: the switch may have died with all that was to be written
        result.error = "recording incomplete: nothing was written"
    return duration


def _published_before(parts: list[str], own: str, final: str) -> bool:
    """Whether a crash came after the file got its name, and before what is left of its making was removed."""
    if not os.path.exists(final):
        return False
    made_of = next((path for path in (own, parts[0]) if os.path.exists(path)), "")
    return not made_of or len(parts) > 1 or os.path.samefile(made_of, final)


def _complete(recording: Recording, own: str) -> int:
    """Make the file whole and give it its name. Returns its length in ms."""
    first = recording.parts[0].path
    if len(recording.parts) == 1 and not recording.held:
        duration = _as_written(first, recording.file)
        if duration is not None:
            return duration
    if not os.path.exists(first):
        # the switch removes a file into which no frame was written
        with open(first, "xb") as file:
            file.write(header(recording.rate, 2 if recording.leg_id else 1, 0))
    _check_readable([part.path for part in recording.parts])
    if len(recording.parts) > 1 or recording.held:
        duration = join(own, _stretches(recording) or [Stretch(first, 0)], _held_until(recording))
        _name_closed(own, recording.file)
        return duration
    if not intact(first) and not _mended(first):
        shutil.copyfile(first, own)
        repair(own)
        _name_closed(own, recording.file)
    elif not _name_closed(first, recording.file):
        shutil.copyfile(first, own)
        _name_closed(own, recording.file)
    return read_info(recording.file).duration_ms


def _as_written(path: str, final: str) -> int | None:
    """Give a file its name that needs nothing done to it, as nearly all. Returns its length in ms; None for
    one that does, or cannot be named.

    Each call of the system costs this thread its turn, and on a busy machine a while until it has the next
    one: the file is opened once.
    """
    try:
        with open(path, "rb") as file:
            info, intact = examine(path, file)
            return info.duration_ms if intact and _name(file, path, final) else None
    except (MediaError, FileNotFoundError):
        return None


def _stretches(recording: Recording) -> list[Stretch]:
    """Where the sound of each part belongs."""
    ends = [part.start_ms for part in recording.parts[1:]]
    found = []
    for part, end in zip(recording.parts, [*ends, None], strict=True):
        pieces = stretches(part.start_ms, part.skip_ms, end, recording.held)
        if end is None and recording.stopped_at:
            closed = recording.elapsed_ms(recording.stopped_at)
            pieces = aligned(pieces, part.start_ms, part.skip_ms, closed, _written_ms(part.path))
        found += [Stretch(part.path, start, skip, length) for start, skip, length in pieces]
    return found


def _written_ms(path: str) -> int:
    """The length of a file; 0 when there is none that can be read."""
    try:
        return read_info(path).duration_ms
    except (MediaError, OSError):
        return 0


def _held_until(recording: Recording) -> int:
    """How long the file has to be at least, in ms: to the end of the last hold, of which nothing is written,
    nor may be of the moment behind it. The switch removes a file without a frame."""
    if not recording.held:
        return 0
    end = recording.held[-1][1]
    if end < 0:
        return recording.elapsed_ms(recording.stopped_at) if recording.stopped_at else 0
    return end


def _check_readable(paths: list[str]) -> None:
    """OSError for a file that is there and cannot be read: left out, its sound would be lost."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError), open(path, "rb"):
            pass


def _mended(path: str) -> bool:
    """Complete the header that a switch left behind which died; False when the file is not ours to write."""
    try:
        repair(path)
    except PermissionError:
        return False
    return True


def _publish_tracks(recording: Recording, result: Published, mix_ms: int) -> None:
    """Raises MediaError, OSError."""
    if not os.path.exists(recording.multi_part) and os.path.exists(recording.multi_file):
        return
    _check_readable([track.path for track in recording.tracks])
    duration = recording.elapsed_ms(recording.stopped_at) if recording.stopped_at else mix_ms
    pieces: list[Piece] = []
    legs: list[str] = []
    for track in recording.tracks:
        # a track is stopped a moment after its leg left, and nothing of that moment belongs to the room
        end = track.end_ms if track.end_ms >= 0 else None
        written = _written_ms(track.path)
        found = stretches(track.start_ms, 0, end, track.held)
        if end is not None:
            found = aligned(found, track.start_ms, 0, end, written)
        for start, skip, length in found:
            until = None if length is None else start + length
            pieces.append(Piece(track.path, track.channel, start, until, skip))
            legs.append(track.leg_id)
        held = sum(finish - begin for begin, finish in track.held if finish >= 0)
        result.ends[track.path] = written + held
    channels = 1 + max((track.channel for track in recording.tracks), default=0)
    skipped = merge(recording.multi_part, recording.rate, channels, duration, pieces)
    _name_closed(recording.multi_part, recording.multi_file)
    remove(recording.multi_part)
    result.omitted = list(dict.fromkeys(legs[index] for index in skipped))
    for track in recording.tracks:
        remove(track.path)


def _name_closed(source: str, final: str) -> bool:
    """`_name` for a file that is not open."""
    with open(source, "rb") as file:
        return _name(file, source, final)


def _name(file: BinaryIO, source: str, final: str) -> bool:
    """Give a file its final name, durably; False when that is forbidden, as for another user's file.

    The name it had may remain. FileExistsError when there is another file of this name.
    """
    with contextlib.suppress(PermissionError):  # somebody else's file
        os.fchmod(file.fileno(), folders.FILE_MODE)
    os.fsync(file.fileno())
    try:
        os.link(source, final)
    except FileExistsError:
        if not os.path.samefile(source, final):
            raise
    except OSError:
        # a file system without links, or somebody else's file
        if os.path.exists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), final) from None
        try:
            os.rename(source, final)
        except PermissionError:
            return False
    directory = os.open(os.path.dirname(os.path.abspath(final)), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return True


def remove(path: str) -> None:
    """Delete a file, if it is there. One that cannot be deleted stays; nothing depends on it."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("file not deleted", file=path, error=error.strerror)
