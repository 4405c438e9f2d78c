"""ElevenLabs: POST /v1/text-to-speech/{voice}/stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import orjson

from ..answers import audio
from ..base import Synthesiser

MODEL = "eleven_multilingual_v2"
FINDS_LANGUAGE = frozenset({MODEL})
"""The language is theirs to find; others are told an ISO 639-1 code, or ignore it."""


class ElevenLabs(Synthesiser):
    """`settings`: text, voice (an id), model, language (which not every model is told), api_key, base_url."""

    BASE_URL = "https://api.elevenlabs.io"

    def speak(self) -> AsyncIterator[bytes]:
        voice = quote(str(self.settings["voice"]), safe="")
        url = f"{self.base_url}/v1/text-to-speech/{voice}/stream?output_format=pcm_16000"
        headers = {"xi-api-key": str(self.settings["api_key"]), "Content-Type": "application/json"}
        return audio(self, "elevenlabs", url, headers, orjson.dumps(self._body()))

    def _body(self) -> dict[str, str]:
        model = str(self.settings.get("model") or MODEL)
        body = {"text": str(self.settings["text"]), "model_id": model}
        language = str(self.settings.get("language") or "").partition("-")[0].lower()
        if language and model not in FINDS_LANGUAGE:
            body["language_code"] = language
        return body


PROVIDER = ElevenLabs
