"""WebSockets to providers that misbehave."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted, websocket
from vsi_esl.providers import websocket as module
from vsi_esl.providers.base import ProviderError
from vsi_esl.providers.websocket import ProviderSocket


@in_asyncio
async def test_one_that_does_not_read():
    over = asyncio.Event()

    async def deaf(request: web.Request) -> web.StreamResponse:
        one = await websocket(request)
        await over.wait()
        return one

    before, module.SEND_S = module.SEND_S, 0.2
    try:
        async with scripted({"/": deaf}) as server, aiohttp.ClientSession() as http:
            socket = ProviderSocket("somebody", silence_s=60)
            await socket.open(http, server.ws)
            with pytest.raises(
                ProviderError, match=r"somebody: does not read what it is sent \(0\.2 s\)"
            ) as late:
                for _ in range(1000):
                    await socket.send_bytes(bytes(65536))
            assert late.value.category == "service_unavailable"
            over.set()
            await socket.close()
    finally:
        module.SEND_S = before


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@in_asyncio
async def test_a_redirect_is_not_followed(status):
    """aiohttp would take the key along, as it is in no header that it knows."""

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with (
        scripted({"/": elsewhere, "/elsewhere": websocket}) as server,
        aiohttp.ClientSession() as http,
    ):
        socket = ProviderSocket("somebody")
        with pytest.raises(ProviderError, match="somebody: redirects are not followed") as refused:
            await socket.open(http, server.ws, headers={"xi-api-key": "sesame"})
        assert refused.value.category == "permanent_input"
        assert [request.path for request in server.requests] == ["/"]
        assert not http.closed


@pytest.mark.parametrize("code", [1000, 1011, 4000])
@in_asyncio
async def test_the_code_of_one_that_closes_behind_much_that_it_sent(code):
    """The answer to it fails: it is gone when what it sent has been read."""

    async def hasty(request: web.Request) -> web.StreamResponse:
        one = await websocket(request)
        for number in range(500):
            await one.send_bytes(bytes([number % 256]) * 1000)
        await one.close(code=code)
        return one

    async with scripted({"/": hasty}) as server, aiohttp.ClientSession() as http:
        socket = ProviderSocket("somebody")
        await socket.open(http, server.ws)
        assert len([message async for message in socket.messages()]) == 500
        assert socket.close_code == code
        await socket.close()


@in_asyncio
async def test_too_large_a_message():
    async def large(request: web.Request) -> web.StreamResponse:
        one = await websocket(request)
        await one.send_bytes(bytes(2000))
        await one.receive()
        return one

    async with scripted({"/": large}) as server, aiohttp.ClientSession() as http:
        socket = ProviderSocket("somebody", longest=1000)
        await socket.open(http, server.ws)
        with pytest.raises(ProviderError, match="somebody: the connection was lost"):
            await anext(socket.messages())
        await socket.close()
