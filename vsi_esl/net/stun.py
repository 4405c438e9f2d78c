"""ICE connectivity checks (RFC 8445, 7.2): the one STUN message (RFC 8489) that the service sends."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
import struct

MAGIC = 0x2112A442
BINDING_REQUEST = 0x0001
USERNAME, MESSAGE_INTEGRITY, PRIORITY, CONTROLLING, FINGERPRINT = 0x0006, 0x0008, 0x0024, 0x802A, 0x8028
FINGERPRINT_XOR = 0x5354554E


def check(theirs: str, ours: str, password: str) -> bytes:
    """A check of the agent whose ufrag and password are `theirs` and `password`, by one whose is `ours`."""
    transaction = secrets.token_bytes(12)
    body = _attribute(USERNAME, f"{theirs}:{ours}".encode())
    body += _attribute(PRIORITY, struct.pack("!I", 1))
    body += _attribute(CONTROLLING, secrets.token_bytes(8))
    # each of the two is made over what is before it, with a length that has it already
    signed = _head(len(body) + 24, transaction) + body
    body += _attribute(MESSAGE_INTEGRITY, hmac.new(password.encode(), signed, hashlib.sha1).digest())
    whole = _head(len(body) + 8, transaction) + body
    return whole + _attribute(FINGERPRINT, struct.pack("!I", binascii.crc32(whole) ^ FINGERPRINT_XOR))


def _head(length: int, transaction: bytes) -> bytes:
    return struct.pack("!HHI", BINDING_REQUEST, length, MAGIC) + transaction


def _attribute(name: int, value: bytes) -> bytes:
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)
