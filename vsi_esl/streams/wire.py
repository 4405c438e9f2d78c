"""How audio goes over a WebSocket: what clients may ask for, refused in the reference's words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import Invalid

RATES = (8000, 16000, 24000, 48000)
DEFAULT_RATE = 16000
BINARY, JSON_BASE64 = "binary", "json_base64"
S16LE = "s16le"
CHANNEL_RATES = {24000: 48000}
"""Of the channel in the place of the peer, where it is not that of the peer: there are no conferences of 24
kHz on the switch, and of 48 nothing is lost."""
NUMBER = re.compile(r"[+-]?[0-9]{1,18}\Z")


@dataclass(frozen=True, slots=True)
class Wire:
    """16-bit little endian PCM, mono."""

    rate: int = DEFAULT_RATE
    format: str = BINARY

    @property
    def channel_rate(self) -> int:
        """Samples a second on the switch."""
        return CHANNEL_RATES.get(self.rate, self.rate)


def wire_of(rate: int, wire_format: str, sample_format: str) -> Wire:
    """What was asked for; 0 and empty for the usual. Invalid when there is no such thing."""
    if rate and rate not in RATES:
        raise Invalid(f"wsmedia: invalid SampleRate {rate} (want 8000/16000/24000/48000)")
    if sample_format not in ("", S16LE):
        raise Invalid(f'wsmedia: unsupported SampleFormat "{sample_format}"')
    if wire_format not in ("", BINARY, JSON_BASE64):
        raise Invalid(f'wsmedia: unsupported WireFormat "{wire_format}"')
    return Wire(rate or DEFAULT_RATE, wire_format or BINARY)


def rate_of(text: str) -> int:
    """A rate in a query; 0 when it is empty. Invalid when it is no number."""
    if not text:
        return 0
    if not NUMBER.match(text):
        raise Invalid(f'sample_rate: not a number: "{text}"')
    return int(text)
