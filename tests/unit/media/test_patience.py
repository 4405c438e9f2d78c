"""A worker that has stood still reads what has come before anything is too late."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest

from tests.support.frames import masked
from tests.support.inasyncio import in_asyncio
from tests.support.mediaparts import HUMAN, open_one, result
from tests.support.mediaworker import Session
from vsi_esl.media import forks, messages, patience
from vsi_esl.media import session as media
from vsi_esl.media.dial import dial
from vsi_esl.media.ears import Ears
from vsi_esl.media.forks import Forks
from vsi_esl.media.metronome import Metronome
from vsi_esl.media.patience import Timer, within
from vsi_esl.media.tasks import FRAME_BYTES
from vsi_esl.model.amd import AmdParameters
from vsi_esl.net.guard import AddressGuard

STILL_S = 0.8
IN_S = 0.4


def stand_still(seconds: float = STILL_S) -> None:
    """As a machine does that has other things to do."""
    time.sleep(seconds)


async def by_timer(answer: asyncio.Future[str]) -> str:
    over = asyncio.get_running_loop().create_future()
    Timer(IN_S, lambda: over.set_result(answer.done() and answer.result()))
    return await over


async def by_within(answer: asyncio.Future[str]) -> str:
    try:
        async with within(IN_S):
            return await answer
    except TimeoutError:
        return ""


WAYS = {"timer": by_timer, "within": by_within}


@pytest.mark.parametrize("before_s", [0.0, 0.2, 0.39], ids=str)
@pytest.mark.parametrize("way", WAYS)
@in_asyncio
async def test_what_came_in_time_is_read_before_it_is_too_late(way: str, before_s: float) -> None:
    """Whenever it stands still."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        answer: asyncio.Future[str] = loop.create_future()

        async def reads() -> None:
            await loop.sock_recv(ours, 1)
            for _ in range(5):
                await asyncio.sleep(0)
            answer.set_result("here")

        reading = asyncio.ensure_future(reads())
        waiting = asyncio.ensure_future(WAYS[way](answer))
        await asyncio.sleep(before_s)
        theirs.send(b".")
        stand_still()
        assert await waiting == "here"
        await reading


@pytest.mark.parametrize("way", WAYS)
@in_asyncio
async def test_what_does_not_come_is_not_waited_for_longer(way: str) -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    began = time.monotonic()
    assert not await WAYS[way](answer)
    assert time.monotonic() - began >= IN_S - 0.01


@in_asyncio
async def test_a_worker_that_stands_still_again_and_again_does_not_wait_for_ever() -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def again() -> None:
        stand_still(2 * patience.LATE_S)
        if not over.is_set():
            loop.call_soon(again)

    Timer(0.01, over.set)
    again()
    async with asyncio.timeout(20):
        await over.wait()


@in_asyncio
async def test_nothing_is_done_by_a_timer_that_was_cancelled() -> None:
    done: list[str] = []
    early, late = (Timer(0.3, done.append, name) for name in ("early", "late"))
    early.cancel()
    await asyncio.sleep(0.2)  # in its last moment
    late.cancel()
    late.cancel()
    await asyncio.sleep(0.2)
    assert done == []


@in_asyncio
async def test_a_fork_that_has_asked_meanwhile_is_no_stranger() -> None:
    strangers: list[str] = []
    before, forks.ASK_S = forks.ASK_S, IN_S
    ears = Ears(Metronome(asyncio.get_running_loop()))
    one = Forks(strangers.append, ears)
    try:
        await one.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", one._port)
        while not one._silent:
            await asyncio.sleep(0.01)
        os.write(writer.get_extra_info("socket").fileno(), b"GET /fork/x HTTP/1.1\r\nHost: x\r\n\r\n")
        stand_still()
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        writer.close()
    finally:
        forks.ASK_S = before
        await one.stop()
        ears.close()


@in_asyncio
async def test_a_peer_that_has_spoken_meanwhile_is_not_silent() -> None:
    one, theirs = await open_one(lambda message: None, read_s=IN_S)
    await asyncio.sleep(0)
    os.write(theirs.fileno(), masked(2, b"here"))
    stand_still()
    await asyncio.sleep(0.1)
    assert not one.ended.done()
    assert await asyncio.wait_for(one.ended, 20) == "timeout"
    theirs.close()


async def as_read(action: Callable[[], None]) -> None:
    """Call it where what a socket brings is read: behind that timers come first."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = asyncio.Event()

        def read() -> None:
            loop.remove_reader(ours)
            done.set()
            action()

        loop.add_reader(ours, read)
        theirs.send(b".")
        await done.wait()


@in_asyncio
async def test_a_peer_that_has_read_meanwhile_is_not_slow() -> None:
    one, theirs = await open_one(lambda message: None, write_s=IN_S)
    while not one.crowded:
        one.send_binary(bytes(32 * 1024))
        await asyncio.sleep(0)

    def reads() -> None:
        with suppress(BlockingIOError):
            while theirs.recv(1 << 20):
                pass
        stand_still()

    await as_read(reads)
    await asyncio.sleep(0.1)
    assert not one.ended.done()
    one.close()
    theirs.close()


@in_asyncio
async def test_a_peer_that_has_answered_meanwhile_is_connected() -> None:
    """With a refusal, which is another reason than none."""
    server = socket.create_server(("127.0.0.1", 0))
    with server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}/"
        opening = asyncio.ensure_future(
            dial(url, {}, AddressGuard(allow_private=True), lambda message: None, limit_s=IN_S)
        )
        await asyncio.sleep(0.1)
        peer, _ = server.accept()
        with peer:
            peer.recv(10_000)
            peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            stand_still()
            with pytest.raises(Exception, match="forbidden"):
                await opening


@in_asyncio
async def test_what_was_said_meanwhile_counts_for_the_verdict() -> None:
    """Of a call whose greeting ends with the time that there is for it."""
    settings = asdict(AmdParameters()) | {"total_analysis_time": 1500}
    async with Session() as session:
        session.start("amd", settings)
        await asyncio.sleep(0.1)
        asyncio.get_running_loop().call_later(1.75, session.audio.feed, HUMAN)
        stand_still(1.7)
        await session.running
        assert session.reports == [result("human", 220, 440, 1460)]


async def heard_of(session: media.Session, seconds: float) -> int:
    """How many frames came in this time."""
    before = session.figures.frames_in
    await asyncio.sleep(seconds)
    return session.figures.frames_in - before


@in_asyncio
async def test_no_silence_is_put_before_what_was_said_meanwhile() -> None:
    """A greeting would begin later, and a text be torn."""
    told: list[Any] = []
    loop = asyncio.get_running_loop()
    session = media.Session(
        messages.Open(session="S1", task="echo", ear=messages.Ear(kind=messages.FORK, rate=16000)),
        ears=None,
        forks=None,
        metronome=Metronome(loop),
        http=None,
        handovers=None,
        tell=told.append,
    )
    session._fill(0)
    loop.call_later(media.GAP_S + 0.01, session.audio.feed, HUMAN)  # by a beat
    stand_still()
    frames = len(HUMAN) // FRAME_BYTES
    assert await heard_of(session, media.GAP_S / 2) == frames
    assert await heard_of(session, 3 * media.GAP_S) > 0, "and then it is silent"
    session._over = True
    await asyncio.sleep(media.GAP_S)
