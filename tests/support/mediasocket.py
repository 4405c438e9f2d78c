"""The other end of a WebSocket with media: one that a test opens, and one that it waits for."""

from __future__ import annotations

import json
import socket
import struct
import time
from base64 import b64decode, b64encode
from typing import Any
from urllib.parse import quote

import gevent
import numpy as np
import numpy.typing as npt
import soxr
from gevent.event import Event as Signal
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import CONNECTING, OPEN, Protocol
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from . import hearing, listen
from .waiting import eventually

AMPLITUDE = 8000
FRAME_S = 0.02
HEARD_RATE = 8000
BINARY, JSON = "binary", "json_base64"


OPEN_PEERS: list[MediaPeer] = []
"""For `close_all`."""


def close_all() -> None:
    """At the end of a test."""
    while OPEN_PEERS:
        OPEN_PEERS.pop().hang_up()


class Refused(Exception):
    """The upgrade was not made."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status, self.body = status, body

    @property
    def error(self) -> str:
        """Of a JSON body."""
        error: str = json.loads(self.body)["error"]
        return error


class MediaPeer:
    """One connection after its handshake. `messages` are the JSON texts that are no audio, `sizes` the bytes
    of each message of audio, `heard` the samples."""

    def __init__(self, sock: socket.socket, protocol: Protocol, wire: str, rate: int) -> None:
        self.socket = sock
        self.protocol = protocol
        self.wire, self.rate = wire, rate
        self.messages: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.heard: list[bytes] = []
        self.came: list[float] = []
        """When each message of audio came."""
        self.opcodes: list[Opcode] = []
        self.closed = Signal()
        self.how = ""
        """eof, reset or close: how the other side ended it."""
        self._speaking: gevent.Greenlet | None = None
        self._reading: gevent.Greenlet | None = gevent.spawn(self._read)
        OPEN_PEERS.append(self)

    # -- what it says ------------------------------------------------------------------------------------

    def send(self, message: dict[str, Any]) -> None:
        self.protocol.send_text(json.dumps(message).encode())
        self.flush()

    def send_raw(self, text: bytes) -> None:
        self.protocol.send_text(text)
        self.flush()

    def say(self, pcm: bytes) -> None:
        """Audio in one message."""
        if self.wire == BINARY:
            self.protocol.send_binary(pcm)
        else:
            self.protocol.send_text(json.dumps({"audio": b64encode(pcm).decode()}).encode())
        self.flush()

    def says(self, frequency: float) -> None:
        """A tone, a message each 20 ms, until it says something else; 0 is nothing."""
        if self._speaking is not None:
            self._speaking.kill()
        self._speaking = gevent.spawn(self._speak, frequency) if frequency else None

    def _speak(self, frequency: float) -> None:
        size = round(self.rate * FRAME_S)
        begun, number = time.monotonic(), 0
        while not self.closed.is_set():
            times = (np.arange(size) + number * size) / self.rate
            tone = AMPLITUDE * np.sin(2 * np.pi * frequency * times)
            self.say(tone.astype("<i2").tobytes())
            number += 1
            gevent.sleep(max(0.0, begun + number * FRAME_S - time.monotonic()))

    def flush(self) -> None:
        try:
            for data in self.protocol.data_to_send():
                if data:
                    self.socket.sendall(data)
        except OSError:
            self.closed.set()

    # -- what it hears -----------------------------------------------------------------------------------

    def hears(self, frequency: float, wanted: bool = True) -> None:
        """Until the last half second that came has the tone, or has it not."""
        first = len(self.heard)
        begun = time.monotonic()

        def received() -> npt.NDArray[np.int16] | None:
            frames = self.heard[first:][-hearing.HALF_SECOND :]
            if len(frames) < hearing.HALF_SECOND:
                quiet = not frames and time.monotonic() - begun > 0.5
                return np.zeros(0, np.int16) if quiet else None
            samples = np.frombuffer(b"".join(frames), "<i2")
            found: npt.NDArray[np.int16] = soxr.resample(samples, self.rate, HEARD_RATE)
            return found

        hearing.until(received, frequency, wanted)

    def message(self, kind: str, timeout: float = 20.0) -> dict[str, Any]:
        """The next message of this type; it is taken."""

        def there() -> bool:
            return any(one.get("type") == kind for one in self.messages)

        eventually(there, f"a message {kind} in {self.messages}", timeout)
        found = next(one for one in self.messages if one.get("type") == kind)
        self.messages.remove(found)
        return found

    def level(self, frequency: float) -> float:
        """Of a tone, in the last half second."""
        samples = np.frombuffer(b"".join(self.heard[-hearing.HALF_SECOND :]), "<i2")
        return float(listen.levels(samples, self.rate, frequency, 500).max(initial=0.0))

    # -- its end -----------------------------------------------------------------------------------------

    def stall(self) -> None:
        """Read nothing any more."""
        if self._reading is not None:
            self._reading.kill()
            self._reading = None

    def reset(self) -> None:
        """End it without a word."""
        self.says(0)
        self.stall()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.closed.set()

    def close(self, code: int = 1000) -> None:
        """With a close frame."""
        self.says(0)
        if self.protocol.state is OPEN:
            self.protocol.send_close(code)
            self.flush()

    def hang_up(self) -> None:
        """End the TCP connection."""
        self.says(0)
        self.stall()
        self.socket.close()
        self.closed.set()

    def ended(self, timeout: float = 20.0) -> str:
        """Wait until the other side has ended it; how."""
        assert self.closed.wait(timeout), "the connection is still there"
        return self.how

    def _read(self) -> None:
        self._take()
        try:
            while data := self.socket.recv(65536):
                self.protocol.receive_data(data)
                self._take()
                self.flush()
            self.how = self.how or "eof"
        except OSError:
            self.how = self.how or "reset"
        self.closed.set()

    def _take(self) -> None:
        for event in self.protocol.events_received():
            if not isinstance(event, Frame):
                continue
            self.opcodes.append(event.opcode)
            if event.opcode is Opcode.CLOSE:
                self.how = "close"
            elif event.opcode is Opcode.BINARY:
                self._hear(bytes(event.data))
            elif event.opcode is Opcode.TEXT:
                found = json.loads(event.data)
                if "audio" in found and len(found) == 1:
                    self._hear(b64decode(found["audio"]))
                else:
                    self.messages.append(found)

    def _hear(self, pcm: bytes) -> None:
        self.sizes.append(len(pcm))
        self.heard.append(pcm)
        self.came.append(time.monotonic())


def opened(
    address: str,
    path: str,
    *,
    wire: str = BINARY,
    rate: int = 16000,
    headers: dict[str, str] | None = None,
    small: bool = False,
    **query: Any,
) -> MediaPeer:
    """Open one at a server (host:port); Refused with its answer. `small` has the kernel keep little of what
    comes."""
    text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    uri = f"ws://{address}{path}" + (f"?{text}" if text else "")
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.settimeout(20)
    sock.connect((host, int(port)))
    protocol = ClientProtocol(parse_uri(uri))
    request = protocol.connect()
    for name, value in (headers or {}).items():
        request.headers[name] = value
    protocol.send_request(request)
    sock.sendall(b"".join(protocol.data_to_send()))
    while protocol.state is CONNECTING and protocol.handshake_exc is None:
        data = sock.recv(65536)
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
    if protocol.handshake_exc is not None:
        sock.close()
        if isinstance(protocol.handshake_exc, InvalidStatus):
            answer = protocol.handshake_exc.response
            raise Refused(answer.status_code, bytes(answer.body or b""))
        raise protocol.handshake_exc
    sock.settimeout(None)
    return MediaPeer(sock, protocol, wire, rate)


def leg_socket(
    server: Any, *, wire: str = BINARY, rate: int = 16000, more: dict[str, Any] | None = None, **query: Any
) -> MediaPeer:
    """An inbound leg's."""
    if wire != BINARY:
        query["wire_format"] = wire
    if rate != 16000:
        query["sample_rate"] = rate
    return opened(server.address, "/v1/legs/websocket", wire=wire, rate=rate, **(more or {}), **query)


def leg_up(client: Any, server: Any, **query: Any) -> tuple[MediaPeer, str]:
    """An inbound leg that is up, also for the client: its peer, and its id."""
    peer = leg_socket(server, **query)
    leg = peer.message("connected")["leg_id"]
    client.event("leg.connected", leg_id=leg)
    if "room_id" in query:
        client.event("leg.joined_room", leg_id=leg)
    return peer, leg


class MediaServer:
    """Waits on a port of loopback for who opens WebSockets. `status` is what it answers when it is not 101;
    0 answers nothing. `requests` are the headers of those that asked."""

    def __init__(self, *, wire: str = BINARY, rate: int = 16000) -> None:
        self.wire, self.rate = wire, rate
        self.status = 101
        self.peers: list[MediaPeer] = []
        self.requests: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._accepting = gevent.spawn(self._accept)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._socket.getsockname()[1]}/media"

    def peer(self, number: int = 1) -> MediaPeer:
        """The one that came as this number."""
        eventually(lambda: len(self.peers) >= number, f"connection {number}")
        return self.peers[number - 1]

    def stop(self) -> None:
        self._accepting.kill()
        self._socket.close()
        for one in self._connections:
            one.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._socket.accept()
            self._connections.append(sock)
            gevent.spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        protocol = ServerProtocol()
        try:
            while not (events := protocol.events_received()):
                data = sock.recv(65536)
                if not data:
                    return
                protocol.receive_data(data)
            request = events[0]
            self.requests.append(dict(request.headers.raw_items()))
            self.paths.append(request.path)
            if not self.status:
                return
            taken = self.status == 101
            protocol.send_response(protocol.accept(request) if taken else protocol.reject(self.status, "no"))
            sock.sendall(b"".join(protocol.data_to_send()))
        except OSError:
            return
        if self.status == 101:
            self.peers.append(MediaPeer(sock, protocol, self.wire, self.rate))
        else:
            sock.close()
