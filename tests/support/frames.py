"""WebSocket frames as a client sends them."""

from __future__ import annotations

import os
import struct

from vsi_esl.web import wsframes


def masked(opcode: int, payload: bytes, *, fin: bool = True, first: int | None = None) -> bytes:
    mask = os.urandom(4)
    head = (opcode | (0x80 if fin else 0)) if first is None else first
    size = len(payload)
    if size < 126:
        lengths = bytes([head, 0x80 | size])
    elif size < 65536:
        lengths = struct.pack("!BBH", head, 0x80 | 126, size)
    else:
        lengths = struct.pack("!BBQ", head, 0x80 | 127, size)
    return lengths + mask + wsframes.unmask(payload, mask)
