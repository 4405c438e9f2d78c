"""ElevenLabs, Deepgram, Azure and OpenAI, against servers that refuse what theirs would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted
from vsi_esl.providers import answers
from vsi_esl.providers.base import (
    PERMANENT_AUTH,
    PERMANENT_INPUT,
    RATE_LIMITED,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    UNKNOWN,
)

from .ttssupport import KEY, PCM, TEXT, failure, loudest_hz, provider, sine, spoken

Server = Callable[[web.Request, list[Any]], Awaitable[bytes]]


async def elevenlabs(request: web.Request, asked: list[Any]) -> bytes:
    if request.headers.get("xi-api-key") != KEY:
        raise web.HTTPUnauthorized(text='{"detail":{"status":"invalid_api_key"}}')
    body = await request.json()
    language = body.pop("language_code", "")
    if language and (body["model_id"] == "eleven_multilingual_v2" or len(language) != 2):
        raise web.HTTPBadRequest(text='{"detail":{"status":"unsupported_language"}}')
    if request.method != "POST" or set(body) != {"text", "model_id"} or body["text"] != TEXT:
        raise web.HTTPUnprocessableEntity(text='{"detail":[]}')
    if request.content_type != "application/json" or dict(request.query) != {"output_format": "pcm_16000"}:
        raise web.HTTPBadRequest
    asked.append((request.match_info["voice"], body["model_id"], language))
    return PCM


async def deepgram(request: web.Request, asked: list[Any]) -> bytes:
    if request.headers.get("Authorization") != f"Token {KEY}":
        raise web.HTTPUnauthorized(text='{"err_code":"INVALID_AUTH"}')
    query = dict(request.query)
    asked.append(query.pop("model"))
    if query != {"encoding": "linear16", "sample_rate": "16000", "container": "none"}:
        raise web.HTTPBadRequest(text='{"err_code":"UNSUPPORTED_AUDIO_FORMAT"}')
    if request.method != "POST" or await request.json() != {"text": TEXT}:
        raise web.HTTPBadRequest(text='{"err_code":"Bad Request"}')
    return PCM


async def azure(request: web.Request, asked: list[Any]) -> bytes:
    if request.headers.get("Ocp-Apim-Subscription-Key") != KEY:
        raise web.HTTPUnauthorized
    if request.content_type != "application/ssml+xml" or not request.headers.get("User-Agent"):
        raise web.HTTPUnsupportedMediaType
    if request.headers.get("X-Microsoft-OutputFormat") != "raw-16khz-16bit-mono-pcm":
        raise web.HTTPBadRequest
    speak = ElementTree.fromstring(await request.text())
    (voice,) = speak
    assert speak.tag == "{http://www.w3.org/2001/10/synthesis}speak" and speak.get("version") == "1.0"
    assert not len(voice)
    asked.append((voice.get("name"), speak.get("{http://www.w3.org/XML/1998/namespace}lang"), voice.text))
    return PCM


async def openai(request: web.Request, asked: list[Any]) -> bytes:
    body = await request.json()
    known = {"model", "voice", "input", "instructions", "response_format", "speed", "stream_format"}
    if not set(body) <= known or body["response_format"] != "pcm" or body["input"] != TEXT:
        raise web.HTTPBadRequest
    key = request.headers.get("Authorization")
    asked.append((key, body["model"], body["voice"], body.get("instructions")))
    return sine(440, 24000, 1.0)


SERVERS: dict[str, tuple[str, Server]] = {
    "elevenlabs": ("/v1/text-to-speech/{voice}/stream", elevenlabs),
    "deepgram": ("/v1/speak", deepgram),
    "azure": ("/cognitiveservices/v1", azure),
    "openai": ("/audio/speech", openai),
}
NAMES = sorted(SERVERS)


def serving(name: str, asked: list[Any]) -> Any:
    """A provider's server. Its audio comes in chunks that end between the two bytes of a sample."""
    path, server = SERVERS[name]

    async def handle(request: web.Request) -> web.StreamResponse:
        pcm = await server(request, asked)
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await answer.prepare(request)
        for at in range(0, len(pcm), 3001):
            await answer.write(pcm[at : at + 3001])
        return answer

    return scripted({path: handle})


def answering(name: str, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    return scripted({SERVERS[name][0]: answer})


@in_asyncio
async def test_elevenlabs_speaks():
    asked: list[Any] = []
    async with serving("elevenlabs", asked) as server:
        assert await spoken("elevenlabs", base_url=server.http, voice="a/b?c", language="de") == PCM
        base = {"base_url": server.http + "/", "model": "eleven_flash_v2_5"}
        assert await spoken("elevenlabs", **base) == PCM
        assert await spoken("elevenlabs", **base, language="pt-BR") == PCM
    assert asked == [
        ("a/b?c", "eleven_multilingual_v2", ""),
        ("v1", "eleven_flash_v2_5", ""),
        ("v1", "eleven_flash_v2_5", "pt"),
    ]


@in_asyncio
async def test_deepgram_speaks():
    asked: list[Any] = []
    async with serving("deepgram", asked) as server:
        assert await spoken("deepgram", base_url=server.http, voice="aura-2-thalia-en&x", model="m") == PCM
    assert asked == ["aura-2-thalia-en&x"]


@in_asyncio
async def test_azure_speaks_text_and_no_markup():
    asked: list[Any] = []
    async with serving("azure", asked) as server:
        base = {"base_url": server.http, "region": "eastus"}
        assert await spoken("azure", **base, voice="de-DE-KatjaNeural") == PCM
        assert await spoken("azure", **base, voice='x"><y', language="fr-FR") == PCM
        assert await spoken("azure", **base, text="a\x00b\x0b\ud83d") == PCM
    assert asked == [
        ("de-DE-KatjaNeural", "de-DE", TEXT),
        ('x"><y', "fr-FR", TEXT),
        ("v1", "en-US", "a b  "),
    ]


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("westeurope", "westeurope.tts.speech.microsoft.com"),
        ("chinaeast2", "chinaeast2.tts.speech.azure.cn"),
        ("usgovvirginia", "usgovvirginia.tts.speech.azure.us"),
    ],
)
@in_asyncio
async def test_azure_is_where_its_region_is(region, host):
    async with provider("azure", region=region) as one:
        assert one.base_url == f"https://{host}"


@in_asyncio
async def test_openai_speaks_with_a_key_or_without():
    asked: list[Any] = []
    async with serving("openai", asked) as server:
        base = {"base_url": server.http, "voice": "coral"}
        pcm = await spoken("openai", **base, prompt="cheerful")
        await spoken("openai", **base, api_key="", model="kokoro")
    assert asked == [
        (f"Bearer {KEY}", "gpt-4o-mini-tts", "coral", "cheerful"),
        (None, "kokoro", "coral", None),
    ]
    assert len(pcm) == 32000 and abs(loudest_hz(pcm) - 440) < 2


@pytest.mark.parametrize("name", NAMES)
@in_asyncio
async def test_the_first_bytes_are_there_before_the_last(name):
    more = asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await answer.prepare(request)
        await answer.write(PCM[:9600])
        await more.wait()
        await answer.write(PCM[9600:])
        return answer

    async with (
        answering(name, slowly) as server,
        provider(name, base_url=server.http, region="x") as one,
    ):
        pieces = one.speak()
        assert await anext(pieces)
        more.set()
        assert [piece async for piece in pieces]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, PERMANENT_INPUT),
        (401, PERMANENT_AUTH),
        (403, PERMANENT_AUTH),
        (404, PERMANENT_INPUT),
        (408, RETRYABLE),
        (422, PERMANENT_INPUT),
        (429, RATE_LIMITED),
        (500, SERVICE_UNAVAILABLE),
        (503, SERVICE_UNAVAILABLE),
    ],
)
@in_asyncio
async def test_what_a_provider_answers_is_told_without_what_was_asked(name, status, category):
    quoted = json.dumps({"detail": f"no {TEXT} with {KEY}", "voice": "bad\nvoice"})

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=quoted + "x" * 2000, content_type="application/json")

    async with answering(name, refuse) as server:
        error = await failure(name, base_url=server.http, region="x")
    assert error.category == category
    assert error.message.startswith(f"{name}: status {status}: ")
    assert "detail" in error.message and "with" in error.message
    assert len(error.message) < 1200 and "\n" not in error.message


@in_asyncio
async def test_azure_says_what_its_headers_say():
    async def refuse(request: web.Request) -> web.StreamResponse:
        headers = {"X-Microsoft-Error-Code": "0x1", "X-Microsoft-Error-Message": f"bad key {KEY}"}
        return web.Response(status=401, headers=headers)

    async with answering("azure", refuse) as server:
        error = await failure("azure", base_url=server.http, region="x")
    assert error.message == ('azure: status 401: body="" ms-error-code="0x1" ms-error-message="bad key ..."')


@pytest.mark.parametrize("name", NAMES)
@in_asyncio
async def test_a_redirect_is_not_followed(name):
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/other")

    async with answering(name, elsewhere) as server:
        error = await failure(name, base_url=server.http, region="x")
    assert error.message.startswith(f"{name}: status 307: ")


@pytest.mark.parametrize("name", NAMES)
@in_asyncio
async def test_an_answer_that_is_no_audio_is_not_heard(name):
    async def friendly(request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "come back later"})

    async with answering(name, friendly) as server:
        error = await failure(name, base_url=server.http, region="x")
    assert (error.message, error.category) == (
        f"{name}: answered with application/json, not with audio",
        UNKNOWN,
    )


@pytest.mark.parametrize("name", NAMES)
@in_asyncio
async def test_an_answer_that_breaks_off(name):
    async def broken(request: web.Request) -> web.StreamResponse:
        await request.read()  # else the server waits for the rest of it
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm", "Content-Length": "64000"})
        await answer.prepare(request)
        await answer.write(PCM[:3200])
        request.transport.close()
        return answer

    async with answering(name, broken) as server:
        error = await failure(name, base_url=server.http, region="x")
    assert error.category == RETRYABLE and error.message.startswith(f"{name}: ")


@in_asyncio
async def test_nobody_there(unused):
    error = await failure("elevenlabs", base_url=f"http://user:{KEY}@127.0.0.1:{unused}")
    assert error.category == RETRYABLE
    assert error.message == "elevenlabs: cannot connect: Connection refused"


@in_asyncio
async def test_a_provider_that_says_nothing_is_given_up():
    over = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    before = answers.TIMEOUT
    answers.TIMEOUT = answers.aiohttp.ClientTimeout(sock_read=0.1)
    try:
        async with answering("deepgram", silent) as server:
            error = await failure("deepgram", base_url=server.http)
            over.set()
    finally:
        answers.TIMEOUT = before
    assert (error.message, error.category) == ("deepgram: no answer in time", RETRYABLE)


@in_asyncio
async def test_a_key_with_a_line_break_goes_nowhere():
    async with serving("elevenlabs", []) as server:
        error = await failure("elevenlabs", base_url=server.http, api_key=f"{KEY}\r\nx: y")
    assert (error.message, error.category) == ("elevenlabs: a key that no header can hold", PERMANENT_AUTH)
    assert not server.requests


@pytest.fixture
def unused() -> int:
    """A port on which nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
