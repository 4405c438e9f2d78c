"""Google Cloud Text-to-Speech: POST /v1/text:synthesize."""

from __future__ import annotations

import asyncio
import importlib
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from ..answers import answer
from ..base import PERMANENT_AUTH, RATE, RETRYABLE, UNKNOWN, ProviderError, Synthesiser
from ..samples import NotAudio, WavSamples
from ..voices import language_of

NAME = "google tts"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LONGEST_ANSWER = 64 << 20
"""Bytes: half an hour."""
TOKEN_S = 15.0
"""For the credentials of this machine."""


class Google(Synthesiser):
    """`settings`: text, voice, language (of the voice's name when empty), model, prompt (of the voices that
    take one), api_key, base_url. Without a key the credentials of this machine count, of which google-auth
    knows."""

    NEEDS_KEY = False
    BASE_URL = "https://texttospeech.googleapis.com"

    async def speak(self) -> AsyncIterator[bytes]:
        headers = {"Content-Type": "application/json; charset=utf-8", **await self._identity()}
        url = f"{self.base_url}/v1/text:synthesize"
        samples = WavSamples()
        try:
            async with answer(self, NAME, url, headers, orjson.dumps(self._asked())) as got:
                speech = _speech(await _whole(got.content.iter_chunked(1 << 16)))
            yield samples.feed(speech)
        except NotAudio as error:
            raise ProviderError(f"{NAME}: {error}", UNKNOWN) from None
        yield samples.rest()

    def _asked(self) -> dict[str, Any]:
        settings = self.settings
        voice = str(settings["voice"])
        asked: dict[str, Any] = {
            "input": {"text": settings["text"]},
            "voice": {"languageCode": settings.get("language") or language_of(voice), "name": voice},
            "audioConfig": {"audioEncoding": "LINEAR16", "sampleRateHertz": RATE},
        }
        if prompt := settings.get("prompt"):
            asked["input"]["prompt"] = prompt
        if model := settings.get("model"):
            asked["voice"]["modelName"] = model
        return asked

    async def _identity(self) -> Mapping[str, str]:
        if key := self.settings.get("api_key"):
            return {"X-Goog-Api-Key": str(key)}
        try:
            async with asyncio.timeout(TOKEN_S):
                return await asyncio.to_thread(_of_this_machine)
        except TimeoutError:
            raise ProviderError(f"{NAME}: no credentials of this machine in time", RETRYABLE) from None


async def _whole(pieces: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > LONGEST_ANSWER:
            raise ProviderError(f"{NAME}: an answer of more than {LONGEST_ANSWER} bytes", UNKNOWN)
    return bytes(body)


def _speech(body: bytes) -> bytes:
    try:
        return b64decode(orjson.loads(body)["audioContent"], validate=True)
    except (ValueError, LookupError, TypeError):
        raise ProviderError(f"{NAME}: an answer without audio", UNKNOWN) from None


_known: Any = None
"""The credentials of this machine: a token is good for an hour."""


def _of_this_machine() -> dict[str, str]:
    """The headers of a request. ProviderError when there are no credentials. Waits."""
    global _known  # noqa: PLW0603  (there is one machine)
    try:
        auth = importlib.import_module("google.auth")
        transport = importlib.import_module("google.auth.transport.urllib3")
        urllib3 = importlib.import_module("urllib3")
    except ImportError:
        raise ProviderError(
            f"{NAME}: no api_key, and for credentials of this machine: pip install 'vsi_esl[google]'",
            PERMANENT_AUTH,
        ) from None
    exceptions = importlib.import_module("google.auth.exceptions")
    try:
        found = _known
        if found is None:
            found, _ = auth.default(scopes=[SCOPE])
        if not found.valid:
            found.refresh(transport.Request(urllib3.PoolManager()))
        _known = found
    except exceptions.TransportError:
        raise ProviderError(f"{NAME}: no token: Google cannot be reached", RETRYABLE) from None
    except exceptions.GoogleAuthError as error:
        kind = type(error).__name__
        raise ProviderError(f"{NAME}: no credentials of this machine: {kind}", PERMANENT_AUTH) from None
    headers = {"Authorization": f"Bearer {found.token}"}
    if project := getattr(found, "quota_project_id", None):
        headers["X-Goog-User-Project"] = project
    return headers


PROVIDER = Google
