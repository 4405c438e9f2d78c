"""One file of many channels from the recordings of single legs.

Runs for seconds on long recordings: call `merge` in a native thread, not in a greenlet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import MediaError
from .wav import HEADER_LENGTH, MAX_LENGTH, WavInfo, header, read_info

BLOCK_MS = 500


@dataclass(slots=True, frozen=True)
class Piece:
    """A mono recording and where it belongs: its channel from 0, and its start in ms from the beginning.

    What comes after `end_ms` is left out; None uses it all. The first `skip_ms` of the file are not used.
    """

    path: str
    channel: int
    start_ms: int
    end_ms: int | None = None
    skip_ms: int = 0


@dataclass(slots=True, frozen=True)
class Stretch:
    """A part of a recording: from `start_ms` of it until the next stretch begins, and at most `length_ms`.

    The first `skip_ms` of the file are not used. None as length uses all the rest.
    """

    path: str
    start_ms: int
    skip_ms: int = 0
    length_ms: int | None = None


@dataclass(slots=True, frozen=True)
class _Placed:
    """A piece that can be read, in frames of the target."""

    index: int
    channel: int
    start: int
    info: WavInfo

    @property
    def end(self) -> int:
        return self.start + self.info.frames


def merge(target: str, rate: int, channels: int, duration_ms: int, pieces: Sequence[Piece]) -> list[int]:
    """Write the pieces into a WAV file of exactly `duration_ms`, silence where there is none.

    Of pieces that overlap in a channel the later one is heard. The memory used does not depend on the
    length, and one piece is open at a time. Returns the indexes of the pieces that could not be read
    (wholly or in part): missing, not a mono 16-bit WAV file, another rate. Raises MediaError above 4 GiB,
    OSError when the target cannot be written, ValueError for a channel that does not exist.
    """
    if any(not 0 <= piece.channel < channels for piece in pieces):
        raise ValueError("a piece has a channel that the file has not")
    frames = duration_ms * rate // 1000
    length = frames * channels * 2
    if length + HEADER_LENGTH - 8 > MAX_LENGTH:
        raise MediaError("merged file would exceed 4 GiB")
    placed, skipped = _place(pieces, rate)
    with open(target, "wb") as file:
        file.write(header(rate, channels, length))
        for block in _blocks(placed, frames, channels, max(1, BLOCK_MS * rate // 1000), skipped):
            file.write(block.data)
        file.flush()
        os.fsync(file.fileno())
    return sorted(skipped)


def join(target: str, parts: Sequence[Stretch], until_ms: int = 0) -> int:
    """Put recordings of one shape one behind the other, up to `until_ms` at least.

    Silence where a part is too short or cannot be read. The memory used does not depend on the length.
    Returns the length in ms. Raises MediaError when there is no readable part or above 4 GiB, OSError when
    the target cannot be written.
    """
    readable = _readable(parts)
    if not readable:
        raise MediaError("not a valid WAV file")
    info, start_ms = readable[0]
    stretches = _stretches(readable, until_ms)
    frame = info.channels * 2
    lead = start_ms * info.rate // 1000
    frames = lead + sum(length for _, length in stretches)
    if frames * frame + HEADER_LENGTH - 8 > MAX_LENGTH:
        raise MediaError("joined file would exceed 4 GiB")
    size = max(1, BLOCK_MS * info.rate // 1000)
    with open(target, "wb") as file:
        file.write(header(info.rate, info.channels, frames * frame))
        for begin in range(0, lead, size):
            file.write(bytes(min(size, lead - begin) * frame))
        for one, length in stretches:
            with open(one.path, "rb") as source:
                source.seek(one.data_offset)
                for begin in range(0, length, size):
                    wanted = min(size, length - begin)
                    data = source.read(max(0, min(wanted, one.frames - begin)) * frame)
                    file.write(data.ljust(wanted * frame, b"\0"))
        file.flush()
        os.fsync(file.fileno())
    return frames * 1000 // info.rate


def _without(info: WavInfo, skip_ms: int, length_ms: int | None = None) -> WavInfo:
    """A file without what is to be left out of it."""
    skip = min(info.frames, skip_ms * info.rate // 1000)
    frames = info.frames - skip
    if length_ms is not None:
        frames = min(frames, length_ms * info.rate // 1000)
    return replace(info, frames=frames, data_offset=info.data_offset + skip * info.channels * 2)


def _readable(parts: Sequence[Stretch]) -> list[tuple[WavInfo, int]]:
    """The parts that can be read, without what is to be left out, each with its start in ms."""
    readable: list[tuple[WavInfo, int]] = []
    for part in parts:
        try:
            info = read_info(part.path)
        except (OSError, MediaError):
            continue
        if readable and (info.rate, info.channels) != (readable[0][0].rate, readable[0][0].channels):
            continue
        readable.append((_without(info, part.skip_ms, part.length_ms), part.start_ms))
    return readable


def _stretches(readable: list[tuple[WavInfo, int]], until_ms: int) -> list[tuple[WavInfo, int]]:
    """The parts, each with the number of frames until the next, or until the end."""
    stretches = []
    for index, (info, start_ms) in enumerate(readable):
        last = index + 1 == len(readable)
        if last:
            length = max(info.frames, (until_ms - start_ms) * info.rate // 1000)
        else:
            length = (readable[index + 1][1] - start_ms) * info.rate // 1000
        stretches.append((info, max(0, length)))
    return stretches


def _place(pieces: Sequence[Piece], rate: int) -> tuple[list[_Placed], set[int]]:
    """The readable pieces by their start, and the indexes of the others."""
    placed: list[_Placed] = []
    skipped: set[int] = set()
    for index, piece in enumerate(pieces):
        try:
            info = read_info(piece.path)
        except (OSError, MediaError):
            skipped.add(index)
            continue
        if (info.rate, info.channels) != (rate, 1):
            skipped.add(index)
            continue
        start = piece.start_ms * rate // 1000
        info = _without(info, piece.skip_ms)
        if piece.end_ms is not None:
            frames = max(0, piece.end_ms * rate // 1000 - start)
            info = replace(info, frames=min(info.frames, frames))
        placed.append(_Placed(index, piece.channel, start, info))
    placed.sort(key=lambda one: (one.start, one.index))
    return placed, skipped


def _blocks(
    placed: list[_Placed], frames: int, channels: int, size: int, skipped: set[int]
) -> Iterator[np.ndarray]:
    """The interleaved audio in blocks of `size` frames; pieces that fail on the way go to `skipped`."""
    waiting = iter(placed)
    following = next(waiting, None)
    active: list[_Placed] = []
    for begin in range(0, frames, size):
        end = min(begin + size, frames)
        while following is not None and following.start < end:
            active.append(following)
            following = next(waiting, None)
        block = np.zeros((end - begin, channels), dtype="<i2")
        for piece in active:
            try:
                _lay(block, piece, begin, end)
            except OSError:
                skipped.add(piece.index)
        yield block
        active = [piece for piece in active if piece.end > end]


def _lay(block: np.ndarray, piece: _Placed, begin: int, end: int) -> None:
    """Copy what `piece` has between two frames of the target."""
    first, last = max(begin, piece.start), min(end, piece.end)
    if first >= last:
        return
    offset = piece.info.data_offset + (first - piece.start) * 2
    samples = np.fromfile(piece.info.path, dtype="<i2", count=last - first, offset=offset)
    block[first - begin : first - begin + len(samples), piece.channel] = samples
