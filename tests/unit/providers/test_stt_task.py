"""The task of transcription: texts, what happens when the provider is lost, and the end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from tests.support.inasyncio import in_asyncio
from tests.support.mediaworker import Session
from tests.support.scripted import Scripted, scripted, websocket
from vsi_esl.media.tasks import stt
from vsi_esl.providers import websocket as wire
from vsi_esl.providers.base import ProviderError, Transcriber, Transcript

PATH = "/v1/listen"
FRAME = 640


def results(text: str, final: bool = True) -> str:
    return json.dumps(
        {"type": "Results", "is_final": final, "channel": {"alternatives": [{"transcript": text}]}}
    )


class Listen:
    """Deepgram, as far as the task can tell: says what each connection's script says, and how much it heard.

    A script is called with the socket and the number of frames that this connection has brought so far.
    """

    def __init__(
        self, *scripts: Callable[[web.WebSocketResponse, int], Any] | int, last: str = "bye"
    ) -> None:
        self.scripts, self.last = list(scripts), last
        self.heard: list[list[int]] = []
        """By connection, the numbers of the frames."""
        self.more = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        number = len(self.heard)
        script = self.scripts[min(number, len(self.scripts) - 1)] if self.scripts else None
        frames: list[int] = []
        self.heard.append(frames)
        self.more.set()
        if isinstance(script, int):
            return web.Response(status=script)
        socket = await websocket(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                frames.append(int.from_bytes(message.data[:2], "little"))
                self.more.set()
                if script is not None:
                    await script(socket, len(frames))
            elif json.loads(message.data)["type"] == "CloseStream":
                if self.last:
                    await socket.send_str(results(self.last))
                await socket.close()
        return socket

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.more.clear()
                await self.more.wait()


def frame(number: int) -> bytes:
    """One of 20 ms that says which one it is."""
    return number.to_bytes(2, "little") * (FRAME // 2)


def parameters(server: Scripted, **more: Any) -> dict[str, Any]:
    return {"provider": "deepgram", "api_key": "k", "base_url": server.http, **more}


def texts(session: Session) -> list[tuple[str, bool]]:
    return [(data["text"], data["final"]) for what, data in session.reports if what == "text"]


@pytest.mark.parametrize("partial", [False, True])
@in_asyncio
async def test_texts_and_the_end_of_the_audio(partial):
    async def script(socket: web.WebSocketResponse, count: int) -> None:
        if count == 2:
            for text, final in (("hel", False), ("", True), ("hello", True)):
                await socket.send_str(results(text, final))

    async with scripted({PATH: Listen(script)}) as server, Session() as session:
        session.start("stt", parameters(server, partial=partial))
        for number in range(5):
            session.audio.feed(frame(number))
        await session.reported("text", 2 if partial else 1)
        session.audio.end()
        await session.running
    assert texts(session) == [*([("hel", False)] if partial else []), ("hello", True), ("bye", True)]
    assert 0 < session.figures["first_text_ms"] < 20_000
    assert not session.counters


class AtOnce(Transcriber):
    """Has a text for the first frame half a millisecond later."""

    async def open(self) -> None:
        self._heard = asyncio.Event()

    async def send(self, pcm: bytes) -> None:
        self._heard.set()

    async def texts(self) -> AsyncIterator[Transcript]:
        await self._heard.wait()
        answered = time.monotonic() + 0.0005
        while time.monotonic() < answered:
            pass
        yield Transcript("hello", True)
        await asyncio.Event().wait()

    async def finish(self) -> None:
        pass

    async def close(self) -> None:
        pass


@in_asyncio
async def test_a_first_text_is_measured_more_finely_than_the_loops_whole_milliseconds():
    find, stt.find = stt.find, lambda task, provider: AtOnce
    figures = []
    try:
        for _ in range(8):
            async with Session() as session:
                session.start("stt", {"provider": "at once"})
                session.audio.feed(frame(1))
                await session.reported("text")
                figures.append(session.figures["first_text_ms"])
    finally:
        stt.find = find
    assert min(figures) >= 0.5


@in_asyncio
async def test_a_provider_that_closes_in_mid_sentence_gets_what_was_said_meanwhile():
    async def breaks(socket: web.WebSocketResponse, count: int) -> None:
        if count == 3:
            await socket.send_str(results("first"))
            await socket.close(code=1011)

    listen = Listen(breaks, breaks_never)
    async with scripted({PATH: listen}) as server, Session() as session:
        session.start("stt", parameters(server))
        for number in range(3):
            session.audio.feed(frame(number))
        await session.reported("text")
        for number in range(3, 20):
            session.audio.feed(frame(number))
        await listen.until(lambda: len(listen.heard) == 2 and listen.heard[1][-1:] == [19])
        session.audio.end()
        await session.running
    assert session.counters["reconnects"] == 1
    assert texts(session) == [("first", True), ("bye", True)]
    assert listen.heard[0] == [0, 1, 2]
    # what had been sent when the connection broke was sent: nothing is said twice
    assert listen.heard[1] == sorted(set(listen.heard[1]))
    assert len(listen.heard[1]) >= 15


async def breaks_never(socket: web.WebSocketResponse, count: int) -> None:
    return


@in_asyncio
async def test_of_a_long_gap_the_last_five_seconds_are_kept():
    listen = Listen(503, breaks_never)
    stt.PAUSES_S, before = (0.3,), stt.PAUSES_S
    try:
        async with scripted({PATH: listen}) as server, Session() as session:
            for number in range(300):
                session.audio.feed(frame(number))
            session.start("stt", parameters(server))
            await listen.until(lambda: len(listen.heard) == 2 and listen.heard[1][-1:] == [299])
            session.audio.end()
            await session.running
    finally:
        stt.PAUSES_S = before
    assert listen.heard[1] == list(range(50, 300))
    assert session.counters["frames_dropped"] == 50


@pytest.mark.parametrize("status", [503, 429])
@in_asyncio
async def test_three_tries_and_then_the_end(status):
    listen = Listen(status)
    stt.PAUSES_S, before = (0.01, 0.02, 0.03), stt.PAUSES_S
    try:
        async with scripted({PATH: listen}) as server, Session() as session:
            session.start("stt", parameters(server))
            with pytest.raises(ProviderError) as failed:
                await session.running
    finally:
        stt.PAUSES_S = before
    assert failed.value.message == f"deepgram: refused the connection: status {status}"
    assert len(listen.heard) == 4
    assert session.counters["reconnects"] == 3


@in_asyncio
async def test_a_connection_that_breaks_again_and_again_is_given_up():
    """Also when it says something each time."""

    async def breaks(socket: web.WebSocketResponse, count: int) -> None:
        await socket.send_str(results("again"))
        await socket.close()

    listen = Listen(breaks)
    stt.PAUSES_S, before = (0.01, 0.02, 0.03), stt.PAUSES_S
    try:
        async with scripted({PATH: listen}) as server, Session() as session:
            session.start("stt", parameters(server))
            while not session.running.done():
                session.audio.feed(frame(0))
                await asyncio.sleep(0.01)
            with pytest.raises(ProviderError) as failed:
                await session.running
    finally:
        stt.PAUSES_S = before
    assert failed.value.category == "retryable"
    assert texts(session) == [("again", True)] * 4


@in_asyncio
async def test_a_wrong_key_is_not_tried_again():
    listen = Listen(401)
    async with scripted({PATH: listen}) as server, Session() as session:
        session.start("stt", parameters(server))
        with pytest.raises(ProviderError) as failed:
            await session.running
    assert failed.value.category == "permanent_auth"
    assert len(listen.heard) == 1


@in_asyncio
async def test_stop_waits_for_the_text_on_its_way():
    listen = Listen()
    async with scripted({PATH: listen}) as server, Session() as session:
        task = session.start("stt", parameters(server))
        session.audio.feed(frame(0) + frame(1))
        await listen.until(lambda: listen.heard == [[0, 1]])
        async with asyncio.timeout(20):
            await task.finish()
        await session.running
    assert texts(session) == [("bye", True)]


@in_asyncio
async def test_a_provider_that_does_not_end_is_left_after_a_while():
    async def deaf(request: web.Request) -> web.StreamResponse:
        socket = await websocket(request)
        async for _ in socket:
            pass
        return socket

    stt.LAST_S, before = 0.2, stt.LAST_S
    try:
        async with scripted({PATH: deaf}) as server, Session() as session:
            session.start("stt", parameters(server))
            session.audio.feed(frame(0))
            session.audio.end()
            async with asyncio.timeout(20):
                await session.running
    finally:
        stt.LAST_S = before
    assert texts(session) == []


@in_asyncio
async def test_a_session_that_is_cancelled_leaves_no_connection():
    listen = Listen()
    async with scripted({PATH: listen}) as server, Session() as session:
        session.start("stt", parameters(server))
        session.audio.feed(frame(0))
        await listen.until(lambda: listen.heard == [[0]])
        session.running.cancel()
        await asyncio.wait([session.running])
        assert session.running.cancelled()
    # what is left behind fails the test: see in_asyncio


@in_asyncio
async def test_a_flood_is_read_as_fast_as_it_is_passed_on():
    async def floods(socket: web.WebSocketResponse, count: int) -> None:
        if count == 1:
            for number in range(120):
                await socket.send_str(results(f"text {number}"))

    async with scripted({PATH: Listen(floods, last="")}) as server, Session() as session:
        session.start("stt", parameters(server))
        began = asyncio.get_running_loop().time()
        session.audio.feed(frame(0))
        await session.reported("text", 120)
        took = asyncio.get_running_loop().time() - began
    assert texts(session) == [(f"text {number}", True) for number in range(120)]
    assert took >= 1.9, "two pauses of a second"


@in_asyncio
async def test_a_message_that_is_too_long_and_one_that_is_no_websocket():
    async def talks_too_long(socket: web.WebSocketResponse, count: int) -> None:
        await socket.send_str(results("x" * (2 * wire.LONGEST)))

    async def no_websocket(socket: web.WebSocketResponse, count: int) -> None:
        socket._req.transport.write(b"\xff" * 100)

    listen = Listen(talks_too_long, no_websocket, breaks_never)
    stt.PAUSES_S, before = (0.01, 0.01, 0.01), stt.PAUSES_S
    try:
        async with scripted({PATH: listen}) as server, Session() as session:
            session.start("stt", parameters(server))
            for number in range(200):
                session.audio.feed(frame(number))
                await asyncio.sleep(0.001)
            await listen.until(lambda: len(listen.heard) == 3 and len(listen.heard[2]) > 0)
            session.audio.end()
            await session.running
    finally:
        stt.PAUSES_S = before
    assert session.counters["reconnects"] == 2
    assert texts(session) == [("bye", True)]


@in_asyncio
async def test_a_server_that_takes_its_time_with_tls():
    """It takes the connection, and says nothing."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stt.PAUSES_S, pauses = (0.01,), stt.PAUSES_S
    wire.CONNECT_S, connect = 0.2, wire.CONNECT_S
    try:
        async with Session() as session:
            session.start(
                "stt", {"provider": "deepgram", "api_key": "k", "base_url": f"https://127.0.0.1:{port}"}
            )
            with pytest.raises(ProviderError) as failed:
                await session.running
    finally:
        stt.PAUSES_S, wire.CONNECT_S = pauses, connect
        server.close()
        await server.wait_closed()
    assert failed.value.message == "deepgram: no connection within 0.2 s"
    assert failed.value.category == "retryable"
    assert session.counters["reconnects"] == 1


@in_asyncio
async def test_a_provider_that_is_there_but_no_more_answers_is_lost():
    """Its pings are not answered: the connection has died where nobody sees it."""

    async def frozen(request: web.Request) -> web.StreamResponse:
        socket = await websocket(request, autoping=False)
        async for _ in socket:
            pass
        return socket

    stt.PAUSES_S, pauses = (), stt.PAUSES_S
    wire.HEARTBEAT_S, heartbeat = 0.2, wire.HEARTBEAT_S
    try:
        async with scripted({PATH: frozen}) as server, Session() as session:
            session.start("stt", parameters(server))
            with pytest.raises(ProviderError) as failed:
                async with asyncio.timeout(20):
                    await session.running
    finally:
        stt.PAUSES_S, wire.HEARTBEAT_S = pauses, heartbeat
    assert failed.value.category == "retryable"


class Lost(RuntimeError):
    """A fault that nobody foresaw."""


@in_asyncio
async def test_a_fault_in_what_listens_ends_the_session():
    async with scripted({PATH: Listen()}) as server, Session() as session:

        async def get() -> bytes | None:
            raise Lost

        session.audio.get = get
        session.start("stt", parameters(server))
        async with asyncio.timeout(20):
            with pytest.raises(Lost):
                await session.running


@in_asyncio
async def test_a_fault_in_what_keeps_the_connection_ends_the_session():
    def broken(value: Any) -> bytes:
        raise Lost

    real, wire.orjson.dumps = wire.orjson.dumps, broken
    try:
        async with scripted({PATH: Listen()}) as server, Session() as session:
            session.start("stt", parameters(server))
            async with asyncio.timeout(20):
                with pytest.raises(Lost):
                    await session.running
    finally:
        wire.orjson.dumps = real
