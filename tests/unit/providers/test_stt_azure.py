"""Azure's recognition, against a server that refuses what theirs would."""

from __future__ import annotations

import asyncio
import json
import re
import struct

import pytest
from aiohttp import ClientSession, WSMsgType, web

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted, websocket
from vsi_esl.providers.stt.azure import Azure

from .support import FRAME, KEY, refusal, said, transcriber

PATH = "/speech/recognition/conversation/cognitiveservices/v1"
GUID = re.compile(r"[0-9a-f]{32}\Z", re.IGNORECASE)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")


def headers(text: str) -> dict[str, str]:
    found = {}
    for line in text.removesuffix("\r\n").split("\r\n"):
        name, colon, value = line.partition(":")
        assert colon, line
        found[name.lower()] = value.strip()
    assert GUID.match(found["x-requestid"])
    assert TIME.match(found["x-timestamp"])
    return found


def message(path: str, request: str, **body: object) -> str:
    """As the service writes it."""
    return f"X-RequestId:{request}\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n" + (
        json.dumps(body) if body else ""
    )


class Speech:
    """A guess and a phrase with the third frame of a turn; then a turn may end."""

    def __init__(self, *more: str | bytes, turns_end: bool = False, best_only: bool = False) -> None:
        self.more, self.turns_end, self.best_only = more, turns_end, best_only
        self.heard: dict[str, bytes] = {}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Ocp-Apim-Subscription-Key") != KEY:
            raise web.HTTPUnauthorized
        if not GUID.match(request.headers.get("X-ConnectionId", "")) or "language" not in request.query:
            raise web.HTTPBadRequest
        assert request.query["format"] == "detailed"
        socket = await websocket(request)
        first = await socket.receive()
        assert first.type is WSMsgType.TEXT  # the configuration comes before all else
        head, _, body = first.data.partition("\r\n\r\n")
        found = headers(head)
        assert (found["path"], found["content-type"]) == ("speech.config", "application/json")
        assert {"system", "os", "audio"} <= set(json.loads(body)["context"])
        async for one in socket:
            assert one.type is WSMsgType.BINARY
            (length,) = struct.unpack(">H", one.data[:2])
            found = headers(one.data[2 : 2 + length].decode("ascii"))
            audio = one.data[2 + length :]
            assert found["path"] == "audio"
            await self._audio(socket, found, audio)
        return socket

    async def _audio(self, socket: web.WebSocketResponse, found: dict[str, str], audio: bytes) -> None:
        request = found["x-requestid"]
        if request not in self.heard:
            assert found["content-type"] == "audio/x-wav"
            assert audio[:4] == b"RIFF" and audio[8:16] == b"WAVEfmt "
            assert struct.unpack("<HHIIHH", audio[20:36]) == (1, 1, 16000, 32000, 2, 16)
            self.heard[request] = b""
            await socket.send_str(message("turn.start", request, context={"serviceTag": "t"}))
            return
        assert "content-type" not in found
        self.heard[request] += audio
        if not audio:
            await socket.send_str(
                message("speech.phrase", request, RecognitionStatus="EndOfDictation", Offset=0, Duration=0)
            )
            await socket.send_str(message("turn.end", request))
        elif len(self.heard[request]) == 3 * len(FRAME):
            await socket.send_str(message("speech.hypothesis", request, Text="hello", Offset=1, Duration=2))
            best = {"NBest": [{"Confidence": 0.9, "Lexical": "hello", "Display": "Hello."}]}
            shown = {} if self.best_only else {"DisplayText": "Hello!"}
            await socket.send_str(
                message("speech.phrase", request, RecognitionStatus="Success", Offset=1, **shown, **best)
            )
            for one in self.more:
                await (socket.send_bytes if isinstance(one, bytes) else socket.send_str)(one)
            if self.turns_end:
                await socket.send_str(message("turn.end", request))


@in_asyncio
async def test_guesses_and_texts():
    speech = Speech()
    async with scripted({PATH: speech}) as server, transcriber("azure", server, partial=True) as one:
        assert await said(one) == [("hello", False), ("Hello!", True), ("", True)]
    assert dict(server.requests[0].query) == {"language": "en-US", "format": "detailed", "interim": "true"}
    assert list(speech.heard.values()) == [FRAME * 5]


@in_asyncio
async def test_the_best_guess_is_the_text_where_there_is_no_other():
    async with (
        scripted({PATH: Speech(best_only=True)}) as server,
        transcriber("azure", server, language="de-AT") as one,
    ):
        assert ("Hello.", True) in await said(one)
    assert server.requests[0].query["language"] == "de-AT"


@in_asyncio
async def test_a_turn_that_the_service_ends_is_followed_by_another():
    speech = Speech(turns_end=True)
    async with scripted({PATH: speech}) as server, transcriber("azure", server) as one:
        await one.open()
        texts = one.texts()
        for _ in range(3):
            await one.send(FRAME)
        assert [(await anext(texts)).text, (await anext(texts)).text] == ["hello", "Hello!"]
        rest = anext(texts)  # reads turn.end
        await one.send(FRAME)  # may still be of the old turn
        waiting = asyncio.ensure_future(rest)
        async with asyncio.timeout(20):
            while len(speech.heard) < 2:
                await one.send(FRAME)
                await asyncio.sleep(0.01)
        waiting.cancel()
    assert len(server.requests) == 1


@in_asyncio
async def test_the_end_before_anything_was_said():
    async with scripted({PATH: Speech()}) as server, transcriber("azure", server) as one:
        assert await said(one, 0) == []


@in_asyncio
async def test_a_wrong_key():
    async with scripted({PATH: Speech()}) as server, transcriber("azure", server, api_key="wrong") as one:
        assert await refusal(one.open) == ("permanent_auth", "azure: refused the connection: status 401")


@pytest.mark.parametrize(
    ("status", "category"),
    [("Error", "retryable"), ("TooManyRequests", "rate_limited"), ("Forbidden", "permanent_auth")],
)
@in_asyncio
async def test_errors_that_it_reports(status, category):
    error = message("speech.phrase", "0" * 32, RecognitionStatus=status)
    async with scripted({PATH: Speech(error)}) as server, transcriber("azure", server) as one:
        assert await refusal(lambda: said(one)) == (category, f"azure: reported {status}")


@in_asyncio
async def test_what_cannot_be_read_is_passed_over():
    nonsense = (
        "no headers at all",
        b"\x00",
        "Path:speech.phrase\r\n\r\n{",
        "Path:speech.phrase\r\n\r\n[1]",
        message("speech.phrase", "0" * 32, RecognitionStatus=5, DisplayText=3),
        message("speech.phrase", "0" * 32, RecognitionStatus="Success", NBest=[]),
        message("speech.hypothesis", "0" * 32, Text=7),
    )
    async with scripted({PATH: Speech(*nonsense)}) as server, transcriber("azure", server) as one:
        assert [one for one in await said(one) if one[0]] == [("hello", False), ("Hello!", True)]


@in_asyncio
async def test_the_region_is_where_it_is():
    async with ClientSession() as http:
        assert Azure(http, {"region": "westeurope"}).base_url == "https://westeurope.stt.speech.microsoft.com"
        assert Azure(http, {"region": "chinanorth3"}).base_url == "https://chinanorth3.stt.speech.azure.cn"
        assert Azure(http, {"region": ""}).base_url == "https://eastus.stt.speech.microsoft.com"
        assert Azure(http, {"region": "x", "base_url": "http://here/"}).base_url == "http://here"
