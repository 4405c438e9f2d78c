"""A WebSocket in a media worker: handed over and dialled, its deadlines, its buffer, and why it ended."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from websockets.server import ServerProtocol

from tests.support.inasyncio import in_asyncio
from tests.support.mediaworker import MediaWorker, Session, Unicast
from vsi_esl.media.messages import UNICAST, Close, Closed, Ear, Mouth, Open, Opened, Ping, Pong, Report, Tell
from vsi_esl.media.surplus import Surplus
from vsi_esl.media.tasks.websocket import TEXTS_A_SECOND, TEXTS_AT_ONCE, Conversation

RATE = 16000
FRAME = b"\x10\x20" * 320
WAIT_S = 20.0


class Peer:
    """The other end of a connection that is open already."""

    def __init__(self, sock: socket.socket, side: Side) -> None:
        self.socket = sock
        self.socket.settimeout(WAIT_S)
        self.protocol = Protocol(side, state=OPEN)
        self.frames: list[Frame] = []

    def send(self, *messages: str | bytes | dict) -> None:
        """Several go out in one piece."""
        for message in messages:
            if isinstance(message, bytes):
                self.protocol.send_binary(message)
            else:
                text = json.dumps(message) if isinstance(message, dict) else message
                self.protocol.send_text(text.encode())
        self.socket.sendall(b"".join(self.protocol.data_to_send()))

    def frame(self) -> Frame | None:
        """The next; None at the end."""
        while not self.frames:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.protocol.receive_data(data)
            self.frames += [one for one in self.protocol.events_received() if isinstance(one, Frame)]
        return self.frames.pop(0)

    def text(self) -> dict:
        """The next text."""
        while (frame := self.frame()) is not None:
            if frame.opcode is Opcode.TEXT:
                found: dict = json.loads(frame.data)
                return found
        raise AssertionError("it is over")

    def over(self) -> bool:
        """Read on to the end."""
        with suppress(TimeoutError):
            while self.frame() is not None:
                pass
            return True
        return False


@pytest.fixture(scope="module")
def lasting() -> Iterator[MediaWorker]:
    with MediaWorker() as worker:
        yield worker


@pytest.fixture
def worker(lasting: MediaWorker) -> Iterator[MediaWorker]:
    yield lasting
    while opened:
        opened.pop().close()


opened: list[socket.socket] = []
"""By a test; they are closed at its end."""


numbers = iter(range(1000))


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection: the worker's, and ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        opened.append(ours)
    return theirs, ours


def begun(worker: MediaWorker, wire: str = "binary", *, hand: bool = True, read: bytes = b"", **more):
    """A session with a connection, attached and open: its name, the peer, the switch."""
    name = f"s{next(numbers)}"
    worker.send(
        Open(
            session=name,
            task="websocket",
            parameters={
                "wire": wire,
                "rate": RATE,
                "texts": True,
                "welcome": {"type": "connected", "a": 1},
                **more,
            },
            ear=Ear(kind=UNICAST, rate=RATE, heard_at=RATE),
            mouth=Mouth(rate=RATE),
            patience_s=WAIT_S,
        )
    )
    port = worker.expect(Opened, name).port
    peer = None
    if hand:
        theirs, ours = connected()
        worker.hand_over(name, theirs, read)
        peer = Peer(ours, Side.CLIENT)
    switch = Unicast(port)
    opened.append(switch.socket)
    switch.send(bytes(640))
    if hand:
        worker.expect(Report, name, "open")
        assert peer.text() == {"a": 1, "type": "connected"}
    return name, peer, switch


def reason(worker: MediaWorker, name: str) -> str:
    """The last word of its task; then it is closed."""
    said: str = worker.expect(Report, name, "over").data["reason"]
    assert worker.expect(Closed, name).reason == "done"
    return said


def figure(worker: MediaWorker, name: str, figure: str) -> float:
    worker.send(Close(session=name))
    return float(worker.expect(Closed, name).figures.get(figure, 0))


def frames_in(worker: MediaWorker) -> float:
    """How many the worker has heard in all."""
    worker.send(Ping(number=1))
    return float(worker.expect(Pong).figures.get("frames_in", 0))


def test_audio_and_texts_both_ways(worker):
    name, peer, switch = begun(worker)
    switch.send(FRAME)
    while (frame := peer.frame()) is not None and bytes(frame.data) != FRAME:
        assert frame.opcode is Opcode.BINARY and len(frame.data) == 640
    peer.send(FRAME)
    assert switch.receive() == FRAME
    peer.send({"type": "text", "text": "hello"})
    assert worker.expect(Report, name, "text").data == {"text": "hello"}
    worker.send(Tell(session=name, what="text", value="you"))
    assert peer.text() == {"type": "text", "text": "you"}
    peer.send({"type": "hangup"})
    assert peer.over()
    assert reason(worker, name) == "hangup"


def test_in_base64(worker):
    name, peer, switch = begun(worker, "json_base64")
    switch.send(FRAME)
    encoded = b64encode(FRAME).decode()
    while peer.text() != {"audio": encoded}:
        pass
    for message in ({"audio": encoded}, {"type": "audio", "audio": encoded}):
        peer.send(message)
        assert switch.receive() == FRAME
    peer.send(FRAME)
    peer.send({"type": "ping", "event_id": 5})
    assert peer.text() == {"type": "pong", "event_id": 5}
    assert figure(worker, name, "malformed") == 0
    assert peer.over()


def test_no_frame_of_the_switch_is_silence(worker):
    name, peer, switch = begun(worker)
    peer.frames.clear()
    switch.send(b"\xff" * 640)
    frame = peer.frame()
    while frame is not None and frame.opcode is not Opcode.BINARY:
        frame = peer.frame()
    assert bytes(frame.data) == bytes(640)
    worker.send(Close(session=name))


def test_what_was_read_already_comes_first(worker):
    protocol = Protocol(Side.CLIENT, state=OPEN)
    protocol.send_text(b'{"type":"ping","event_id":3}')
    read = b"".join(protocol.data_to_send())
    _, peer, _ = begun(worker, read=read[:9] + read[9:])
    # it was answered before the welcome
    peer.send({"type": "ping", "event_id": 4})
    assert peer.text() == {"type": "pong", "event_id": 4}


def test_more_than_a_second_that_waits_is_dropped_whole(worker):
    name, peer, _ = begun(worker)
    peer.send(*[FRAME * 20] * 4, bytes(2 * RATE + 2), {"type": "ping", "event_id": 1})
    assert peer.text() == {"type": "pong", "event_id": 1}
    assert figure(worker, name, "overruns") >= 2


def test_what_is_late_catches_up_in_silence(worker):
    """Behind a burst, silence is left out and sound is not."""
    name, peer, switch = begun(worker)
    peer.send(FRAME * 20, *[bytes(640)] * 10, FRAME, {"type": "ping", "event_id": 1})
    assert peer.text()["type"] == "pong"
    heard = [switch.receive() for _ in range(21)]
    assert heard.count(FRAME) >= 20 and heard.count(bytes(640)) <= 1
    assert figure(worker, name, "caught_up_s") >= 0.179


def test_what_waits_and_is_not_needed_becomes_less():
    session = Session()
    task = Conversation(session, {"wire": "binary", "rate": RATE, "texts": False})
    task._open = True
    now = [0.0]
    task._surplus = Surplus(RATE, lambda: now[0])
    session.voice.waiting_ms = 90.0
    for number in range(200):
        now[0] = number * 0.02
        task._heard(FRAME if number < 150 else bytes(640))
    assert session.counters["cut_s"] == pytest.approx(0.02)
    assert session.counters["caught_up_s"] == pytest.approx(0.04)
    said = sum(len(pcm) for pcm, _ in session.voice.pieces)
    assert said / 2 / RATE == pytest.approx(200 * 0.02 - 0.02 - 0.04)


def test_while_nothing_runs_nothing_is_sent(worker):
    name, peer, switch = begun(worker, running=False)
    before = frames_in(worker)
    switch.send(FRAME)
    while frames_in(worker) == before:
        pass
    worker.send(Tell(session=name, what="running", value=True))
    frames_in(worker)  # answered behind it
    switch.send(FRAME[::-1])
    frame = peer.frame()
    assert bytes(frame.data) == FRAME[::-1]
    worker.send(Close(session=name))


def test_meanwhile_what_is_not_silent_may_be(worker):
    name, peer, switch = begun(worker, running=False, sounds=True)
    for frame in (bytes(640), b"\xff" * 640, FRAME, bytes(640)):
        switch.send(frame)
    assert [bytes(peer.frame().data) for _ in range(2)] == [FRAME, bytes(640)]
    worker.send(Close(session=name))


def test_texts_are_bounded(worker):
    name, peer, _ = begun(worker)
    began = time.monotonic()
    short = {"type": "text", "text": "y"}
    peer.send({"type": "text", "text": "x" * 16_385}, *[short] * 300, {"type": "ping", "event_id": 1})
    assert peer.text()["type"] == "pong"
    taken = TEXTS_AT_ONCE + (time.monotonic() - began) * TEXTS_A_SECOND
    assert figure(worker, name, "texts_dropped") >= 301 - taken


@pytest.mark.parametrize(
    ("code", "why"), [(1000, "hangup"), (1001, "hangup"), (1011, "ws_error"), (3000, "ws_error")]
)
def test_close_codes(worker, code, why):
    name, peer, _ = begun(worker)
    peer.protocol.send_close(code)
    peer.socket.sendall(b"".join(peer.protocol.data_to_send()))
    assert peer.over()
    assert reason(worker, name) == why


@pytest.mark.parametrize("bytes_", [b"\x83\x80", b"\x81\x05hello", b"\x82\xff" + b"\x7f" * 8 + bytes(4)])
def test_what_is_no_frame_ends_it(worker, bytes_):
    """Of an unknown kind, not masked, too large."""
    name, peer, _ = begun(worker)
    peer.socket.sendall(bytes_)
    assert peer.over()
    assert reason(worker, name) == "ws_error"


def test_a_message_in_pieces(worker):
    name, peer, _ = begun(worker)
    peer.protocol.send_text(b'{"type":"text",', fin=False)
    peer.protocol.send_ping(b"in between")
    peer.protocol.send_continuation(b'"text":"whole"}', fin=True)
    peer.socket.sendall(b"".join(peer.protocol.data_to_send()))
    assert worker.expect(Report, name, "text").data == {"text": "whole"}
    worker.send(Close(session=name))


def test_silence_and_slowness(worker):
    name, _, _ = begun(worker, read_s=0.2)
    assert reason(worker, name) == "timeout"
    name, peer, switch = begun(worker, write_s=0.2)
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    for _ in range(900):
        switch.send(FRAME)
        time.sleep(0.0005)
    assert reason(worker, name) == "peer_slow"


def test_nothing_is_handed_over(worker, monkeypatch):
    name, _, switch = begun(worker, hand=False)
    assert reason(worker, name) == "ws_error"
    assert switch


def test_what_nobody_takes_is_closed(worker):
    theirs, ours = connected()
    worker.hand_over("nobody", theirs)
    assert Peer(ours, Side.CLIENT).over()


# -- dialled ------------------------------------------------------------------------------------------------


class Server:
    """Answers one upgrade as told."""

    def __init__(self, *, status: int = 101, more: bytes = b"") -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        opened.append(self._server)
        self._status, self._more = status, more
        self.port = self._server.getsockname()[1]
        self.request: dict[str, str] = {}
        self.path = ""

    def serve(self) -> Peer | None:
        sock, _ = self._server.accept()
        opened.append(sock)
        sock.settimeout(WAIT_S)
        protocol = ServerProtocol()
        while not (events := protocol.events_received()):
            protocol.receive_data(sock.recv(65536))
        self.request, self.path = dict(events[0].headers.raw_items()), events[0].path
        taken = self._status == 101
        protocol.send_response(protocol.accept(events[0]) if taken else protocol.reject(self._status, "no"))
        sock.sendall(b"".join(protocol.data_to_send()) + self._more)
        self._server.close()
        if not taken:
            sock.close()
            return None
        return Peer(sock, Side.SERVER)


def dialled(worker: MediaWorker, url: str, **more):
    given = {"url": url, "headers": {}, "limit_s": WAIT_S, "allow_private": True, "allowed": [], **more}
    name, _, switch = begun(worker, hand=False, welcome=None, **given)
    return name, switch


def test_dialling(worker):
    protocol = Protocol(Side.SERVER, state=OPEN)
    protocol.send_text(b'{"type":"text","text":"with the answer"}')
    server = Server(more=b"".join(protocol.data_to_send()))
    headers = {"X-A": "1", "User-Agent": "mine"}
    name, switch = dialled(worker, f"ws://u:p@127.0.0.1:{server.port}/a?b=c", headers=headers)
    peer = server.serve()
    worker.expect(Report, name, "open")
    assert worker.expect(Report, name, "text").data == {"text": "with the answer"}
    assert server.path == "/a?b=c"
    assert server.request["X-A"] == "1" and server.request["User-Agent"] == "mine"
    assert server.request["Authorization"] == "Basic dTpw"
    assert "Sec-WebSocket-Extensions" not in server.request
    peer.send(FRAME)
    assert switch.receive() == FRAME
    peer.socket.close()
    assert reason(worker, name) in ("hangup", "connection_reset")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (302, "ws_dial_failed"),
        (503, "ws_dial_failed"),
    ],
)
def test_refused(worker, status, why):
    server = Server(status=status)
    name, _ = dialled(worker, f"ws://127.0.0.1:{server.port}/")
    server.serve()
    assert reason(worker, name) == why


@pytest.mark.parametrize(
    ("url", "more", "why"),
    [
        ("ws://127.0.0.1:1/", {}, "service_unavailable"),
        ("ws://127.0.0.1:1/", {"allow_private": False}, "ws_dial_failed"),
        ("ws://127.0.0.1:1/", {"allow_private": False, "allowed": ["127.0.0.0/8"]}, "service_unavailable"),
        ("ws://nobody.invalid/", {}, "ws_dial_failed"),
        ("ws://[::1/", {}, "ws_dial_failed"),
    ],
)
def test_not_reached(worker, url, more, why):
    name, _ = dialled(worker, url, limit_s=3.0, **more)
    assert reason(worker, name) == why


def test_no_answer_in_time(worker):
    with socket.create_server(("127.0.0.1", 0)) as server:
        for scheme in ("ws", "wss"):
            name, _ = dialled(worker, f"{scheme}://127.0.0.1:{server.getsockname()[1]}/", limit_s=0.2)
            assert reason(worker, name) == "ws_dial_failed"


class Handed(Session):
    """A session in memory whose connection has been handed over."""

    async def handed_over(self) -> tuple[socket.socket, bytes]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.ours = socket.create_connection(server.getsockname())
            return server.accept()[0], b""


@in_asyncio
async def test_a_part_that_fails_ends_it():
    """Its peer would hear nothing any more, and nobody would know."""
    async with Handed() as session:
        session.start("websocket", {"wire": "binary", "rate": RATE, "texts": True})
        await session.reported("open")
        with session.ours:
            session.audio._frames.put_nowait("no audio")
            with pytest.raises(TypeError):
                async with asyncio.timeout(WAIT_S):
                    await session.running
