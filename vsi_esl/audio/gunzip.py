"""Content-Encoding gzip (RFC 1952), decoded piece by piece: a few kilobytes can hold gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from . import MediaError

PIECE = 1 << 16
"""Most bytes of a piece, so that whoever counts them can stop in time."""
GZIP = 16 + zlib.MAX_WBITS


class Gunzip:
    """Decodes blocks, one member behind the other. `what` begins the message of each MediaError."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._member = zlib.decompressobj(GZIP)
        self._begun = False

    def pieces(self, block: bytes) -> Iterator[bytes]:
        """What a block of the encoded body decodes to. Raises MediaError."""
        try:
            while block:
                if self._member.eof:
                    self._member = zlib.decompressobj(GZIP)
                self._begun = True
                yield self._member.decompress(block, PIECE)
                block = self._member.unconsumed_tail or self._member.unused_data
        except zlib.error:
            raise MediaError(f"{self._what}: the answer is not valid gzip") from None

    def end(self) -> None:
        """There are no more blocks. Raises MediaError when the data ends in the middle; none is none."""
        if self._begun and not self._member.eof:
            raise MediaError(f"{self._what}: answer is cut short")
