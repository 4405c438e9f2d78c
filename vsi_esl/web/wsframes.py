"""WebSocket framing without I/O (RFC 6455), for the server's side of a connection.

`websockets`' sans-I/O protocol was measured in its place. It reads a command as fast, and large messages
faster, but takes five times as long to frame an event, which is what a busy service does most.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS, ABNORMAL = 1000, 1001, 1002, 1005, 1006
BAD_DATA, TOO_BIG, INTERNAL_ERROR = 1007, 1009, 1011

MAX_CONTROL_PAYLOAD = 125


class FrameError(Exception):
    """The peer broke the protocol; `code` is the close code that says how."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Message(NamedTuple):
    """A whole message: reassembled text or binary, or a control frame."""

    opcode: int
    payload: bytes


def unmask(payload: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, as one big integer: a loop over bytes is far slower in Python."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def encode(opcode: int, payload: bytes) -> bytes:
    """One unfragmented, unmasked frame."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def encode_close(code: int, reason: str) -> bytes:
    """A close frame; the reason is cut to what a control frame holds. ValueError for a reserved code."""
    if not _sendable(code):
        raise ValueError(f"close code {code} may not be sent")
    text = reason.encode("utf-8", "replace")[: MAX_CONTROL_PAYLOAD - 2].decode("utf-8", "ignore")
    return encode(CLOSE, struct.pack("!H", code) + text.encode())


def close_code(payload: bytes) -> int:
    """The code of a peer's close frame; FrameError when it may not be sent (RFC 6455, 7.4)."""
    if not payload:
        return NO_STATUS
    if len(payload) == 1:
        raise FrameError(PROTOCOL_ERROR, "close frame of one byte")
    code = int.from_bytes(payload[:2], "big")
    if not _sendable(code):
        raise FrameError(PROTOCOL_ERROR, f"close code {code}")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(BAD_DATA, "close reason is not UTF-8") from None
    return code


def _sendable(code: int) -> bool:
    return (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999


class Parser:
    """Bytes in, messages out. `limit` in bytes bounds a frame and the message made of several."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._opcode: int | None = None
        self._fragments = bytearray()  # not a list: that would grow with every empty fragment

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self._buffer += data

    def rest(self) -> bytes:
        """What has been fed and not been taken as a message; for who goes on in place of this parser."""
        return bytes(self._buffer)

    def next_message(self) -> Message | None:
        """The next message, or None until more bytes come. FrameError ends the connection."""
        while True:
            frame = self._next_frame()
            if frame is None:
                return None
            final, opcode, payload = frame
            if opcode >= CLOSE:
                return Message(opcode, payload)
            if (opcode == CONTINUATION) is (self._opcode is None):
                raise FrameError(PROTOCOL_ERROR, "fragments out of order")
            if final and opcode != CONTINUATION:
                return Message(opcode, payload)
            self._opcode = self._opcode or opcode
            self._fragments += payload
            if final:
                message = Message(self._opcode, bytes(self._fragments))
                self._opcode, self._fragments = None, bytearray()
                return message

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode, size, header = first & 0x0F, second & 0x7F, 2
        self._check(first, second)
        if size == 126:
            if len(buffer) < 4:
                return None
            (size,), header = struct.unpack_from("!H", buffer, 2), 4
        elif size == 127:
            if len(buffer) < 10:
                return None
            (size,), header = struct.unpack_from("!Q", buffer, 2), 10
        if opcode < CLOSE and len(self._fragments) + size > self._limit:
            # known before a byte of the payload is kept
            raise FrameError(TOO_BIG, f"message of more than {self._limit} bytes")
        end = header + 4 + size
        if len(buffer) < end:
            return None
        mask = bytes(buffer[header : header + 4])
        payload = unmask(bytes(buffer[header + 4 : end]), mask)
        del buffer[:end]
        return bool(first & 0x80), opcode, payload

    @staticmethod
    def _check(first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "reserved bits set; no extension was agreed on")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError(PROTOCOL_ERROR, f"opcode {opcode}")
        if not second & 0x80:
            raise FrameError(PROTOCOL_ERROR, "client frame without a mask")
        if opcode >= CLOSE and (not first & 0x80 or second & 0x7F > MAX_CONTROL_PAYLOAD):
            raise FrameError(PROTOCOL_ERROR, "control frame too long or fragmented")
