"""Azure's speech recognition: messages with headers of their own, over a WebSocket.

A connection has turns, one after the other; each is a request with an id, begins with the head of a WAV file,
and is ended by the service, which may do so at any time.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from ..base import (
    PERMANENT_AUTH,
    PERMANENT_INPUT,
    RATE,
    RATE_LIMITED,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    ProviderError,
    Transcriber,
    Transcript,
)
from ..voices import speech_service
from ..websocket import ProviderSocket, websocket_url

PATH = "/speech/recognition/conversation/cognitiveservices/v1"
JSON, WAV = "application/json", "audio/x-wav"
CONFIG = {
    "context": {
        "system": {"name": "vsi_esl", "version": "1.0.0"},
        "os": {"platform": "Linux", "name": "FreeSWITCH", "version": "1.0.0"},
        "audio": {
            "source": {"samplerate": RATE, "bitspersample": 16, "channelcount": 1},
            "format": {"encoding": "pcm", "sampleRate": RATE, "bitsPerSample": 16, "channels": 1},
        },
    }
}
WAV_HEAD = struct.pack(
    "<4sI4s4sIHHIIHH4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16, b"data", 0
)
"""Without a length, as the audio has none."""
STATUSES = {
    "Error": RETRYABLE,
    "TooManyRequests": RATE_LIMITED,
    "BadRequest": PERMANENT_INPUT,
    "Forbidden": PERMANENT_AUTH,
    "ServiceUnavailable": SERVICE_UNAVAILABLE,
    "ServiceTimeout": RETRYABLE,
}
"""RecognitionStatus of a phrase that is a failure. Others tell that nothing was understood."""


class Azure(Transcriber):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._socket = ProviderSocket("azure")
        self._request = ""
        self._finishing = False

    @classmethod
    def address(cls, settings: Mapping[str, Any]) -> str:
        region = str(settings.get("region") or "eastus")
        return super().address(settings) or speech_service("stt", region)

    async def open(self) -> None:
        told = self.settings
        query = {"language": told.get("language") or "en-US", "format": "detailed"}
        if told.get("partial"):
            query["interim"] = "true"
        await self._socket.open(
            self.http,
            websocket_url(self.base_url, PATH),
            params=query,
            headers={
                "Ocp-Apim-Subscription-Key": str(told["api_key"]),
                "X-ConnectionId": secrets.token_hex(16),
            },
        )
        await self._socket.send_text(
            _head("speech.config", secrets.token_hex(16), JSON) + "\r\n" + orjson.dumps(CONFIG).decode()
        )

    async def send(self, pcm: bytes) -> None:
        if not self._request:
            self._request = secrets.token_hex(16)
            await self._audio(WAV_HEAD, WAV)
        await self._audio(pcm)

    async def finish(self) -> None:
        self._finishing = True
        if self._request:
            await self._audio(b"")
        else:
            await self._socket.close()  # nothing was begun that could be ended

    async def _audio(self, data: bytes, kind: str = "") -> None:
        head = _head("audio", self._request, kind).encode()
        await self._socket.send_bytes(struct.pack(">H", len(head)) + head + data)

    async def texts(self) -> AsyncIterator[Transcript]:
        async for message in self._socket.messages():
            path, body = _parts(message)
            if path == "speech.hypothesis":
                text = body.get("Text")
                if isinstance(text, str):
                    yield Transcript(text, False)
            elif path == "speech.phrase":
                self._check(body)
                yield Transcript(_phrase(body), True)
            elif path == "turn.end":
                self._request = ""  # what follows is a turn of its own
                if self._finishing:
                    return

    def _check(self, phrase: Mapping[str, Any]) -> None:
        status = phrase.get("RecognitionStatus")
        if isinstance(status, str) and status in STATUSES:
            raise ProviderError(f"azure: reported {status}", STATUSES[status])

    async def close(self) -> None:
        await self._socket.close()


def _head(path: str, request: str, kind: str) -> str:
    """The headers of a message, without the empty line behind them."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = f"Path: {path}\r\nX-RequestId: {request}\r\nX-Timestamp: {now}\r\n"
    return f"{head}Content-Type: {kind}\r\n" if kind else head


def _parts(message: str | bytes) -> tuple[str, dict[str, Any]]:
    """Path and body of a text message; nothing of any other, or of one that cannot be read."""
    if not isinstance(message, str):
        return "", {}
    head, _, text = message.partition("\r\n\r\n")
    path = ""
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "path":
            path = value.strip().lower()
    try:
        body = orjson.loads(text) if text.strip() else {}
    except ValueError:
        return "", {}
    return (path, body) if isinstance(body, dict) else ("", {})


def _phrase(body: Mapping[str, Any]) -> str:
    """The text of a phrase as it is shown; empty when nothing was understood."""
    if body.get("RecognitionStatus") != "Success":
        return ""
    text = body.get("DisplayText")
    if not isinstance(text, str):  # the detailed format may have it with the best of its guesses only
        try:
            text = body["NBest"][0]["Display"]
        except (LookupError, TypeError):
            return ""
    return text if isinstance(text, str) else ""


PROVIDER = Azure
