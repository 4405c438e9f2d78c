"""Until when an X.509 certificate is good, of one that nobody has verified: `ssl` tells nothing of such."""

from __future__ import annotations

import calendar
import time

SEQUENCE, CONTEXT_0, INTEGER, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x02, 0x17, 0x18
PIVOT = 50
"""Years of two digits below this are of this century (RFC 5280, 4.1.2.5.1)."""


def expiry(certificate: bytes) -> float | None:
    """`notAfter` of a certificate in DER, in Unix seconds; None when it cannot be read (RFC 5280, 4.1)."""
    try:
        (_, whole, _) = _element(certificate, SEQUENCE)
        (_, signed, _) = _element(whole, SEQUENCE)
        kind, _, rest = _element(signed)
        if kind == CONTEXT_0:  # the version
            _, _, rest = _element(rest, INTEGER)
        for _ in range(2):  # how it is signed, and by whom
            _, _, rest = _element(rest, SEQUENCE)
        _, validity, _ = _element(rest, SEQUENCE)
        _, _, rest = _element(validity)
        kind, not_after, _ = _element(rest)
        return _seconds(kind, not_after.decode("ascii"))
    except (ValueError, IndexError):
        return None


def _element(data: bytes, wanted: int | None = None) -> tuple[int, bytes, bytes]:
    """The first element of some DER: its tag, its content, and what is behind it."""
    kind, length, start = data[0], data[1], 2
    if wanted is not None and kind != wanted:
        raise ValueError("another element")
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4:
            raise ValueError("a length that no certificate has")
        length, start = int.from_bytes(data[2 : 2 + count]), 2 + count
    end = start + length
    if end > len(data):
        raise ValueError("cut short")
    return kind, data[start:end], data[end:]


def _seconds(kind: int, text: str) -> float:
    if kind == UTC_TIME:
        century = "20" if int(text[:2]) < PIVOT else "19"
        text = century + text
    elif kind != GENERALIZED_TIME:
        raise ValueError("no time")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
