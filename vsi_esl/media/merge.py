"""One file of many channels from the recordings of single legs.

Runs for seconds on long recordings: call `merge` in a native thread, not in a greenlet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from . import MediaError
from .wav import HEADER_LENGTH, MAX_LENGTH, WavInfo, header, read_info

BLOCK_MS = 500


@dataclass(slots=True, frozen=True)
class Piece:
    """A mono recording and where it belongs: its channel from 0, its start in ms from the beginning."""

    path: str
    channel: int
    start_ms: int


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
        placed.append(_Placed(index, piece.channel, piece.start_ms * rate // 1000, info))
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
