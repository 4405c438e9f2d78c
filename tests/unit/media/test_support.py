"""The helpers for tests of media workers: they fail when they should."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.support.inasyncio import _beside, in_asyncio
from tests.support.mediaworker import Session
from tests.support.scripted import scripted, websocket
from vsi_esl.media.tasks import FRAME_BYTES

FORGOTTEN: list[asyncio.Task[None]] = []


@in_asyncio
async def test_a_coroutine_runs_on_uvloop_without_patches(tmp_path):
    from gevent import monkey

    assert "uvloop" in type(asyncio.get_running_loop()).__module__
    assert not monkey.is_module_patched("socket")
    assert tmp_path.is_dir()


@pytest.mark.parametrize("number", [1, 2])
@in_asyncio
async def test_parameters_arrive(number):
    assert number in (1, 2)


async def wrong() -> None:
    left = [1, 2]
    assert left == [1]


async def forgets_a_task() -> None:
    FORGOTTEN.append(asyncio.create_task(asyncio.sleep(20)))


async def forgets_to_wait() -> None:
    asyncio.sleep(0)


async def blames_a_handler() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.path == "/elsewhere"
        return web.Response()

    async with scripted({"/here": handler}) as server, Session() as session:
        assert (await session.http.get(f"{server.http}/here")).status == 500


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wrong", "[1, 2] == [1]"),
        ("forgets_a_task", "tasks were left"),
        ("forgets_to_wait", "was never awaited"),
        ("blames_a_handler", "'/elsewhere'"),
    ],
)
def test_what_is_wrong_fails(name, text):
    outcome, said = _beside().run(__name__, name, (), {})
    assert outcome == "failed"
    assert text in said


@in_asyncio
async def test_a_scripted_websocket_talks():
    async def echo(request: web.Request) -> web.StreamResponse:
        one = await websocket(request)
        async for message in one:
            await one.send_str(message.data)
        return one

    async with scripted({"/talk": echo}) as server, Session() as session:
        async with session.http.ws_connect(f"{server.ws}/talk") as one:
            await one.send_str("words")
            assert await one.receive_str() == "words"
        assert [request.path for request in server.requests] == ["/talk"]


@in_asyncio
async def test_a_task_runs_in_a_session_of_memory():
    async with Session() as session:
        session.start("echo", {})
        session.audio.feed(b"\1\2" * FRAME_BYTES)
        session.audio.end()
        await session.running
        assert session.voice.pcm == b"\1\2" * FRAME_BYTES
        assert session.voice.said_ms == 40
