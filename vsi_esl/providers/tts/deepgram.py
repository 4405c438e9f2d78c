"""Deepgram: POST /v1/speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import orjson

from ..answers import audio
from ..base import RATE, Synthesiser


class Deepgram(Synthesiser):
    """`settings`: text, voice (a model, such as aura-2-thalia-en, which is of one language), api_key,
    base_url."""

    BASE_URL = "https://api.deepgram.com"

    def speak(self) -> AsyncIterator[bytes]:
        asked = {
            "model": self.settings["voice"],
            "encoding": "linear16",
            "sample_rate": RATE,
            "container": "none",
        }
        headers = {
            "Authorization": f"Token {self.settings['api_key']}",
            "Content-Type": "application/json",
        }
        body = orjson.dumps({"text": self.settings["text"]})
        return audio(self, "deepgram", f"{self.base_url}/v1/speak?{urlencode(asked)}", headers, body)


PROVIDER = Deepgram
