"""OpenAI's synthesis, or that of any server with the same interface: POST /audio/speech."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson

from ..answers import audio
from ..base import Synthesiser

MODEL = "gpt-4o-mini-tts"
THEIR_RATE = 24000
"""Of the format pcm."""


class OpenAI(Synthesiser):
    """`settings`: text, voice, model, prompt (how it is to be said), api_key (which a server of one's own may
    not need), base_url (with /v1)."""

    NEEDS_KEY = False
    BASE_URL = "https://api.openai.com/v1"

    def speak(self) -> AsyncIterator[bytes]:
        asked = {
            "model": self.settings.get("model") or MODEL,
            "voice": self.settings["voice"],
            "input": self.settings["text"],
            "response_format": "pcm",
        }
        if prompt := self.settings.get("prompt"):
            asked["instructions"] = prompt
        headers = {"Content-Type": "application/json"}
        if key := self.settings.get("api_key"):
            headers["Authorization"] = f"Bearer {key}"
        url = f"{self.base_url}/audio/speech"
        return audio(self, "openai", url, headers, orjson.dumps(asked), rate=THEIR_RATE)


PROVIDER = OpenAI
