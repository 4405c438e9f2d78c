"""Polly, against a server that refuses what Amazon's would."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiohttp import web

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted
from vsi_esl.providers.base import (
    PERMANENT_AUTH,
    PERMANENT_INPUT,
    RATE_LIMITED,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    UNKNOWN,
)
from vsi_esl.providers.tts import aws

from .ttssupport import KEY, PCM, TEXT, failure, provider, spoken

ACCESS = "AKIAEXAMPLE0123456789"
PAIR = f"{ACCESS}:{KEY}"
SIGNED = re.compile(
    rf"AWS4-HMAC-SHA256 Credential={ACCESS}/\d{{8}}/(?P<region>[a-z0-9-]+)/polly/aws4_request,"
    r" SignedHeaders=[a-z0-9;-]*host[a-z0-9;-]*, Signature=[0-9a-f]{64}\Z"
)
ENGINES = {"standard", "neural", "long-form", "generative"}


def polly(asked: list[Any], pcm: bytes = PCM) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        signed = SIGNED.match(request.headers.get("Authorization", ""))
        body = await request.json()
        if not signed:
            return web.json_response({"message": "no signature"}, status=403)
        if set(body) != {"Text", "VoiceId", "Engine", "OutputFormat", "SampleRate"} or body["Text"] != TEXT:
            return web.json_response({"message": "bad"}, status=400)
        if (body["OutputFormat"], body["SampleRate"]) != ("pcm", "16000") or body["Engine"] not in ENGINES:
            return web.json_response({"message": "bad"}, status=400)
        asked.append((signed["region"], body["VoiceId"], body["Engine"]))
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm", "x-amzn-RequestCharacters": "9"})
        await answer.prepare(request)
        for at in range(0, len(pcm), 3001):
            await answer.write(pcm[at : at + 3001])
        return answer

    return scripted({"/v1/speech": handle})


def refusing(status: int, kind: str, message: str) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({"message": message}, status=status, headers={"x-amzn-ErrorType": kind})

    return scripted({"/v1/speech": handle})


@in_asyncio
async def test_it_speaks():
    asked: list[Any] = []
    async with polly(asked) as server:
        base = {"base_url": server.http, "api_key": PAIR, "voice": "Joanna"}
        assert await spoken("aws", **base) == PCM
        assert await spoken("aws", **base, region="eu-central-1", model="generative") == PCM
        assert await spoken("aws", **base, model="no-such-engine") == PCM
    assert asked == [
        ("us-east-1", "Joanna", "neural"),
        ("eu-central-1", "Joanna", "generative"),
        ("us-east-1", "Joanna", "neural"),
    ]


@in_asyncio
async def test_the_first_bytes_are_there_before_the_last():
    more = asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await answer.prepare(request)
        await answer.write(PCM[: 2 * aws.PIECE])
        await more.wait()
        await answer.write(PCM[2 * aws.PIECE :])
        return answer

    async with (
        scripted({"/v1/speech": slowly}) as server,
        provider("aws", base_url=server.http, api_key=PAIR) as one,
    ):
        pieces = one.speak()
        assert await anext(pieces)
        more.set()
        assert [piece async for piece in pieces]


@pytest.mark.parametrize("pair", ["nocolon", ":secret", "access:"])
@in_asyncio
async def test_half_a_key(pair):
    error = await failure("aws", api_key=pair)
    assert error.message == (
        "polly: build client: polly: invalid api_key format, expected 'ACCESS_KEY:SECRET_KEY'"
    )
    assert error.category == UNKNOWN


@pytest.mark.parametrize(
    ("status", "kind", "category"),
    [
        (400, "InvalidSampleRateException", PERMANENT_INPUT),
        (400, "ThrottlingException", RATE_LIMITED),
        (403, "UnrecognizedClientException", PERMANENT_AUTH),
        (400, "InvalidSignatureException", PERMANENT_AUTH),
        (500, "ServiceFailureException", SERVICE_UNAVAILABLE),
    ],
)
@in_asyncio
async def test_what_amazon_answers_is_told_without_what_was_asked(status, kind, category):
    async with refusing(status, kind, f"not {TEXT} with {PAIR}") as server:
        error = await failure("aws", base_url=server.http, api_key=PAIR)
    assert error.message.startswith(f"polly: status {status}: {kind}: not ...")
    assert ACCESS not in error.message
    assert error.category == category
    assert len(server.requests) == 1, "whoever speaks counts the tries"


@in_asyncio
async def test_an_answer_that_breaks_off():
    async def broken(request: web.Request) -> web.StreamResponse:
        await request.read()  # else the server waits for the rest of it
        answer = web.StreamResponse(headers={"Content-Type": "audio/pcm", "Content-Length": "64000"})
        await answer.prepare(request)
        await answer.write(PCM[:3200])
        request.transport.close()
        return answer

    async with scripted({"/v1/speech": broken}) as server:
        error = await failure("aws", base_url=server.http, api_key=PAIR)
    assert error.category == RETRYABLE and error.message.startswith("polly: ")


@in_asyncio
async def test_nobody_there():
    error = await failure("aws", base_url="http://127.0.0.1:1", api_key=PAIR)
    assert (error.message, error.category) == ("polly: EndpointConnectionError", RETRYABLE)
