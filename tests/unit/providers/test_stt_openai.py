"""OpenAI's recognition, both ways, against servers that refuse what theirs would."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted, websocket
from vsi_esl.providers.stt import openai
from vsi_esl.providers.utterances import Utterances

from .support import FRAME, KEY, collect, refusal, said, transcriber

TRANSCRIPTION = "conversation.item.input_audio_transcription"
WITHOUT_TURNS = ("gpt-realtime-whisper", "gpt-live-transcribe")


def speech(seconds: float) -> bytes:
    """Something loud."""
    at = np.arange(int(16000 * seconds)) / 16000
    return (8000 * np.sin(2 * np.pi * 300 * at)).astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    return bytes(int(16000 * seconds) * 2)


def frames(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + 640] for at in range(0, len(pcm), 640)]


class Realtime:
    """`/realtime`: parts and text of an utterance when 50 ms have come; another when it is told to commit."""

    def __init__(self, *more: Any) -> None:
        self.more = more
        self.session: dict[str, Any] = {}
        self.heard = b""
        self.commits = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise web.HTTPUnauthorized
        if dict(request.query) != {"intent": "transcription"}:
            raise web.HTTPBadRequest
        socket = await websocket(request)
        await socket.send_json({"type": "session.created", "event_id": "e", "session": {}})
        async for message in socket:
            event = json.loads(message.data)
            match event["type"]:
                case "session.update":
                    await self._configure(socket, event["session"])
                case "input_audio_buffer.append":
                    assert set(event) <= {"type", "audio", "event_id"}
                    before, more = len(self.heard), base64.b64decode(event["audio"], validate=True)
                    self.heard += more
                    if before < 2400 <= len(self.heard) and self.session["turn_detection"]:
                        await self._utterance(socket, "item_1", ["Hel", "lo "], "Hello world. ")
                        for one in self.more:
                            await (socket.send_str if isinstance(one, str) else socket.send_json)(one)
                case "input_audio_buffer.commit":
                    self.commits += 1
                    if len(self.heard) < 2400:
                        await self._refuse(socket, "input_audio_buffer_commit_empty", event.get("event_id"))
                    else:
                        await self._utterance(socket, f"item_{self.commits + 1}", ["By"], "Bye.")
                case _:
                    await self._refuse(socket, "unknown_event")
        return socket

    async def _configure(self, socket: web.WebSocketResponse, session: dict[str, Any]) -> None:
        assert session["type"] == "transcription"
        self.session = session["audio"]["input"]
        assert set(self.session) <= {"format", "transcription", "turn_detection", "noise_reduction"}
        assert self.session["format"] == {"type": "audio/pcm", "rate": 24000}
        assert set(self.session["transcription"]) <= {"model", "language", "keywords", "prompt"}
        if self.session["transcription"]["model"] in WITHOUT_TURNS:
            assert self.session["turn_detection"] is None
        else:
            assert self.session["turn_detection"]["type"] == "server_vad"
        await socket.send_json({"type": "session.updated", "event_id": "e", "session": session})

    async def _refuse(self, socket: web.WebSocketResponse, code: str, event: str | None = None) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "said hello", "event_id": event}
        await socket.send_json({"type": "error", "event_id": "e", "error": error})

    async def _utterance(self, socket: web.WebSocketResponse, item: str, parts: list[str], text: str) -> None:
        common = {"event_id": "e", "item_id": item, "content_index": 0}
        await socket.send_json({"type": "input_audio_buffer.committed", "event_id": "e", "item_id": item})
        for part in parts:
            await socket.send_json({"type": f"{TRANSCRIPTION}.delta", **common, "delta": part})
        await socket.send_json(
            {"type": f"{TRANSCRIPTION}.completed", **common, "transcript": text, "usage": {}}
        )


HELLO = [("Hel", False), ("Hello ", False), ("Hello world.", True)]
BYE = [("By", False), ("Bye.", True)]


@in_asyncio
async def test_realtime_guesses_and_texts():
    realtime = Realtime()
    async with (
        scripted({"/v1/realtime": realtime}) as server,
        transcriber(
            "openai", server, base_url=f"{server.http}/v1", language="de-CH", keyterms=["Ada"]
        ) as one,
    ):
        assert await said(one, 10) == HELLO + BYE
    assert realtime.session["transcription"] == {
        "model": "gpt-transcribe",
        "language": "de",
        "keywords": ["Ada"],
    }
    assert len(realtime.heard) % 2 == 0
    assert 7200 <= len(realtime.heard) <= 9600  # 200 ms at 24 kHz, but for what the resampler keeps back


@in_asyncio
async def test_realtime_ends_when_nothing_is_left_to_commit():
    async with (
        scripted({"/v1/realtime": Realtime()}) as server,
        transcriber("openai", server, base_url=f"{server.http}/v1") as one,
    ):
        assert await said(one, 0) == []


@in_asyncio
async def test_realtime_models_that_find_no_ends_of_utterances():
    """The ends are found here."""
    realtime = Realtime()
    async with (
        scripted({"/v1/realtime": realtime}) as server,
        transcriber("openai", server, base_url=f"{server.http}/v1", model="gpt-live-transcribe") as one,
    ):
        await one.open()
        texts = one.texts()
        for frame in frames(speech(0.5) + silence(1)):
            await one.send(frame)
        async with asyncio.timeout(20):
            assert [(await anext(texts)).text, (await anext(texts)).text] == ["By", "Bye."]
    assert realtime.commits == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ({"type": "invalid_request_error", "code": "model_not_found"}, "permanent_input"),
        ({"type": "authentication_error", "code": "invalid_api_key"}, "permanent_auth"),
        ({"type": "server_error", "code": None}, "retryable"),
    ],
)
@in_asyncio
async def test_realtime_errors(error, outcome):
    more = {"type": "error", "event_id": "e", "error": {**error, "message": f"{KEY} hello"}}
    async with (
        scripted({"/v1/realtime": Realtime(more)}) as server,
        transcriber("openai", server, base_url=f"{server.http}/v1") as one,
    ):
        await one.open()
        texts = asyncio.create_task(collect(one))
        for _ in range(10):
            await one.send(FRAME)
        assert (await refusal(lambda: texts))[0] == outcome


@in_asyncio
async def test_realtime_what_does_not_end_it():
    """An utterance that could not be understood, errors that the session is said to survive, and nonsense."""
    more = (
        {"type": f"{TRANSCRIPTION}.failed", "item_id": "item_9", "error": {"type": "x", "message": "hello"}},
        {"type": "error", "error": {"type": "rate_limit_error", "message": "slower"}},
        {"type": "error"},
        {"type": f"{TRANSCRIPTION}.delta", "item_id": 5, "delta": {}},
        {"type": f"{TRANSCRIPTION}.completed"},
        "{",
    )
    async with (
        scripted({"/v1/realtime": Realtime(*more)}) as server,
        transcriber("openai", server, base_url=f"{server.http}/v1") as one,
    ):
        await one.open()
        texts = one.texts()
        for _ in range(10):
            await one.send(FRAME)
        assert [((found := await anext(texts)).text, found.final) for _ in HELLO] == HELLO
        await one.finish()
        assert [(found.text, found.final) async for found in texts] == BYE


class Transcriptions:
    """`/audio/transcriptions`; `statuses` are those of the first requests."""

    def __init__(self, *statuses: int, body: str = "", in_pieces: bool = False) -> None:
        self.statuses, self.body, self.in_pieces = list(statuses), body, in_pieces
        self.forms: list[dict[str, Any]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.method == "POST"
        if request.headers.get("Authorization", f"Bearer {KEY}") != f"Bearer {KEY}":
            return web.json_response({"error": {"message": f"wrong: {KEY}"}}, status=401)
        form = dict(await request.post())
        file = form.pop("file")
        assert isinstance(file, web.FileField) and file.filename.endswith(".wav")
        with wave.open(io.BytesIO(file.file.read())) as audio:
            assert (audio.getnchannels(), audio.getsampwidth(), audio.getframerate()) == (1, 2, 16000)
            self.forms.append({**form, "seconds": audio.getnframes() / 16000})
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return web.Response(status=status, text="a page that says hello")
        text = self.body or json.dumps({"text": f" Utterance {len(self.forms)}. "})
        if not self.in_pieces:
            return web.Response(text=text)
        answer = web.StreamResponse()
        await answer.prepare(request)
        for at in range(0, len(text), 8):
            await answer.write(text[at : at + 8].encode())
            await asyncio.sleep(0.01)  # a packet of its own
        return answer


async def transcribed(path_of: Transcriptions, pcm: bytes, **settings: Any) -> list[tuple[str, bool]]:
    async with (
        scripted({"/v1/audio/transcriptions": path_of}) as server,
        transcriber("openai", server, base_url=f"{server.http}/v1", api="transcriptions", **settings) as one,
    ):
        await one.open()
        texts = asyncio.create_task(collect(one))
        for frame in frames(pcm):
            await one.send(frame)
        await one.finish()
        async with asyncio.timeout(20):
            return await texts


@in_asyncio
async def test_a_request_for_each_utterance():
    one = Transcriptions()
    pcm = silence(0.5) + speech(1) + silence(1) + speech(0.5)
    assert await transcribed(one, pcm, model="Systran/faster-whisper-small", language="de") == [
        ("Utterance 1.", True),
        ("Utterance 2.", True),
    ]
    first, second = one.forms
    assert (first["model"], first["language"], first["response_format"]) == (
        "Systran/faster-whisper-small",
        "de",
        "json",
    )
    assert first["seconds"] == pytest.approx(1 + 0.28 + 0.7, abs=0.05)  # with some silence around it
    assert second["seconds"] == pytest.approx(0.5 + 0.28, abs=0.05)


@in_asyncio
async def test_requests_without_a_key():
    assert await transcribed(Transcriptions(), speech(0.5), api_key="") == [("Utterance 1.", True)]


@in_asyncio
async def test_an_answer_may_come_in_pieces():
    assert await transcribed(Transcriptions(in_pieces=True), speech(0.5)) == [("Utterance 1.", True)]


@in_asyncio
async def test_nobody_speaks():
    one = Transcriptions()
    assert await transcribed(one, silence(1) + speech(0.04) + silence(2)) == []
    assert one.forms == []


@in_asyncio
async def test_a_request_that_fails_for_a_moment_is_repeated():
    before, openai.PAUSE_S = openai.PAUSE_S, 0.01
    try:
        one = Transcriptions(503, 429)
        assert await transcribed(one, speech(0.5)) == [("Utterance 3.", True)]
        assert await refusal(lambda: transcribed(Transcriptions(500, 500, 500), speech(0.5))) == (
            "service_unavailable",
            "openai: refused an utterance: status 500",
        )
    finally:
        openai.PAUSE_S = before


@pytest.mark.parametrize(
    ("status", "body", "category"),
    [
        (400, "", "permanent_input"),
        (302, "", "unknown"),
        (200, "<html>", "service_unavailable"),
        (200, '{"text": 1}', "service_unavailable"),
        (200, "[]", "service_unavailable"),
    ],
)
@in_asyncio
async def test_answers_that_are_none(status, body, category):
    before, openai.PAUSE_S = openai.PAUSE_S, 0.01
    try:
        failing = Transcriptions(*[status] * 3, body=body)
        assert (await refusal(lambda: transcribed(failing, speech(0.5))))[0] == category
    finally:
        openai.PAUSE_S = before


@in_asyncio
async def test_a_wrong_key():
    category, _ = await refusal(lambda: transcribed(Transcriptions(), speech(0.5), api_key="wrong"))
    assert category == "permanent_auth"
    async with (
        scripted({"/v1/realtime": Realtime()}) as server,
        transcriber("openai", server, base_url=f"{server.http}/v1", api_key="wrong") as one,
    ):
        assert (await refusal(one.open))[0] == "permanent_auth"


def test_utterances_are_cut_where_it_is_quiet_and_when_they_are_long():
    cut = Utterances()
    assert cut.take(silence(3)) == []
    assert cut.take(speech(0.3)) == []
    (first,) = cut.take(silence(0.7))
    assert len(first) == len(silence(0.28 + 0.3 + 0.7))
    long = cut.take(speech(45))
    assert [len(one) // 32000 for one in long] == [20, 20]
    assert cut.end() is not None
    assert cut.end() is None
