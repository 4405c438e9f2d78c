"""Google Cloud Text-to-Speech, against a server that refuses what theirs would."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted
from vsi_esl.providers.base import PERMANENT_AUTH, PERMANENT_INPUT, UNKNOWN
from vsi_esl.providers.tts import google

from .ttssupport import KEY, PCM, TEXT, failure, loudest_hz, sine, spoken, wav

TOKEN = "ya29.token-of-this-machine"


def synthesize(asked: list[Any], file: bytes | None = None, token: str = "") -> dict[str, Any]:
    """The route of text:synthesize; with `token` for those who have that."""

    async def handle(request: web.Request) -> web.StreamResponse:
        known = {"X-Goog-Api-Key": KEY} if not token else {"Authorization": f"Bearer {token}"}
        if any(request.headers.get(name) != value for name, value in known.items()):
            return web.json_response({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, status=401)
        body = await request.json()
        assert request.method == "POST" and set(body) == {"input", "voice", "audioConfig"}
        assert body["audioConfig"] == {"audioEncoding": "LINEAR16", "sampleRateHertz": 16000}
        assert set(body["input"]) <= {"text", "prompt"} and body["input"]["text"] == TEXT
        assert set(body["voice"]) <= {"languageCode", "name", "modelName"}
        asked.append((body["input"].get("prompt"), body["voice"]))
        content = base64.b64encode(wav(PCM) if file is None else file).decode()
        return web.json_response({"audioContent": content})

    return {"/v1/text:synthesize": handle}


@in_asyncio
async def test_it_speaks():
    asked: list[Any] = []
    async with scripted(synthesize(asked)) as server:
        assert await spoken("google", base_url=server.http, voice="de-DE-Chirp3-HD-Kore") == PCM
        more = {"language": "fr-FR", "model": "gemini-2.5-flash-tts", "prompt": "cheerful"}
        assert await spoken("google", base_url=server.http, voice="Achernar", **more) == PCM
        assert await spoken("google", base_url=server.http, voice="Achernar") == PCM
    assert asked == [
        (None, {"languageCode": "de-DE", "name": "de-DE-Chirp3-HD-Kore"}),
        ("cheerful", {"languageCode": "fr-FR", "name": "Achernar", "modelName": "gemini-2.5-flash-tts"}),
        (None, {"languageCode": "en-US", "name": "Achernar"}),
    ]


@in_asyncio
async def test_a_file_at_another_rate_is_heard_as_it_is():
    async with scripted(synthesize([], wav(sine(440, 24000, 1.0), 24000))) as server:
        pcm = await spoken("google", base_url=server.http)
    assert abs(loudest_hz(pcm) - 440) < 2


@pytest.mark.parametrize("body", [b"{}", b"[]", b"no JSON", b'{"audioContent": "!"}', b'{"audioContent": 1}'])
@in_asyncio
async def test_an_answer_without_audio(body):
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    async with scripted({"/v1/text:synthesize": handle}) as server:
        error = await failure("google", base_url=server.http)
    assert (error.message, error.category) == ("google tts: an answer without audio", UNKNOWN)


@in_asyncio
async def test_another_format_is_not_heard():
    async with scripted(synthesize([], wav(PCM, channels=2))) as server:
        error = await failure("google", base_url=server.http)
    assert error.message.startswith("google tts: a WAV file of format 1, 2 channels")


@in_asyncio
async def test_what_google_answers_is_told_without_what_was_asked():
    async def refuse(request: web.Request) -> web.StreamResponse:
        message = f"Voice for {TEXT} does not exist, key {KEY}"
        return web.json_response({"error": {"code": 400, "message": message}}, status=400)

    async with scripted({"/v1/text:synthesize": refuse}) as server:
        error = await failure("google", base_url=server.http)
    assert error.message.startswith(
        'google tts: status 400: {"error": {"code": 400, "message": "Voice for ...'
    )
    assert error.category == PERMANENT_INPUT


@in_asyncio
async def test_the_credentials_of_this_machine(tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    tokens = []

    async def token(request: web.Request) -> web.StreamResponse:
        form = await request.post()
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = json.loads(base64.urlsafe_b64decode(form["assertion"].split(".")[1] + "=="))
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        tokens.append(claims["iss"])
        return web.json_response({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    asked: list[Any] = []
    async with scripted({"/token": token, **synthesize(asked, token=TOKEN)}) as server:
        file = tmp_path / "account.json"
        account = {
            "type": "service_account",
            "client_email": "speaker@example.com",
            "private_key": pem.decode(),
            "private_key_id": "1",
            "project_id": "p",
            "token_uri": f"{server.http}/token",
        }
        file.write_text(json.dumps(account))
        os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)
        try:
            for _ in range(2):
                assert await spoken("google", base_url=server.http, api_key="") == PCM
        finally:
            del os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
            google._known = None
    assert len(asked) == 2
    assert tokens == ["speaker@example.com"], "a token is asked for once"


@in_asyncio
async def test_a_file_of_credentials_that_is_none(tmp_path):
    file = tmp_path / "account.json"
    file.write_text("{}")
    os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)
    try:
        error = await failure("google", api_key="")
    finally:
        del os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
    assert error.message == "google tts: no credentials of this machine: DefaultCredentialsError"
    assert error.category == PERMANENT_AUTH


@in_asyncio
async def test_without_google_auth_it_says_what_to_install():
    loaded = google.importlib.import_module

    def missing(name: str) -> Any:
        if name.startswith("google.auth"):
            raise ModuleNotFoundError(name)
        return loaded(name)

    google.importlib.import_module = missing
    try:
        error = await failure("google", api_key="")
    finally:
        google.importlib.import_module = loaded
    assert error.message.endswith("pip install 'vsi_esl[google]'") and error.category == PERMANENT_AUTH
