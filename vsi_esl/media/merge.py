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

    What comes after `end_ms` is left out; None uses it all.
    """

    path: str
    channel: int
    start_ms: int
    end_ms: int | None = None


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


def join(target: str, parts: Sequence[tuple[str, int, int]]) -> int:
    """Put recordings of one shape one behind the other.

    Each is (path, start in ms, how much of its own beginning to leave out in ms), and goes until the next
    one starts.

    Silence where a part is too short or cannot be read. The memory used does not depend on the length.
    Returns the length in ms. Raises MediaError when there is no readable part or above 4 GiB, OSError when
    the target cannot be written.
    """
    stretches = _stretches(parts)
    if not stretches:
        raise MediaError("not a valid WAV file")
    info = stretches[0][0]
    frame = info.channels * 2
    frames = sum(length for _, length in stretches)
    if frames * frame + HEADER_LENGTH - 8 > MAX_LENGTH:
        raise MediaError("joined file would exceed 4 GiB")
    size = max(1, BLOCK_MS * info.rate // 1000)
    with open(target, "wb") as file:
        file.write(header(info.rate, info.channels, frames * frame))
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


def _stretches(parts: Sequence[tuple[str, int, int]]) -> list[tuple[WavInfo, int]]:
    """The readable parts without what is to be left out, each with the number of frames until the next."""
    readable: list[tuple[WavInfo, int]] = []
    for path, start_ms, skip_ms in parts:
        try:
            info = read_info(path)
        except (OSError, MediaError):
            continue
        if readable and (info.rate, info.channels) != (readable[0][0].rate, readable[0][0].channels):
            continue
        skip = min(info.frames, skip_ms * info.rate // 1000)
        offset = info.data_offset + skip * info.channels * 2
        readable.append((replace(info, frames=info.frames - skip, data_offset=offset), start_ms))
    stretches = []
    for index, (info, start_ms) in enumerate(readable):
        last = index + 1 == len(readable)
        length = info.frames if last else (readable[index + 1][1] - start_ms) * info.rate // 1000
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
