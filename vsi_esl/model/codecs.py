"""Codec names, rates, and the offer of an SDP, as far as VSI speaks of them."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

from .leg import OfferedCodec

OPUS = "opus"
CLOCK_RATES = {
    "PCMU": 8000,
    "PCMA": 8000,
    "G722": 8000,
    OPUS: 48000,
    "AMR-WB": 16000,
    "AMR-NB": 8000,
}
"""RTP clock rates in Hz (RFC 3551: G722 says 8000 although it samples at 16000)."""

AUDIO_RATES = {
    "pcmu": 8000,
    "pcma": 8000,
    "g722": 16000,
    "opus": 48000,
    "amr-wb": 16000,
    "amr": 8000,
}
"""Samples a second, in Hz, by the codecs' names on the wire."""

STATIC_PAYLOADS = {0: "PCMU", 8: "PCMA", 9: "G722"}

SWITCH_NAMES = {
    "PCMU": "PCMU",
    "PCMA": "PCMA",
    "G722": "G722",
    "opus": "OPUS",
    "AMR-WB": "AMR-WB",
    "AMR-NB": "AMR",
}
"""VSI's codec name -> FreeSWITCH's."""

CODEC_MODULES = {
    "G722": "mod_spandsp",
    "opus": "mod_opus",
    "AMR-WB": "mod_amrwb",
    "AMR-NB": "mod_amr",
}
"""The module a codec needs; the others are part of FreeSWITCH itself."""

SPECIAL = frozenset(("AMR-WB", "AMR-NB"))
"""Codecs that most switches are without, and nobody misses who has not named them."""

LINE = re.compile(r"^(m=|a=rtpmap:)(.*)", re.MULTILINE)
MAX_SDP_LINES = 500
"""Of those that are looked at."""
MAX_PAYLOAD = 127
"""RTP payload types have 7 bits (RFC 3550)."""
MAX_RATE = (1 << 31) - 1
REMEMBERED_OFFERS = 256
REMEMBERED_SDP = 4096
"""Characters of an offer that is remembered; no phone's is as long."""
LONGEST = 11
"""More digits than that of any number here."""
_SPELLINGS = {name.lower(): name for name in CLOCK_RATES}
_SPELLINGS |= {"amr": "AMR-NB", "amrnb": "AMR-NB", "amrwb": "AMR-WB"}


def codec_name(text: str) -> str | None:
    """VSI's spelling of a codec name given in any case, or None for one it does not know."""
    return _SPELLINGS.get(text.lower())


def offered_codecs(sdp: str) -> tuple[OfferedCodec, ...]:
    """The known codecs of the first audio line of an SDP offer, in its order (RFC 4566, RFC 3264)."""
    found = islice(LINE.finditer(sdp.replace("\r", "\n")), MAX_SDP_LINES)
    lines = tuple([_without_port(*line.groups()) for line in found])
    return _remembered(lines) if len(sdp) < REMEMBERED_SDP else _offered(lines)


def _without_port(kind: str, text: str) -> tuple[str, ...]:
    """The kind of medium and what follows, without the port, which differs from call to call; no kind for a
    mapping."""
    if kind != "m=":
        return "", text
    words = text.split()
    del words[1:3]
    return tuple(words) or (kind,)


def _offered(lines: tuple[tuple[str, ...], ...]) -> tuple[OfferedCodec, ...]:
    payloads: list[int] = []
    maps: dict[int, str] = {}
    in_audio = False
    for what, *words in lines:
        if what:
            if payloads:
                break
            in_audio = what == "audio"
            if in_audio:
                numbers = (_number(word, MAX_PAYLOAD) for word in words)
                payloads = [number for number in numbers if number is not None]
        elif in_audio:
            payload_text, _, rest = words[0].partition(" ")
            mapped = _number(payload_text, MAX_PAYLOAD)
            if mapped is not None:
                maps[mapped] = rest
    found: dict[str, OfferedCodec] = {}
    for payload in payloads:
        encoding, _, rest = maps.get(payload, STATIC_PAYLOADS.get(payload, "")).strip().partition("/")
        known = codec_name(encoding)
        if known and known not in found:
            rate = _number(rest.partition("/")[0], MAX_RATE) or CLOCK_RATES[known]
            found[known] = OfferedCodec(known, payload, rate, len(found) + 1)
    return tuple(found.values())


_remembered = lru_cache(maxsize=REMEMBERED_OFFERS)(_offered)
"""Phones of one kind offer the same codecs: what they offer is read once, and theirs together."""


def _number(text: str, most: int) -> int | None:
    """The number a caller wrote, None when it is none or above `most` (MAX_RATE at most); its digits can be
    many thousands."""
    if not (text.isascii() and text.isdigit()):
        return None
    number = int(text if len(text) < LONGEST else text.lstrip("0")[:LONGEST] or "0")
    return number if number <= most else None


def sample_rate(codec: str, read_rate: str) -> int:
    """The audio rate in Hz of a negotiated codec, snapped to a rate we have a conference profile for. That of
    a codec we do not know is `read_rate`, which the switch does not correct when another one is agreed on."""
    if known := AUDIO_RATES.get(codec.lower()):
        return known
    rate = int(read_rate) if read_rate.isascii() and read_rate.isdigit() else 8000
    return rate if rate in (8000, 16000, 48000) else 16000 if rate > 8000 else 8000
