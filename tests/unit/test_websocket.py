"""The hardened WebSocket over real sockets: every defect of gevent-websocket 0.10.1, shown gone."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import gevent
import pytest
import websocket
from gevent.event import AsyncResult
from gevent.pywsgi import WSGIServer

from vsi_esl.web import wsframes
from vsi_esl.web.websocket import HardenedHandler, WebSocketClosed

from .test_wsframes import masked

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Server:
    """A server whose application hands its WebSocket to the test, and echoes."""

    def __init__(self) -> None:
        self.connections: list = []
        self.results: list = []
        self.server = WSGIServer(
            ("127.0.0.1", 0), self.application, handler_class=HardenedHandler, log=None, error_log=None
        )
        self.server.ws_max_bytes = 1000
        self.server.ws_write_timeout = 5.0
        self.server.start()

    def application(self, environ, start_response):
        ws = environ.get("wsgi.websocket")
        if ws is None:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"plain"]
        done: AsyncResult = AsyncResult()
        self.connections.append(ws)
        self.results.append(done)
        try:
            while (message := ws.receive()) is not None:
                ws.send_text(message)
        except WebSocketClosed:
            pass
        done.set((ws.close_code, ws.close_reason))
        return []

    def raw(
        self, extra: bytes = b"", version: str = "13", key: str = KEY, http: str = "1.1"
    ) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.server.server_port), timeout=5)
        request = (
            f"GET / HTTP/{http}\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        sock.sendall(request.encode() + extra)
        return sock

    def open(self, extra: bytes = b"") -> socket.socket:
        sock = self.raw(extra)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head.lower()
        return sock

    def ended(self) -> tuple[int, str]:
        return self.results[-1].get(timeout=5)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.stop(0)


def read_frame(sock: socket.socket) -> tuple[int, bytes]:
    first, second = sock.recv(1), sock.recv(1)
    size = second[0]
    if size == 126:
        size = struct.unpack("!H", sock.recv(2))[0]
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return first[0] & 15, data


def close_code(sock: socket.socket) -> int:
    opcode, data = read_frame(sock)
    assert opcode == wsframes.CLOSE
    return struct.unpack("!H", data[:2])[0]


def test_frames_sent_together_with_the_upgrade_are_read(server):
    with server.open(masked(1, b"early")) as sock:
        assert read_frame(sock) == (wsframes.TEXT, b"early")


def test_a_frame_over_the_limit_is_refused_by_its_header(server):
    with server.open() as sock:
        sock.sendall(struct.pack("!BBQ", 0x81, 0xFF, 1 << 30))
        assert close_code(sock) == 1009
    assert server.ended() == (1009, "too_big")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (wsframes.encode(1, b"unmasked"), 1002),
        (masked(1, b"\xff\xfe"), 1007),
        (masked(8, b"\x03"), 1002),
        (masked(11, b""), 1002),
    ],
)
def test_broken_frames_close_with_their_code(server, frame, code):
    with server.open() as sock:
        sock.sendall(frame)
        assert close_code(sock) == code
    assert server.ended() == (code, "protocol")


def test_ping_payload_comes_back_byte_for_byte(server):
    payload = bytes(range(0, 250, 2))
    with server.open() as sock:
        sock.sendall(masked(9, payload))
        assert read_frame(sock) == (wsframes.PONG, payload)


def test_the_peers_close_code_is_echoed(server):
    with server.open() as sock:
        sock.sendall(masked(8, struct.pack("!H", 3001) + b"why"))
        assert close_code(sock) == 3001
        assert sock.recv(1) == b""
    assert server.ended() == (3001, "peer_close")


def test_our_close_waits_for_the_answer(server):
    with server.open() as sock:
        sock.sendall(masked(1, b"x"))
        read_frame(sock)
        server.connections[0].close(1001, "server shutting down")
        opcode, data = read_frame(sock)
        assert (opcode, data) == (wsframes.CLOSE, b"\x03\xe9server shutting down")
        with pytest.raises(WebSocketClosed):
            server.connections[0].send_text("more")
        sock.sendall(masked(8, b"\x03\xe9"))
        assert sock.recv(1) == b""
    assert server.ended() == (1001, "server shutting down")


def test_a_peer_that_never_answers_our_close_is_cut_off(server, monkeypatch):
    monkeypatch.setattr("vsi_esl.web.websocket.CLOSE_HANDSHAKE_S", 0.1)
    with server.open() as sock:
        sock.sendall(masked(1, b"x"))
        read_frame(sock)
        server.connections[0].close(1000)
        assert server.ended() == (1000, "closed")
        read_frame(sock)
        assert sock.recv(1) == b""


def test_a_peer_that_does_not_read_is_cut_off(server):
    server.server.ws_write_timeout = 0.1
    with server.open() as sock:
        sock.sendall(masked(1, b"x"))
        read_frame(sock)
        with pytest.raises(WebSocketClosed), gevent.Timeout(10):
            while True:
                server.connections[0].send_text(b"x" * 100_000)
        with pytest.raises(WebSocketClosed):
            server.connections[0].send_text("more")
    assert server.ended()[1] == "write_timeout"


def test_an_idle_peer_is_closed_when_that_is_wanted(server):
    server.server.ws_read_timeout = 0.1
    with server.open() as sock:
        assert close_code(sock) == 1001
        sock.sendall(masked(8, b"\x03\xe9"))
    assert server.ended() == (1001, "read_timeout")


def test_a_peer_that_vanishes(server):
    server.open().close()
    assert server.ended() == (1006, "error")


def test_two_writers_never_mix_their_frames(server):
    with server.open() as sock:
        sock.sendall(masked(1, b"x"))
        read_frame(sock)
        ws = server.connections[0]
        writers = [
            gevent.spawn(lambda char: [ws.send_text(char * 30_000) for _ in range(20)], char)
            for char in (b"a", b"b")
        ]
        for _ in range(40):
            opcode, data = read_frame(sock)
            assert opcode == wsframes.TEXT
            assert len(data) == 30_000 and len(set(data)) == 1
        gevent.joinall(writers, raise_error=True, timeout=5)


def test_the_gate_refuses_before_the_upgrade(server):
    server.server.ws_gate = lambda environ: ("403 Forbidden", [("Content-Length", "2")], b"no")
    with server.raw() as sock:
        assert sock.recv(100).startswith(b"HTTP/1.1 403 Forbidden")
    assert server.connections == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"key": "short"}, b"400"),
        ({"key": "!!!"}, b"400"),
        ({"key": ""}, b"400"),
        ({"version": "8"}, b"426"),
        ({"http": "1.0"}, b"400"),
    ],
)
def test_bad_handshakes(server, request_, status):
    with server.raw(**request_) as sock:
        answer = sock.recv(1000)
        assert answer.split()[1] == status
    assert server.connections == []


def test_a_plain_request_reaches_the_application(server):
    with socket.create_connection(("127.0.0.1", server.server.server_port), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in sock.recv(1000)


def test_a_well_known_client_gets_along(server):
    ws = websocket.create_connection(f"ws://127.0.0.1:{server.server.server_port}/", timeout=5)
    ws.send("größe")
    assert ws.recv() == "größe"
    ws.send("x" * 999)
    assert ws.recv() == "x" * 999
    ws.close()
    ws.shutdown()
    assert server.ended()[1] == "peer_close"
