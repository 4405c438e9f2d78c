"""What comes is read at the beats: the metronome's clock and loop are the test's."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.inasyncio import in_asyncio
from vsi_esl.media.ears import AT_ONCE, ROUNDS, Ears, Stream
from vsi_esl.media.metronome import BEAT_S, Metronome

WAIT_S = 20.0


class Desk:
    """Ears whose beats come when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[Callable[[], None]] = []
        self.metronome = Metronome(self, clock=lambda: self.now)
        self.ears = Ears(self.metronome)
        self.heard: list[bytes] = []
        self.failed: list[int] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        self._timers.append(callback)
        return object()

    def beat(self) -> None:
        self.now += BEAT_S
        self._timers.pop()()

    @property
    def idle(self) -> bool:
        return not self._timers

    @contextmanager
    def pair(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """Two ends, of which the first is read."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs:
            ours.setblocking(False)
            self.ears.watch(
                ours.fileno(), lambda: self.heard.append(ours.recv(100)), lambda: self.failed.append(1)
            )
            yield ours, theirs
            self.ears.forget(ours.fileno())


@in_asyncio
async def test_what_comes_waits_for_the_beat_and_is_then_read_in_order():
    desk = Desk()
    with desk.pair() as (_, theirs):
        for number in range(3):
            theirs.send(b"%d" % number)
        assert desk.heard == []
        desk.beat()
        assert desk.heard == [b"0", b"1", b"2"]
        desk.beat()
        assert desk.heard == [b"0", b"1", b"2"]
    desk.beat()
    assert desk.idle
    with desk.pair() as (_, theirs):
        theirs.send(b"again")
        desk.beat()
        assert desk.heard[-1] == b"again"


@in_asyncio
async def test_one_that_floods_is_read_so_often_at_a_beat_and_the_others_are_read_too():
    desk = Desk()
    with desk.pair() as (flooded, flood), desk.pair() as (_, other):
        flooded.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for _ in range(ROUNDS + 2):
            flood.send(b"more")
        other.send(b"other")
        desk.beat()
        assert desk.heard.count(b"more") == ROUNDS
        assert desk.heard.count(b"other") == 1
        desk.beat()
        assert desk.heard.count(b"more") == ROUNDS + 2


@in_asyncio
async def test_one_that_fails_is_told_once_and_deafens_nobody():
    desk = Desk()
    with desk.pair() as (_, theirs), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as broken:
        broken.bind(("127.0.0.1", 0))
        broken.sendto(b"what fails", broken.getsockname())
        desk.ears.watch(broken.fileno(), lambda: 1 / 0, lambda: desk.failed.append(2))
        theirs.send(b"well")
        desk.beat()
        desk.beat()
        assert desk.heard == [b"well"]
        assert desk.failed == [2]


@in_asyncio
async def test_one_that_is_forgotten_by_another_is_not_read():
    desk = Desk()
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    ours = [one for one, _ in pairs]

    def read(number: int) -> None:
        desk.heard.append(ours[number].recv(100))
        desk.ears.forget(ours[1 - number].fileno())

    for number in range(2):
        desk.ears.watch(ours[number].fileno(), lambda number=number: read(number), lambda: None)
        pairs[number][1].send(b"one of them")
    desk.beat()
    assert desk.heard == [b"one of them"]
    for one, other in pairs:
        one.close()
        other.close()


# -- a TCP connection ----------------------------------------------------------------------------------------


class Received(asyncio.Protocol):
    """The protocol of a transport whose reading is the ears'."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self.by_ears = bytearray()
        self.by_transport = bytearray()
        self.over = asyncio.get_running_loop().create_future()
        self.stream: Stream

    async def begin(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: self, connection)
        self.stream = Stream(self._ears, transport, self.heard)

    def heard(self, data: bytes) -> None:
        self.by_ears += data

    def data_received(self, data: bytes) -> None:
        self.by_transport += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.stream.close()
        self.over.set_result(exc)


@contextmanager
def connected(received: Received) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A peer, and the connection that it has made."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with peer:
        yield peer, ours


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(BEAT_S / 4)


@in_asyncio
async def test_a_stream_is_read_to_its_end_which_the_transport_sees():
    received = Received(Ears(Metronome(asyncio.get_running_loop())))
    with connected(received) as (peer, ours):
        await received.begin(ours)
        audio = bytes(range(256)) * (3 * ROUNDS * AT_ONCE // 256)
        await asyncio.to_thread(peer.sendall, audio)
        await until(lambda: len(received.by_ears) == len(audio))
        assert received.by_ears == audio
        assert received.by_transport == b""
        peer.close()
        async with asyncio.timeout(WAIT_S):
            assert await received.over is None


@in_asyncio
async def test_what_comes_after_its_close_is_the_transports():
    received = Received(Ears(Metronome(asyncio.get_running_loop())))
    with connected(received) as (peer, ours):
        await received.begin(ours)
        peer.sendall(b"audio")
        await until(lambda: received.by_ears == b"audio")
        received.stream.close()
        peer.sendall(b"goodbye")
        await until(lambda: received.by_transport == b"goodbye")
        assert received.by_ears == b"audio"
        peer.close()
        await received.over


@pytest.mark.parametrize("how", ["reset", "failed"])
@in_asyncio
async def test_a_stream_that_breaks_is_over(how: str):
    received = Received(Ears(Metronome(asyncio.get_running_loop())))
    with connected(received) as (peer, ours):
        await received.begin(ours)
        if how == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
        else:
            received.stream._received = None  # type: ignore[assignment]
            peer.sendall(b"what cannot be heard")
        async with asyncio.timeout(WAIT_S):
            await received.over
