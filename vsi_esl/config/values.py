"""Parsers of setting values. Each takes what YAML or the environment gave, and raises ValueError with what
would be allowed."""

from __future__ import annotations

import re
from typing import Any

from ..model.codecs import codec_name

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\Z")
SECONDS = {None: 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
SIZE = re.compile(r"(\d+)\s*(KiB|MiB|GiB)?\Z")
BYTES = {None: 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def text(value: Any) -> str:
    """A string; numbers are taken as written."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("must be text")
    return str(value)


def boolean(value: Any) -> bool:
    """true/1/yes/on or false/0/no/off."""
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true/yes/on/1 or false/no/off/0")


def integer(low: int, high: int) -> Any:
    """A whole number between two bounds, both allowed."""

    def parse(value: Any) -> int:
        word = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", word) or not low <= int(word) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(word)

    return parse


def event_buffer(value: Any) -> int:
    """The reference's rule: below 16 is 16, above 1,000,000 is 1,000,000."""
    word = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", word):
        raise ValueError("must be a whole number")
    return min(1_000_000, max(16, int(word)))


def duration(value: Any) -> float:
    """Seconds: a plain number, or one with ms, s, m or h behind it."""
    match = DURATION.match(str(value).strip())
    if isinstance(value, bool) or not match:
        raise ValueError('must be a duration such as 5, "250ms", "5s", "2m" or "1h"')
    return float(match[1]) * SECONDS[match[2]]


def size(value: Any) -> int:
    """Bytes: a plain number, or one with KiB, MiB or GiB behind it."""
    match = SIZE.match(str(value).strip())
    if isinstance(value, bool) or not match or int(match[1]) == 0:
        raise ValueError('must be a size such as 65536, "64KiB" or "1MiB"')
    return int(match[1]) * BYTES[match[2]]


def address(value: Any) -> str:
    """host:port, :port for all interfaces, or [IPv6]:port."""
    host, colon, port = str(value).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    good_port = re.fullmatch(r"\d{1,5}", port) and int(port) <= 65535
    if not colon or not good_port or (":" in host and not bracketed):
        raise ValueError('must be "host:port", ":port" or "[IPv6]:port"')
    return str(value)


def choice(*allowed: str) -> Any:
    """One of these words, in any case."""

    def parse(value: Any) -> str:
        word = str(value).strip().lower()
        if word not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return word

    return parse


def sample_rate(value: Any) -> int:
    """8000, 16000 or 48000 Hz."""
    if str(value).strip() not in ("8000", "16000", "48000"):
        raise ValueError("must be 8000, 16000 or 48000")
    return int(str(value).strip())


def codecs(value: Any) -> tuple[str, ...]:
    """Codec names, as a list or separated by commas, in order of preference."""
    words = value if isinstance(value, list) else str(value).split(",")
    names = [codec_name(str(word).strip()) for word in words]
    if not names or None in names:
        raise ValueError("must name codecs of PCMU, PCMA, G722, opus")
    return tuple(name for name in names if name)


def name(value: Any) -> str:
    """A FreeSWITCH name: letters, digits, dot, dash and underscore."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", str(value)):
        raise ValueError("must consist of letters, digits, dot, dash and underscore")
    return str(value)
