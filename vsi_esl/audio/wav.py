"""WAV files: reading what clients send, writing what the switch plays, mending what a recorder left.

A recorder that is killed leaves a header that says RIFF length 8 and data length 0 before all its audio, so
the lengths in a header are believed only as far as they agree with the file.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from . import MediaError

Samples = npt.NDArray[np.int16]

MIN_RATE, MAX_RATE = 8000, 192_000
PCM, ALAW, MULAW, EXTENSIBLE = 1, 6, 7, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""The last 14 bytes of the subformat of an extensible header; the first two are a format as above."""

MAX_CHUNKS = 1000
MAX_LENGTH = 0xFFFFFFFF
HEADER_LENGTH = 44
BLOCK = 1 << 16


@dataclass(slots=True, frozen=True)
class WavInfo:
    """Where the audio of a 16-bit PCM file lies."""

    path: str
    rate: int
    channels: int
    frames: int
    data_offset: int

    @property
    def duration_ms(self) -> int:
        return self.frames * 1000 // self.rate


@dataclass(slots=True, frozen=True)
class _Layout:
    """What the chunks of a file say, and how much audio is really there (`length`, bytes)."""

    format: int
    channels: int
    rate: int
    bits: int
    offset: int
    declared: int
    riff: int
    size: int

    @property
    def lengths_hold(self) -> bool:
        """Whether the data length can be believed. 0 can, if the RIFF length fits: an empty recording."""
        if self.declared == 0:
            return self.riff + 8 == self.size
        return self.declared <= self.size - self.offset

    @property
    def length(self) -> int:
        return self.declared if self.lengths_hold else self.size - self.offset

    @property
    def frame(self) -> int:
        """Bytes of one frame."""
        return self.channels * (2 if self.format == PCM else 1)


def _walk(file: BinaryIO, size: int) -> _Layout:
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise MediaError("not a valid WAV file")
    described: tuple[int, int, int, int] | None = None
    position = 12
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        name, length = struct.unpack("<4sI", chunk)
        position += 8
        if name == b"fmt ":
            described = _described(file.read(min(length, 40)))
        elif name == b"data":
            if described is None:
                break
            (riff,) = struct.unpack_from("<I", head, 4)
            return _Layout(*described, position, length, riff, size)
        position += length + (length & 1)
    raise MediaError("not a valid WAV file")


def _described(chunk: bytes) -> tuple[int, int, int, int]:
    """Format, channels, rate and bits of a "fmt " chunk."""
    if len(chunk) < 16:
        raise MediaError("not a valid WAV file")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == EXTENSIBLE and chunk[26:40] == GUID_TAIL:
        (kind,) = struct.unpack_from("<H", chunk, 24)
    return kind, channels, rate, bits


def _check_format(layout: _Layout) -> None:
    if layout.format not in (PCM, ALAW, MULAW):
        raise MediaError(f"unsupported WAV format: {layout.format} (supported: PCM=1, A-law=6, mu-law=7)")
    if layout.format == PCM and layout.bits != 16:
        raise MediaError(f"unsupported PCM bits per sample: {layout.bits} (only 16-bit supported)")


def check_rate(rate: int) -> None:
    """Raise MediaError for a sample rate (Hz) that is not played."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise MediaError(f"unsupported sample rate: {rate}")


def decode_wav(data: bytes) -> tuple[int, Samples]:
    """The rate in Hz and the samples of a WAV file, stereo averaged to mono.

    Takes 16-bit PCM, A-law and mu-law with one or two channels. What is missing at the end is not an error.
    Raises MediaError.
    """
    layout = _walk(io.BytesIO(data), len(data))
    _check_format(layout)
    if layout.channels not in (1, 2):
        raise MediaError(f"unsupported channel count: {layout.channels}")
    check_rate(layout.rate)
    whole = layout.length - layout.length % layout.frame
    raw = memoryview(data)[layout.offset : layout.offset + whole]
    samples: Samples
    if layout.format == PCM:
        samples = np.frombuffer(raw, dtype="<i2")
    else:
        table = ALAW_TABLE if layout.format == ALAW else MULAW_TABLE
        samples = table.take(np.frombuffer(raw, dtype=np.uint8))
    if layout.channels == 2:
        pairs = samples.reshape(-1, 2)
        # halves are rounded down, one by one and with the lost bit: no copy in a wider type
        samples = (pairs[:, 0] >> 1) + (pairs[:, 1] >> 1) + (pairs[:, 0] & pairs[:, 1] & 1)
    return layout.rate, samples


def header(rate: int, channels: int, length: int) -> bytes:
    """The 44 bytes before `length` bytes of 16-bit audio. Raises MediaError above 4 GiB."""
    if length + HEADER_LENGTH - 8 > MAX_LENGTH:
        raise MediaError("audio larger than 4 GiB")
    frame = channels * 2
    form = struct.pack("<HHIIHH", PCM, channels, rate, rate * frame, frame, 16)
    riff = struct.pack("<4sI4s", b"RIFF", length + HEADER_LENGTH - 8, b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", 16) + form + struct.pack("<4sI", b"data", length)


def write_wav(path: str, rate: int, samples: Samples, copies: int = 1) -> None:
    """Write 16-bit mono samples, `copies` times in a row; readers see the whole file or none.

    The temporary file stands beside it and ends in ".tmp". Raises OSError, or MediaError above 4 GiB.
    """
    start = header(rate, 1, len(samples) * 2 * copies)
    temporary = f"{path}.{os.urandom(6).hex()}.tmp"
    per_write = min(copies, BLOCK // max(1, len(samples)) + 1)
    samples = samples.astype("<i2", copy=False)
    block = (samples if per_write == 1 else np.tile(samples, per_write)).view(np.uint8)
    try:
        with open(temporary, "xb") as file:
            os.fchmod(file.fileno(), 0o640)  # the switch reads it, through the group
            file.write(start)
            for _ in range(copies // per_write):
                file.write(block.data)
            file.write(block[: copies % per_write * len(samples) * 2].data)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _info(path: str, layout: _Layout) -> WavInfo:
    _check_format(layout)
    if layout.format != PCM or layout.channels == 0 or layout.rate == 0:
        raise MediaError("not a valid WAV file")
    return WavInfo(path, layout.rate, layout.channels, layout.length // layout.frame, layout.offset)


def read_info(path: str) -> WavInfo:
    """Where the audio of a 16-bit PCM file lies. Raises MediaError for another file, OSError if unreadable.

    A data length of 0 or beyond the file's end is that of a killed recorder: the file's size counts then.
    """
    with open(path, "rb") as file:
        return examine(path, file)[0]


def examine(path: str, file: BinaryIO) -> tuple[WavInfo, bool]:
    """What `read_info` and `intact` tell, of a file that is open and has not been read."""
    layout = _walk(file, os.fstat(file.fileno()).st_size)
    return _info(path, layout), layout.lengths_hold and layout.riff + 8 == layout.size


def read_samples(info: WavInfo) -> Samples:
    """All samples of a mono file. Raises OSError."""
    samples: Samples = np.fromfile(info.path, dtype="<i2", count=info.frames, offset=info.data_offset)
    return samples


def intact(path: str) -> bool:
    """Whether there is a 16-bit PCM file at `path` that is as long as its header says."""
    try:
        with open(path, "rb") as file:
            return examine(path, file)[1]
    except (MediaError, OSError):
        return False


def repair(path: str) -> WavInfo:
    """Make the lengths in the header those of the file, durably; a partial frame at the end is cut off.

    May be repeated. Raises MediaError for what is no 16-bit PCM file (an empty one, for example), OSError.
    """
    with open(path, "r+b") as file:
        layout = _walk(file, os.fstat(file.fileno()).st_size)
        info = _info(path, layout)
        length = min(info.frames * layout.frame, MAX_LENGTH - MAX_LENGTH % layout.frame)
        end = layout.offset + length
        if layout.offset + layout.length == layout.size and end < layout.size <= MAX_LENGTH:
            file.truncate(end)
            size = end
        else:
            size = layout.size  # chunks follow the audio
        riff = min(size - 8, MAX_LENGTH)
        if (riff, length) != (layout.riff, layout.declared):
            file.seek(layout.offset - 4)
            file.write(struct.pack("<I", length))
            file.seek(4)
            file.write(struct.pack("<I", riff))
        file.flush()
        os.fsync(file.fileno())
    return info


def _alaw_table() -> Samples:
    """What each A-law byte stands for (ITU-T G.711)."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = np.where(
        exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent, 1) - 1
    )
    return np.where(code & 0x80, size, -size).astype(np.int16)


def _mulaw_table() -> Samples:
    """What each mu-law byte stands for (ITU-T G.711)."""
    code = ~np.arange(256) & 0xFF
    size = ((((code & 15) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -size, size).astype(np.int16)


ALAW_TABLE, MULAW_TABLE = _alaw_table(), _mulaw_table()
