"""The task that speaks: retries, its cache, its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.inasyncio import in_asyncio
from tests.support.mediaworker import Session
from tests.support.scripted import scripted
from vsi_esl.media.spoken import MIME, name_of
from vsi_esl.media.tasks import tts
from vsi_esl.providers.base import PERMANENT_AUTH, SERVICE_UNAVAILABLE, UNKNOWN, ProviderError

PCM = bytes(range(256)) * 250
"""Two seconds."""


class Server:
    """ElevenLabs: answers with these statuses one after the other, then with the audio."""

    def __init__(self, *statuses: int, pcm: bytes = PCM) -> None:
        self.statuses = list(statuses)
        self.pcm = pcm
        self.asked = self.answered = 0
        self.more = asyncio.Event()
        """Cleared: the audio stops in the middle."""
        self.more.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), text="wrong")
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await answer.prepare(request)
        await answer.write(self.pcm[: len(self.pcm) // 2])
        await self.more.wait()
        await answer.write(self.pcm[len(self.pcm) // 2 :])
        self.answered += 1
        return answer


@asynccontextmanager
async def speaking(server: Server, cache: Path | None = None, begin: bool = True, **more: Any) -> Any:
    """A session that speaks, and what it was asked."""
    async with scripted({"/v1/text-to-speech/{voice}/stream": server.handle}) as at, Session() as session:
        asked = {
            "provider": "elevenlabs",
            "text": "Hello",
            "voice": "v",
            "model": "",
            "language": "",
            "prompt": "",
            "api_key": "k",
            "base_url": at.http,
            **more,
        }
        if cache is not None:
            asked["cache"] = {"directory": str(cache), "bytes": 1 << 20, "with_key": False}
        if begin:
            session.start("tts", asked)
        yield session, asked


async def spoken(session: Session) -> list[tuple[str, dict[str, Any]]]:
    await session.running
    return session.reports


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


@in_asyncio
async def test_it_is_said_and_told():
    async with speaking(Server(), gain=2.0) as (session, _):
        reports = await spoken(session)
        assert reports == [("started", {}), ("finished", {"played_ms": 2000})]
        assert session.voice.pcm == PCM
        assert max(len(pcm) for pcm, _ in session.voice.pieces) <= 16000
        assert {rate for _, rate in session.voice.pieces} == {16000}
        assert session.voice.gain == 2.0
        session.task.told("gain", 0.5)
        session.task.told("nonsense", 0.5)
        assert session.voice.gain == 0.5


@in_asyncio
async def test_it_is_heard_before_all_of_it_is_there():
    server = Server()
    server.more.clear()
    async with speaking(server) as (session, _):
        await session.reported("started")
        await until(lambda: session.voice.pcm == PCM[:32000])
        server.more.set()
        await session.running
        assert session.voice.pcm == PCM


@in_asyncio
async def test_it_begins_when_the_switch_can_bring_it():
    server = Server()
    async with speaking(server, begin=False) as (session, asked):
        session.brought.clear()
        session.voice.free.clear()
        session.start("tts", asked)
        await until(lambda: server.answered == 1)
        assert not session.reports and not session.voice.pieces
        session.brought.set()
        await session.reported("started")
        await until(lambda: len(session.voice.pieces) == 1)
        session.voice.free.set()
        await session.running
        assert session.voice.pcm == PCM


@in_asyncio
async def test_it_ends_when_all_of_it_was_heard():
    async with speaking(Server(), begin=False) as (session, asked):
        session.voice.heard.clear()
        session.start("tts", asked)
        await until(lambda: session.voice.pcm == PCM)
        assert [what for what, _ in session.reports] == ["started"]
        session.voice.heard.set()
        await session.running
        assert [what for what, _ in session.reports] == ["started", "finished"]


@in_asyncio
async def test_a_stop_tells_how_much_was_heard():
    server = Server()
    server.more.clear()
    async with speaking(server) as (session, _):
        await until(lambda: session.voice.said_ms == 1000)
        session.running.cancel()
        await asyncio.gather(session.running, return_exceptions=True)
        assert session.reports[1:] == [("finished", {"played_ms": 1000})]
        server.more.set()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@in_asyncio
async def test_what_may_pass_is_tried_again(status):
    server = Server(status, status)
    async with speaking(server) as (session, _):
        await session.running
        assert session.voice.pcm == PCM
    assert server.asked == 3 and session.counters["retries"] == 2


@in_asyncio
async def test_it_is_tried_three_times():
    server = Server(503, 503, 503, 503)
    async with speaking(server) as (session, _):
        with pytest.raises(ProviderError, match="elevenlabs: status 503: wrong") as caught:
            await session.running
    assert caught.value.category == SERVICE_UNAVAILABLE
    assert server.asked == 3 and not session.reports


@in_asyncio
async def test_what_is_wrong_is_not_tried_again():
    server = Server(401)
    async with speaking(server) as (session, _):
        with pytest.raises(ProviderError) as caught:
            await session.running
    assert caught.value.category == PERMANENT_AUTH and server.asked == 1


@in_asyncio
async def test_what_was_heard_is_not_said_again():
    server = Server()

    async def broken(request: web.Request) -> web.StreamResponse:
        await request.read()  # else the server waits for the rest of it
        server.asked += 1
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm", "Content-Length": "64000"})
        await answer.prepare(request)
        await answer.write(PCM[:16000])
        await server.more.wait()
        request.transport.close()
        return answer

    server.handle = broken
    server.more.clear()
    async with speaking(server) as (session, _):
        await session.reported("started")
        server.more.set()
        with pytest.raises(ProviderError):
            await session.running
        assert session.reports[1:] == [("finished", {"played_ms": 500})]
    assert server.asked == 1


def test_the_pauses_are_the_references():
    for attempt, middle in ((1, 0.1), (2, 0.4), (3, 1.6), (4, 1.6)):
        pauses = [tts.pause_before(attempt) for _ in range(200)]
        assert min(pauses) >= middle * 0.75 and max(pauses) <= middle * 1.25
        assert max(pauses) - min(pauses) > middle * 0.2


@in_asyncio
async def test_an_answer_without_audio():
    async with speaking(Server(pcm=b"")) as (session, _):
        with pytest.raises(ProviderError, match="elevenlabs: an answer without audio") as caught:
            await session.running
    assert caught.value.category == UNKNOWN


# -- the cache -----------------------------------------------------------------------------------------------


@in_asyncio
async def test_the_second_time_nobody_is_asked(tmp_path):
    server = Server()
    async with speaking(server, tmp_path) as (session, asked):
        await session.running
        assert session.counters["cache_misses"] == 1
        assert (tmp_path / name_of(asked, False)).read_bytes() == MIME + PCM
        again = {**asked, "api_key": "another", "base_url": "http://127.0.0.1:1"}
        session.voice.pieces.clear()
        session.start("tts", again)
        await session.running
        assert session.voice.pcm == PCM and session.counters["cache_hits"] == 1
        assert session.reports[2:] == [("started", {}), ("finished", {"played_ms": 2000})]
    assert server.asked == 1


@in_asyncio
async def test_it_is_heard_before_it_is_kept(tmp_path):
    server = Server()
    server.more.clear()
    async with speaking(server, tmp_path) as (session, asked):
        await until(lambda: session.voice.pcm == PCM[:32000])
        assert not (tmp_path / name_of(asked, False)).exists()
        server.more.set()
        await session.running
        assert (tmp_path / name_of(asked, False)).exists()


@in_asyncio
async def test_half_of_it_is_not_kept(tmp_path):
    server = Server()
    server.more.clear()
    async with speaking(server, tmp_path) as (session, _):
        await until(lambda: session.voice.pcm == PCM[:32000])
        session.running.cancel()
        await asyncio.gather(session.running, return_exceptions=True)
        await until(lambda: not list(tmp_path.iterdir()))
        server.more.set()


@in_asyncio
async def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    async with speaking(Server(), file / "cache") as (session, _):
        await session.running
        assert session.voice.pcm == PCM and session.counters["cache_failures"] == 1


@in_asyncio
async def test_a_full_disk_is_no_error(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    begin = tts.Spoken.begin

    def full(self: Any) -> Any:
        path, file = begin(self)
        file.close()
        return path, open("/dev/full", "wb", buffering=0)

    tts.Spoken.begin = full
    try:
        async with speaking(Server(), tmp_path) as (session, _):
            await session.running
            assert session.voice.pcm == PCM and session.counters["cache_failures"] == 1
            await until(lambda: not list(tmp_path.iterdir()))
    finally:
        tts.Spoken.begin = begin
