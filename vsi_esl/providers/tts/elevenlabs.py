"""ElevenLabs: POST /v1/text-to-speech/{voice}/stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import orjson

from ..answers import audio
from ..base import Synthesiser

MODEL = "eleven_multilingual_v2"


class ElevenLabs(Synthesiser):
    """`settings`: text, voice (an id), model, api_key, base_url.

    The language is the model's to find: most models refuse a request that names one.
    """

    BASE_URL = "https://api.elevenlabs.io"

    def speak(self) -> AsyncIterator[bytes]:
        voice = quote(str(self.settings["voice"]), safe="")
        url = f"{self.base_url}/v1/text-to-speech/{voice}/stream?output_format=pcm_16000"
        headers = {"xi-api-key": str(self.settings["api_key"]), "Content-Type": "application/json"}
        body = orjson.dumps({"text": self.settings["text"], "model_id": self.settings.get("model") or MODEL})
        return audio(self, "elevenlabs", url, headers, body)


PROVIDER = ElevenLabs
