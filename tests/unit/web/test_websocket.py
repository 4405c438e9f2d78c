"""The hardened WebSocket over real sockets: every defect of gevent-websocket 0.10.1, shown gone."""

from __future__ import annotations

import gc
import socket
import struct
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gevent
import pytest
import websocket
from gevent.event import AsyncResult, Event
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

from tests.support.frames import masked
from vsi_esl.web import wsframes
from vsi_esl.web.handler import HardenedHandler
from vsi_esl.web.websocket import HardenedWebSocket, WebSocketClosed

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Server:
    """A server whose application hands its WebSocket to the test, and echoes or does what `act` says."""

    def __init__(self, handler: type[WebSocketHandler] = HardenedHandler) -> None:
        self.connections: list = []
        self.results: list = []
        self.requests: list = []
        self.act: Callable = self.echo
        self.handled = handled = Event()

        class Handler(handler):
            def handle(self):
                super().handle()
                handled.set()

        self.server = WSGIServer(
            ("127.0.0.1", 0), self.application, handler_class=Handler, log=None, error_log=None
        )
        self.server.ws_max_bytes = 1000
        self.server.ws_write_timeout = 5.0
        self.server.start()

    def application(self, environ, start_response):
        self.requests.append(environ["PATH_INFO"])
        ws = environ.get("wsgi.websocket")
        if ws is None:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"plain"]
        done: AsyncResult = AsyncResult()
        self.connections.append(ws)
        self.results.append(done)
        try:
            self.act(ws)
        except WebSocketClosed:
            pass
        finally:
            done.set((getattr(ws, "close_code", None), getattr(ws, "close_reason", None)))
        return []

    @staticmethod
    def echo(ws):
        while (message := ws.receive()) is not None:
            ws.send(message)

    def raw(
        self,
        extra: bytes = b"",
        version: str | None = "13",
        key: str = KEY,
        http: str = "1.1",
        headers: str = "",
    ) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.server.server_port), timeout=20)
        if version is not None:
            headers += f"Sec-WebSocket-Version: {version}\r\n"
        request = (
            f"GET / HTTP/{http}\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            f"{headers}Sec-WebSocket-Key: {key}\r\n\r\n"
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
        return self.results[-1].get(timeout=20)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.stop(0)


@pytest.fixture
def base_server() -> Iterator[Server]:
    """gevent-websocket as shipped, to show that a defect is one."""
    server = Server(WebSocketHandler)
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


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while received := sock.recv(4096):
        data += received
    return data


def close_code(sock: socket.socket) -> int:
    opcode, data = read_frame(sock)
    assert opcode == wsframes.CLOSE
    return struct.unpack("!H", data[:2])[0]


def test_frames_sent_together_with_the_upgrade_are_read(server):
    with server.open(masked(1, b"early") + masked(2, b"\xff") + masked(1, b"late")[:3]) as sock:
        assert read_frame(sock) == (wsframes.TEXT, b"early")
        assert read_frame(sock) == (wsframes.BINARY, b"\xff")


def test_small_frames_do_not_wait_for_an_acknowledgement(server):
    with server.open(masked(1, b"x")) as sock:
        read_frame(sock)
        assert server.connections[0]._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_frame_over_the_limit_is_refused_by_its_header(server):
    with server.open() as sock:
        sock.sendall(struct.pack("!BBQ", 0x81, 0xFF, 1 << 30))
        assert close_code(sock) == 1009
    assert server.ended() == (1009, "too_big")


def test_a_peer_that_sends_on_can_read_why_it_was_refused(server):
    """A socket closed over unread data resets the connection, and takes the close frame with it."""
    with server.open() as sock:
        sock.sendall(masked(1, b"x" * (8 << 20)))
        assert close_code(sock) == 1009
        assert sock.recv(1) == b""
        assert server.handled.wait(20) is True


def test_a_peer_that_never_stops_sending_is_cut_off(server, monkeypatch):
    monkeypatch.setattr("vsi_esl.web.websocket.CLOSE_HANDSHAKE_S", 0.1)
    with server.open() as sock, pytest.raises(OSError), gevent.Timeout(20):
        while True:
            sock.sendall(masked(1, b"x" * 10_000))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (wsframes.encode(1, b"unmasked"), 1002),
        (masked(1, b"x", first=0xC1), 1002),
        (masked(9, b"x", fin=False), 1002),
        (masked(0, b"nothing to continue"), 1002),
        (masked(1, b"\xff\xfe"), 1007),
        (masked(1, b"\xc3", fin=False) + masked(0, b"("), 1007),
        (masked(8, b"\x03"), 1002),
        (masked(8, struct.pack("!H", 1005)), 1002),
        (masked(8, struct.pack("!H", 2999)), 1002),
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


def test_the_base_takes_unmasked_frames_and_breaks_close_codes(base_server):
    with base_server.open() as sock:
        sock.sendall(wsframes.encode(1, b"unmasked"))
        assert read_frame(sock) == (wsframes.TEXT, b"unmasked")
        sock.sendall(masked(8, struct.pack("!H", 3001) + b"why"))
        assert close_code(sock) != 3001


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
        with pytest.raises(WebSocketClosed), gevent.Timeout(20):
            while True:
                server.connections[0].send_text(b"x" * 100_000)
        with pytest.raises(WebSocketClosed):
            server.connections[0].send_text("more")
        assert server.ended()[1] == "write_timeout"
        assert server.handled.wait(20) is True
        with pytest.raises(ConnectionResetError):  # the kernel keeps nothing for such a peer
            read_all(sock)


def test_an_idle_peer_is_closed_when_that_is_wanted(server):
    server.server.ws_read_timeout = 0.1
    with server.open() as sock:
        assert close_code(sock) == 1001
        sock.sendall(masked(8, b"\x03\xe9"))
    assert server.ended() == (1001, "read_timeout")


def test_a_deadline_of_the_caller_is_not_taken_for_our_own(server):
    caught: AsyncResult = AsyncResult()

    def act(ws):
        try:
            with gevent.Timeout(0.05):
                caught.set(ws.receive())
        except gevent.Timeout:
            caught.set("the caller's")
        server.echo(ws)

    server.act = act
    server.server.ws_read_timeout = 30
    with server.open() as sock:
        assert caught.get(timeout=20) == "the caller's"
        sock.sendall(masked(1, b"still here"))
        assert read_frame(sock) == (wsframes.TEXT, b"still here")


def test_a_writer_killed_in_mid_frame_ends_the_connection(server):
    """The next frame would be read as the rest of the one that was cut."""
    with server.open(masked(1, b"x")) as sock:
        read_frame(sock)
        ws = server.connections[0]
        writer = gevent.spawn(ws.send_text, b"x" * (32 << 20))
        assert sock.recv(1) == b"\x81"
        writer.kill()
        with pytest.raises(WebSocketClosed):
            ws.send_text("next")
    assert server.ended() == (1006, "error")


def test_a_writer_killed_before_its_frame_does_no_harm(server):
    with server.open(masked(1, b"x")) as sock:
        read_frame(sock)
        ws = server.connections[0]
        first = gevent.spawn(ws.send_text, b"x" * (32 << 20))
        assert sock.recv(1) == b"\x81"
        waits = gevent.spawn(ws.send_text, b"never")
        gevent.sleep(0)
        waits.kill()
        left = (32 << 20) + 9
        while left:
            left -= len(sock.recv(min(left, 1 << 20)))
        first.join(5)
        ws.send_text("next")
        assert read_frame(sock) == (wsframes.TEXT, b"next")


def test_a_reader_with_much_to_read_lets_the_others_run(server):
    turns: AsyncResult = AsyncResult()

    def act(ws):
        count = 0

        def other():
            nonlocal count
            while True:
                count += 1
                gevent.sleep(0)

        greenlet = gevent.spawn(other)
        for _ in range(200):
            ws.receive()
        turns.set(count)
        greenlet.kill()

    server.act = act
    with server.open(masked(1, b"x") * 200):
        assert turns.get(timeout=20) > 5


def test_burst_in_one_write(server):
    server.act = lambda ws: ws.send_many([b"one", b"", b"x" * 300])
    with server.open() as sock:
        assert [read_frame(sock) for _ in range(3)] == [(1, b"one"), (1, b""), (1, b"x" * 300)]


def test_the_sending_of_the_base_goes_the_same_way(server):
    with server.open(masked(1, b"x")) as sock:
        read_frame(sock)
        ws = server.connections[0]
        ws.send("größe")
        assert read_frame(sock) == (wsframes.TEXT, "größe".encode())
        ws.send(b"\xff")
        assert read_frame(sock) == (wsframes.BINARY, b"\xff")
        ws.close()
        with pytest.raises(WebSocketClosed):
            ws.send("late")


@pytest.mark.parametrize("code", [0, 1004, 1005, 1006, 1015, 2000, 5000])
def test_reserved_codes_are_not_sent(server, code):
    with server.open(masked(1, b"x")) as sock:
        read_frame(sock)
        with pytest.raises(ValueError, match="close code"):
            server.connections[0].close(code)
        server.connections[0].close(4999)
        assert close_code(sock) == 4999


def test_an_application_that_returns_waits_for_the_peers_answer(server):
    server.act = lambda ws: None
    with server.open() as sock:
        assert close_code(sock) == 1000
        assert not server.handled.is_set()
        sock.sendall(masked(8, b"\x03\xe8"))
        assert sock.recv(1) == b""
    assert server.handled.wait(20) is True


def test_an_application_that_fails(server):
    def act(ws):
        raise RuntimeError("told to fail")

    server.act = act
    with server.open() as sock:
        assert read_frame(sock) == (wsframes.CLOSE, struct.pack("!H", 1011) + b"internal error")


def test_abort_wakes_the_reader(server):
    with server.open(masked(1, b"x")) as sock:
        read_frame(sock)
        server.connections[0].abort()
        assert server.ended() == (1006, "closed")
        assert server.handled.wait(20) is True


def test_a_reader_left_behind_wakes_up(server):
    left: AsyncResult = AsyncResult()

    def act(ws):
        gevent.spawn(lambda: left.set(ws.receive()))
        gevent.sleep(0)

    server.act = act
    with server.open():
        assert left.get(timeout=20) is None


def test_a_writer_left_behind_wakes_up(server):
    left: AsyncResult = AsyncResult()

    def act(ws):
        def write():
            try:
                left.set(ws.send_text(b"x" * (32 << 20)))
            except WebSocketClosed as closed:
                left.set(str(closed))

        gevent.spawn(write)
        gevent.sleep(0)

    server.act = act
    server.server.ws_write_timeout = 0.1
    with server.open():
        assert left.get(timeout=20) == "write_timeout"


def test_the_garbage_collector_sends_nothing():
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as rfile:
        ws = HardenedWebSocket(
            {}, SimpleNamespace(read=None, write=None), SimpleNamespace(socket=ours, rfile=rfile)
        )
        del ws
        gc.collect()
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


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


def test_frames_after_a_refusal_are_not_read_as_requests(server):
    server.server.ws_gate = lambda environ: ("403 Forbidden", [("Content-Length", "2")], b"no")
    with server.raw(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
        assert read_all(sock).count(b"HTTP/1.1 ") == 1
    assert server.requests == []


def test_a_gate_that_fails_lets_nobody_in(server):
    server.server.ws_gate = lambda environ: 1 / 0
    with server.raw() as sock:
        assert sock.recv(100).startswith(b"HTTP/1.1 500 ")
    assert server.connections == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"key": "short"}, b"400"),
        ({"key": "!!!"}, b"400"),
        ({"key": ""}, b"400"),
        ({"version": "8"}, b"426"),
        ({"version": None}, b"426"),
        ({"http": "1.0"}, b"400"),
        ({"headers": "Content-Length: 5\r\n"}, b"400"),
        ({"headers": "Transfer-Encoding: chunked\r\n"}, b"400"),
    ],
)
def test_bad_handshakes(server, request_, status):
    with server.raw(**request_) as sock:
        answer = read_all(sock)  # to the end: no body is waited for
        assert answer.split()[1] == status
        assert (b"\r\nSec-WebSocket-Version: 13\r\n" in answer) is (status == b"426")
    assert server.connections == []


def test_the_base_fails_at_a_key_that_is_no_base64(base_server):
    with base_server.raw(key="short") as sock:
        assert sock.recv(100).startswith(b"HTTP/1.1 500 ")


def test_a_plain_request_reaches_the_application(server):
    with socket.create_connection(("127.0.0.1", server.server.server_port), timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in sock.recv(1000)


def test_a_well_known_client_gets_along(server):
    ws = websocket.create_connection(f"ws://127.0.0.1:{server.server.server_port}/", timeout=20)
    ws.send("größe")
    assert ws.recv() == "größe"
    ws.send("x" * 999)
    assert ws.recv() == "x" * 999
    ws.close()
    ws.shutdown()
    assert server.ended()[1] == "peer_close"
