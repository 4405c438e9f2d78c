"""ElevenLabs' recognition, against a server that refuses what theirs would."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aiohttp import web

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted, websocket

from .support import FRAME, KEY, refusal, said, transcriber

PATH = "/v1/speech-to-text/realtime"
KNOWN = {"model_id", "language_code", "audio_format", "commit_strategy", "keyterms"}


class Scribe:
    """A guess with the third chunk; what was committed when it pauses, and when it is told to commit."""

    def __init__(self, *more: Any, last: tuple[Any, ...] = ({"message_type": "commit_throttled"},)) -> None:
        self.more, self.last = more, last
        self.heard = b""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        socket = await websocket(request)
        if request.headers.get("xi-api-key") != KEY:
            await socket.send_json({"message_type": "auth_error", "error": f"no such key: {KEY}"})
            await socket.close(code=1008)
            return socket
        query = request.query
        if (
            not set(query) <= KNOWN
            or query["audio_format"] != "pcm_16000"
            or query["commit_strategy"] != "vad"
        ):
            await socket.send_json({"message_type": "invalid_request", "error": "unknown parameter"})
            await socket.close(code=1008)
            return socket
        await socket.send_json({"message_type": "session_started", "session_id": "s", "config": {}})
        chunks = 0
        async for message in socket:
            chunk = json.loads(message.data)
            assert set(chunk) <= {"message_type", "audio_base_64", "commit", "sample_rate", "previous_text"}
            assert (chunk["message_type"], chunk["sample_rate"]) == ("input_audio_chunk", 16000)
            self.heard += base64.b64decode(chunk["audio_base_64"], validate=True)
            if chunk["commit"] is True:
                for one in self.last:
                    await socket.send_json(one)
                continue
            assert chunk["commit"] is False
            chunks += 1
            if chunks == 3:
                await socket.send_json({"message_type": "partial_transcript", "text": "hel"})
                await socket.send_json({"message_type": "committed_transcript", "text": "hello world"})
                for one in self.more:
                    await (socket.send_str(one) if isinstance(one, str) else socket.send_json(one))
        return socket


@in_asyncio
async def test_guesses_and_texts():
    scribe = Scribe()
    async with (
        scripted({PATH: scribe}) as server,
        transcriber("elevenlabs", server, language="de", keyterms=["Ada"]) as one,
    ):
        assert await said(one) == [("hel", False), ("hello world", True)]
    query = dict(server.requests[0].query)
    assert query == {
        "model_id": "scribe_v2_realtime",
        "language_code": "de",
        "audio_format": "pcm_16000",
        "commit_strategy": "vad",
        "keyterms": "Ada",
    }
    assert scribe.heard == FRAME * 5


@in_asyncio
async def test_what_was_on_its_way_when_the_audio_ended():
    """What they committed by themselves comes first, what we have them commit behind it."""
    last = (
        {"message_type": "committed_transcript", "text": "good"},
        {"message_type": "committed_transcript", "text": "bye"},
    )
    async with (
        scripted({PATH: Scribe(last=last)}) as server,
        transcriber("elevenlabs", server, model="scribe_v3") as one,
    ):
        assert (await said(one))[-2:] == [("good", True), ("bye", True)]
    assert server.requests[0].query["model_id"] == "scribe_v3"


@in_asyncio
async def test_a_wrong_key():
    async with scripted({PATH: Scribe()}) as server, transcriber("elevenlabs", server, api_key="x") as one:
        assert await refusal(lambda: said(one, 0)) == ("permanent_auth", "elevenlabs: reported auth_error")


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("quota_exceeded", "permanent_auth"),
        ("rate_limited", "rate_limited"),
        ("transcriber_error", "service_unavailable"),
        ("input_error", "permanent_input"),
        ("session_time_limit_exceeded", "retryable"),
        ("error", "retryable"),
    ],
)
@in_asyncio
async def test_errors_that_it_reports(kind, category):
    error = {"message_type": kind, "error": f"{KEY} said hello"}
    async with scripted({PATH: Scribe(error)}) as server, transcriber("elevenlabs", server) as one:
        assert await refusal(lambda: said(one)) == (category, f"elevenlabs: reported {kind}")


@in_asyncio
async def test_what_cannot_be_read_is_passed_over():
    nonsense = ("{", "null", {}, {"message_type": 3}, {"message_type": "committed_transcript", "text": None})
    async with scripted({PATH: Scribe(*nonsense)}) as server, transcriber("elevenlabs", server) as one:
        assert await said(one) == [("hel", False), ("hello world", True)]
