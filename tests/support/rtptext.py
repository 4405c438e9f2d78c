"""Real-time text of the tests' user agent (RFC 4103). It sends no older generations, but reads them."""

from __future__ import annotations

import socket
import struct

import gevent
from gevent import socket as gsocket


class TextStream:
    """One socket for T.140 in UTF-8; `received` is all that came, in order. `by_timestamp` is what is left of
    it for a peer that takes each RTP timestamp once, since it tells redundancy by it (RFC 2198)."""

    def __init__(self, payload_type: int = 98, red: int = 0) -> None:
        self._socket = gsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.payload_type = payload_type
        self.red = red
        self.received = self.by_timestamp = ""
        self._timestamps: set[bytes] = set()
        self._remote: tuple[str, int] | None = None
        self._sequence = 0
        self._timestamp = 0
        self._reader = gevent.spawn(self._receive)

    def start(self, port: int) -> None:
        """Where to send what is typed."""
        self._remote = ("127.0.0.1", port)

    @property
    def agreed(self) -> bool:
        """Whether it is known where to send text."""
        return self._remote is not None

    def type(self, text: str) -> None:
        """Send a text in one packet."""
        assert self._remote is not None, "no text was agreed on"
        mark = 0x80 if self._sequence == 0 else 0
        kind = self.red or self.payload_type
        head = struct.pack("!BBHII", 0x80, kind | mark, self._sequence, self._timestamp, 4103)
        if self.red:
            head += bytes([self.payload_type])
        self._sequence += 1
        self._timestamp += 300
        self._socket.sendto(head + text.encode(), self._remote)

    def close(self) -> None:
        self._reader.kill()
        self._socket.close()

    def _receive(self) -> None:
        while True:
            packet = self._socket.recv(2048)
            kind = packet[1] & 0x7F
            if kind == self.payload_type:
                text = packet[12:].decode("utf-8", "replace")
            elif self.red and kind == self.red:
                text = _primary(packet[12:]).decode("utf-8", "replace")
            else:
                continue
            self.received += text
            if packet[4:8] not in self._timestamps:
                self._timestamps.add(packet[4:8])
                self.by_timestamp += text


def _primary(payload: bytes) -> bytes:
    """The newest block of a redundant payload (RFC 2198): the others' headers have 4 bytes, its has one."""
    older = 0
    position = 0
    while payload[position] & 0x80:
        older += int.from_bytes(payload[position + 2 : position + 4], "big") & 0x3FF
        position += 4
    return payload[position + 1 + older :]
