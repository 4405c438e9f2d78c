"""RTP of the tests' user agent: 20 ms of u-law or A-law tone or silence, digits, and what was received."""

from __future__ import annotations

import math
import socket
import struct
from collections import deque
from functools import cache

import gevent
import numpy as np
import numpy.typing as npt
import soxr
from gevent import socket as gsocket

PTIME_S = 0.02
RATE = 8000
SAMPLES = 160
EVENTS = "0123456789*#ABCD"


def ulaw(sample: int) -> int:
    """G.711 u-law of a 16-bit sample."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> exponent + 3) & 0x0F) & 0xFF


def ulaw_decode(byte: int) -> int:
    byte = ~byte & 0xFF
    magnitude = (((byte & 0x0F) << 3) + 132 << (byte >> 4 & 7)) - 132
    return -magnitude if byte & 0x80 else magnitude


@cache
def _encoded() -> npt.NDArray[np.uint8]:
    """The u-law of every fourth 16-bit sample, from the lowest on; those between have the same."""
    return np.array([ulaw(sample) for sample in range(-32768, 32768, 4)], np.uint8)


def ulaw_frames(samples: npt.NDArray[np.int16], rate: int) -> list[bytes]:
    """The packets of a sound; the last one is filled up with silence."""
    narrow = samples if rate == RATE else soxr.resample(samples, rate, RATE)
    encoded = _encoded()[(narrow.astype(np.int32) + 32768) >> 2].tobytes()
    return [encoded[at : at + SAMPLES].ljust(SAMPLES, b"\xff") for at in range(0, len(encoded), SAMPLES)]


DECODED = [ulaw_decode(byte) for byte in range(256)]


def tone_level(payload: bytes, frequency: float) -> float:
    """The amplitude (0..32767) of a frequency in u-law audio (one bin of a Fourier transform)."""
    samples = [DECODED[byte] for byte in payload]
    if len(samples) < SAMPLES:
        return 0.0
    step = 2 * math.pi * frequency / 8000
    real = sum(sample * math.cos(step * index) for index, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(step * index) for index, sample in enumerate(samples))
    return 2 * math.hypot(real, imaginary) / len(samples)


KEYS = {
    key: (low, high)
    for low, row in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for high, key in zip((1209, 1336, 1477, 1633), row, strict=True)
}


def key_tone(digit: str) -> npt.NDArray[np.int16]:
    """How a key sounds (ITU-T Q.23): 100 ms, and as much silence."""
    at = np.arange(RATE // 10) / RATE
    sound = sum(6000 * np.sin(2 * np.pi * frequency * at) for frequency in KEYS[digit])
    return np.concatenate([sound, np.zeros(RATE // 10)]).astype(np.int16)


class RtpStream:
    """One socket. Sends from `start` on, paced; keeps the last second it received."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = gsocket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.port = self._socket.getsockname()[1]
        self.payload_type = 0
        self.remote: tuple[str, int] | None = None
        self.frequency = 0.0
        self.saying: deque[bytes] = deque()
        """Packets that are sent one after the other, before anything else; u-law."""
        self.muted = False
        self.received = 0
        self.digits = ""
        self._last_digit_time = -1
        self.last: deque[bytes] = deque(maxlen=50)
        """The last second of what was received."""
        self.kept: list[bytes] | None = None
        """Every packet received from when this is set to a list."""
        self._sequence = 0
        self._timestamp = 0
        self._phase = 0
        self._greenlets = [gevent.spawn(self._receive)]
        self._digits_to_send: list[str] = []

    def start(self, remote: tuple[str, int], payload_type: int) -> None:
        """Send to this address from now on."""
        first = self.remote is None
        self.remote, self.payload_type = remote, payload_type
        if first:
            self._greenlets.append(gevent.spawn(self._send))

    def close(self) -> None:
        gevent.killall(self._greenlets)
        self._socket.close()

    def dial(self, digits: str) -> None:
        """Send RFC 4733 events, 100 ms each."""
        self._digits_to_send += digits

    def say(self, samples: npt.NDArray[np.int16], rate: int) -> None:
        """Send this sound, behind what is to be said already (PCMU only)."""
        self.saying += ulaw_frames(samples, rate)

    def level(self, frequency: float) -> float:
        """The amplitude (0..32767) of a frequency in the last received half second (PCMU only)."""
        return tone_level(b"".join(list(self.last)[-25:]), frequency)

    def forget(self) -> None:
        """Start listening anew."""
        self.last.clear()

    def _send(self) -> None:
        due = gevent.get_hub().loop.now()
        while True:
            if self._digits_to_send:
                self._send_digit(self._digits_to_send.pop(0))
                due = gevent.get_hub().loop.now()
            if not self.muted:
                self._packet(self._audio(), self.payload_type)
            self._timestamp += SAMPLES
            due += PTIME_S
            gevent.get_hub().loop.update_now()
            gevent.sleep(max(0.0, due - gevent.get_hub().loop.now()))

    def _audio(self) -> bytes:
        if self.saying and self.payload_type == 0:
            return self.saying.popleft()
        if not self.frequency or self.payload_type != 0:
            return bytes([0xD5 if self.payload_type == 8 else 0xFF]) * SAMPLES
        step = 2 * math.pi * self.frequency / 8000
        frame = bytes(ulaw(int(8000 * math.sin(step * (self._phase + index)))) for index in range(SAMPLES))
        self._phase += SAMPLES
        return frame

    def _send_digit(self, digit: str) -> None:
        start = self._timestamp
        for number in range(8):
            end = number >= 5
            duration = SAMPLES * min(number + 1, 6)
            payload = struct.pack("!BBH", EVENTS.index(digit), (0x80 if end else 0) | 10, duration)
            self._packet(payload, 101, start, number == 0)
            if not end:
                gevent.sleep(PTIME_S)
        self._timestamp = start + SAMPLES * 8
        gevent.sleep(PTIME_S * 2)

    def _packet(self, payload: bytes, kind: int, timestamp: int | None = None, mark: bool = False) -> None:
        stamp = self._timestamp if timestamp is None else timestamp
        head = struct.pack(
            "!BBHII", 0x80, kind | (0x80 if mark else 0), self._sequence, stamp & 0xFFFFFFFF, 77
        )
        self._sequence = self._sequence + 1 & 0xFFFF
        if self.remote is not None:
            self._socket.sendto(head + payload, self.remote)

    def _receive(self) -> None:
        while True:
            packet = self._socket.recv(2048)
            kind = packet[1] & 0x7F
            if kind == 101 and len(packet) >= 16:
                stamp = struct.unpack_from("!I", packet, 4)[0]
                if packet[13] & 0x80 and stamp != self._last_digit_time:
                    self._last_digit_time = stamp
                    self.digits += EVENTS[packet[12]] if packet[12] < 16 else "?"
            else:
                self.received += 1
                self.last.append(packet[12:])
                if self.kept is not None:
                    self.kept.append(packet[12:])
