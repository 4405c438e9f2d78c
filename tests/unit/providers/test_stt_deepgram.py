"""Deepgram's recognition, against a server that refuses what theirs would."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import WSMsgType, web

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted, websocket
from vsi_esl.providers.stt import deepgram

from .support import FRAME, KEY, refusal, said, transcriber

KNOWN = {"encoding", "sample_rate", "channels", "model", "language", "interim_results", "keyterm"}


def results(text: str, final: bool) -> str:
    return json.dumps(
        {
            "type": "Results",
            "channel_index": [0, 1],
            "start": 0.0,
            "duration": 1.5,
            "is_final": final,
            "speech_final": final,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.98, "words": []}]},
            "metadata": {
                "request_id": "r",
                "model_uuid": "m",
                "model_info": {"name": "general-nova-3", "version": "1", "arch": "nova-3"},
            },
        }
    )


class Listen:
    """`/v1/listen`: a guess with the third frame, the text when the audio ends."""

    def __init__(self, *more: str | bytes, breaks: bool = False) -> None:
        self.more, self.breaks = more, breaks
        self.told: list[str] = []
        self.heard = b""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Token {KEY}":
            raise web.HTTPUnauthorized
        query = request.query
        if not set(query) <= KNOWN or query["encoding"] != "linear16" or query["sample_rate"] != "16000":
            raise web.HTTPBadRequest
        socket = await websocket(request)
        frames = 0
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                assert len(message.data) % 640 == 0
                self.heard += message.data
                frames += 1
                if frames == 3:
                    if "interim_results" in query:
                        await socket.send_str(results("hello", False))
                    for one in self.more:
                        await (socket.send_bytes if isinstance(one, bytes) else socket.send_str)(one)
                    if self.breaks:
                        await socket.close(code=1011)
                continue
            kind = json.loads(message.data)["type"]
            self.told.append(kind)
            if kind == "CloseStream":
                await socket.send_str(results("hello world", True))
                await socket.send_str(json.dumps({"type": "Metadata", "request_id": "r", "channels": 1}))
                await socket.close()
            elif kind != "KeepAlive":
                await socket.send_str(json.dumps({"type": "Error", "variant": "SchemaError"}))
        return socket


@in_asyncio
async def test_guesses_and_texts():
    listen = Listen()
    async with (
        scripted({"/v1/listen": listen}) as server,
        transcriber("deepgram", server, partial=True, language="de", keyterms=["Ada B.", "ä&b"]) as one,
    ):
        assert await said(one) == [("hello", False), ("hello world", True)]
    query = server.requests[0].query
    assert (query["model"], query["language"], query["channels"]) == ("nova-3", "de", "1")
    assert query["interim_results"] == "true"
    assert query.getall("keyterm") == ["Ada B.", "ä&b"]
    assert listen.heard == FRAME * 5
    assert listen.told == ["CloseStream"]


@in_asyncio
async def test_another_model_and_no_guesses():
    async with (
        scripted({"/v1/listen": Listen()}) as server,
        transcriber("deepgram", server, model="nova-2-phonecall") as one,
    ):
        assert await said(one) == [("hello world", True)]
    assert server.requests[0].query["model"] == "nova-2-phonecall"
    assert server.requests[0].query["language"] == "en"
    assert "interim_results" not in server.requests[0].query


@in_asyncio
async def test_a_wrong_key():
    async with (
        scripted({"/v1/listen": Listen()}) as server,
        transcriber("deepgram", server, api_key="wrong") as one,
    ):
        assert await refusal(one.open) == (
            "permanent_auth",
            "deepgram: refused the connection: status 401",
        )


@in_asyncio
async def test_what_cannot_be_read_is_passed_over():
    nonsense = (
        "{",
        "[]",
        b"\x00\x01",
        '"Results"',
        '{"type": "Results"}',
        '{"type": "Results", "channel": {"alternatives": []}}',
        '{"type": "Results", "channel": {"alternatives": [{"transcript": 5}]}, "is_final": "no"}',
        '{"type": "SpeechStarted", "timestamp": 1.0}',
    )
    async with scripted({"/v1/listen": Listen(*nonsense)}) as server, transcriber("deepgram", server) as one:
        assert await said(one) == [("hello world", True)]


@in_asyncio
async def test_an_error_that_it_reports():
    error = json.dumps({"type": "Error", "variant": "X", "description": "said hello"})
    async with scripted({"/v1/listen": Listen(error)}) as server, transcriber("deepgram", server) as one:
        assert await refusal(lambda: said(one)) == ("retryable", "deepgram: reported an error")


@in_asyncio
async def test_a_leg_that_brings_no_audio_keeps_its_connection():
    before, deepgram.KEEP_ALIVE_S = deepgram.KEEP_ALIVE_S, 0.05
    listen = Listen()
    try:
        async with scripted({"/v1/listen": listen}) as server, transcriber("deepgram", server) as one:
            await one.open()
            async with asyncio.timeout(20):
                while len(listen.told) < 2:
                    await asyncio.sleep(0.01)
    finally:
        deepgram.KEEP_ALIVE_S = before
    assert set(listen.told) == {"KeepAlive"}


@pytest.mark.parametrize(
    "settings", [{"api_key": "two\nlines"}, {"base_url": "http://127.0.0.1:x"}, {"base_url": "http://"}]
)
@in_asyncio
async def test_what_can_never_be_sent(settings):
    async with scripted({}) as server, transcriber("deepgram", server, **settings) as one:
        assert await refusal(one.open) == ("permanent_input", "deepgram: no such address, or no such key")
        assert not server.requests


@in_asyncio
async def test_nobody_there():
    async with scripted({}) as server, transcriber("deepgram", server, base_url="http://127.0.0.1:1") as one:
        category, message = await refusal(one.open)
        assert category == "service_unavailable"
        assert message.startswith("deepgram: no connection")
        assert not server.requests


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, "permanent_input"),
        (402, "permanent_input"),
        (403, "permanent_auth"),
        (429, "rate_limited"),
        (500, "service_unavailable"),
        (302, "permanent_input"),
        (200, "unknown"),
    ],
)
@in_asyncio
async def test_what_a_refusal_means(status, category):
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="a page")

    async with scripted({"/v1/listen": refuse}) as server, transcriber("deepgram", server) as one:
        assert (await refusal(one.open))[0] == category
