"""Azure's speech services: POST /cognitiveservices/v1, with SSML."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ..answers import audio, private
from ..base import Provider, Synthesiser
from ..voices import language_of, speech_service

FORMAT = "raw-16khz-16bit-mono-pcm"
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may have."""


class Azure(Synthesiser):
    """`settings`: text, voice, language (of the voice's name when empty), api_key, region, base_url."""

    @classmethod
    def address(cls, settings: Mapping[str, Any]) -> str:
        return super().address(settings) or speech_service("tts", str(settings["region"]))

    def speak(self) -> AsyncIterator[bytes]:
        headers = {
            "Ocp-Apim-Subscription-Key": str(self.settings["api_key"]),
            "Content-Type": "application/ssml+xml",
            "X-Microsoft-OutputFormat": FORMAT,
            "User-Agent": "vsi-esl",
        }
        url = f"{self.base_url}/cognitiveservices/v1"
        return audio(self, "azure", url, headers, self._ssml().encode(), explain=_in_full)

    def _ssml(self) -> str:
        """The text, spoken by one voice."""
        voice = str(self.settings["voice"])
        language = quoteattr(_xml(str(self.settings.get("language") or language_of(voice))))
        text = escape(_xml(str(self.settings["text"])))
        return (
            f'<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang={language}>'
            f"<voice name={quoteattr(_xml(voice))}>{text}</voice></speak>"
        )


def _in_full(provider: Provider, body: str, headers: Mapping[str, str]) -> str:
    """With what the headers say: the body is mostly empty."""
    said = {
        "body": body,
        "ms-error-code": headers.get("X-Microsoft-Error-Code", ""),
        "ms-error-message": headers.get("X-Microsoft-Error-Message", ""),
    }
    return " ".join(f"{name}={json.dumps(private(provider, text))}" for name, text in said.items())


def _xml(text: str) -> str:
    return NO_XML.sub(" ", text)


PROVIDER = Azure
