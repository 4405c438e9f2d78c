"""Which format an audio file has, and its samples.

Decoding takes seconds for long files: call `decode` in a native thread, not in a greenlet.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import miniaudio  # type: ignore[import-untyped]
import numpy as np

from . import MediaError
from .wav import Samples, check_rate, decode_wav

MAX_SECONDS = 4 * 3600.0
RAW_RATE = 16_000
MP3_BLOCK = 16_384
"""Frames decoded at a time."""

MIME_TYPES = {
    "audio/pcm": "pcm",
    "audio/l16": "pcm",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
}


@dataclass(slots=True, frozen=True)
class Kind:
    """How to read a file: its format (pcm, mp3, wav), and the rate in Hz of raw PCM, which says none."""

    format: str
    rate: int = 0


def kind_of(data: bytes, url: str, mime_type: str, content_type: str) -> Kind:
    """The format: by the client's word, the name, the first bytes, the server's word, in that order."""
    return _by_type(mime_type) or _by_name(url) or _by_content(data) or _by_type(content_type) or Kind("wav")


def _by_type(mime_type: str) -> Kind | None:
    name, *parameters = mime_type.lower().split(";")
    kind = MIME_TYPES.get(name.strip())
    if kind is None:
        return None
    if kind != "pcm":
        return Kind(kind)
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        digits = value.strip().strip('"')
        if key.strip() == "rate" and digits.isdecimal() and len(digits) < 10:
            return Kind(kind, int(digits))
    return Kind(kind, RAW_RATE)


def _by_name(url: str) -> Kind | None:
    try:
        path = urlsplit(url).path.lower()
    except ValueError:
        return None
    for ending in ("mp3", "wav"):
        if path.endswith(f".{ending}"):
            return Kind(ending)
    return None


def _by_content(data: bytes) -> Kind | None:
    if data[:4] == b"RIFF":
        return Kind("wav")
    if data[:3] == b"ID3":
        return Kind("mp3")
    # eleven bits of sync; layer 00 would be AAC
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06:
        return Kind("mp3")
    return None


def decode(
    data: bytes, url: str, mime_type: str, content_type: str, *, max_seconds: float = MAX_SECONDS
) -> tuple[int, Samples]:
    """The rate in Hz and the mono samples of a file fetched from `url`. Raises MediaError."""
    return decode_as(kind_of(data, url, mime_type, content_type), data, max_seconds=max_seconds)


def decode_as(kind: Kind, data: bytes, *, max_seconds: float = MAX_SECONDS) -> tuple[int, Samples]:
    """The rate in Hz and the mono samples of a file of this format. Raises MediaError."""
    if kind.format == "mp3":
        return _mp3(data, max_seconds)
    if kind.format == "wav":
        rate, samples = decode_wav(data)
    else:
        check_rate(kind.rate)
        rate, samples = kind.rate, np.frombuffer(data, dtype="<i2", count=len(data) // 2)
    if len(samples) > max_seconds * rate:
        raise _too_long(max_seconds)
    return rate, samples


def _too_long(max_seconds: float) -> MediaError:
    return MediaError(f"audio longer than {max_seconds:g} s")


def _mp3(data: bytes, max_seconds: float) -> tuple[int, Samples]:
    """Decoded block by block, so that a small file of hours of silence cannot fill the memory."""
    pcm = bytearray()
    try:
        rate = miniaudio.mp3_get_info(data).sample_rate
        check_rate(rate)
        limit = int(max_seconds * rate) * 2
        for block in miniaudio.stream_memory(data, nchannels=1, sample_rate=rate, frames_to_read=MP3_BLOCK):
            pcm += memoryview(block).cast("B")
            if len(pcm) > limit:
                raise _too_long(max_seconds)
    except (miniaudio.MiniaudioError, ZeroDivisionError) as error:  # the latter: a rate of 0
        raise MediaError(f"mp3 decode: {_text(error)}") from error
    if not pcm:
        raise MediaError("mp3 decode: no audio found")
    return rate, np.frombuffer(pcm, dtype=np.int16)


def _text(error: Exception) -> str:
    """What went wrong, without the library's result codes."""
    return str(error.args[0]) if error.args else type(error).__name__
