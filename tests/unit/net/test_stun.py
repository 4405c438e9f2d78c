"""ICE checks, byte by byte."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct

from vsi_esl.net import stun


def attributes(message: bytes) -> list[tuple[int, int, bytes]]:
    """Name, offset and value of each."""
    found, at = [], 20
    while at < len(message):
        name, length = struct.unpack_from("!HH", message, at)
        found.append((name, at, message[at + 4 : at + 4 + length]))
        at += 4 + length + -length % 4
    assert at == len(message)
    return found


def test_a_check():
    message = stun.check("theirs", "ours", "password")
    kind, length, magic = struct.unpack_from("!HHI", message)
    assert (kind, length, magic) == (0x0001, len(message) - 20, 0x2112A442)
    found = attributes(message)
    assert [name for name, _, _ in found] == [0x0006, 0x0024, 0x802A, 0x0008, 0x8028]
    assert found[0][2] == b"theirs:ours"
    at, integrity = found[3][1:]
    signed = message[:2] + struct.pack("!H", at + 4) + message[4:at]
    assert integrity == hmac.new(b"password", signed, hashlib.sha1).digest()
    at, fingerprint = found[4][1:]
    assert fingerprint == struct.pack("!I", binascii.crc32(message[:at]) ^ 0x5354554E)


def test_each_is_another_transaction():
    assert stun.check("a", "b", "c")[8:20] != stun.check("a", "b", "c")[8:20]
