"""ElevenLabs' Scribe in real time: JSON both ways, committed where the speaker pauses."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

from ..base import (
    PERMANENT_AUTH,
    PERMANENT_INPUT,
    RATE,
    RATE_LIMITED,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    Transcriber,
    Transcript,
)
from ..websocket import ProviderSocket, websocket_url

ERRORS = {
    "error": RETRYABLE,
    "auth_error": PERMANENT_AUTH,
    "quota_exceeded": PERMANENT_AUTH,
    "unaccepted_terms": PERMANENT_AUTH,
    "unaccepted_terms_error": PERMANENT_AUTH,
    "rate_limited": RATE_LIMITED,
    "input_error": PERMANENT_INPUT,
    "invalid_request": PERMANENT_INPUT,
    "chunk_size_exceeded": PERMANENT_INPUT,
    "transcriber_error": SERVICE_UNAVAILABLE,
    "queue_overflow": SERVICE_UNAVAILABLE,
    "resource_exhausted": SERVICE_UNAVAILABLE,
    "session_time_limit_exceeded": RETRYABLE,
    "insufficient_audio_activity": RETRYABLE,
}
"""What ends a session there, by its message_type. `commit_throttled` is none: there was nothing to commit."""


LAST_S = 0.5
"""What we have committed may come behind what they had committed before: how much later at most."""


class ElevenLabs(Transcriber):
    BASE_URL = "https://api.elevenlabs.io"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._socket = ProviderSocket("elevenlabs")
        self._finishing = False

    async def open(self) -> None:
        told = self.settings
        query = [
            ("model_id", told.get("model") or "scribe_v2_realtime"),
            ("language_code", told.get("language") or "en"),
            ("audio_format", f"pcm_{RATE}"),
            ("commit_strategy", "vad"),
        ]
        query += [("keyterms", term) for term in told.get("keyterms") or ()]
        await self._socket.open(
            self.http,
            websocket_url(self.base_url, "/v1/speech-to-text/realtime"),
            params=query,
            headers={"xi-api-key": str(told["api_key"])},
        )

    async def send(self, pcm: bytes) -> None:
        await self._chunk(b64encode(pcm).decode(), commit=False)

    async def finish(self) -> None:
        self._finishing = True
        await self._chunk("", commit=True)  # there is no message that ends the audio

    async def _chunk(self, audio: str, *, commit: bool) -> None:
        await self._socket.send_json(
            {
                "message_type": "input_audio_chunk",
                "audio_base_64": audio,
                "commit": commit,
                "sample_rate": RATE,
            }
        )

    async def texts(self) -> AsyncIterator[Transcript]:
        async for message in self._socket.objects():
            kind, text = message.get("message_type"), message.get("text")
            if kind == "partial_transcript" and isinstance(text, str):
                yield Transcript(text, False)
            elif kind == "committed_transcript":
                if isinstance(text, str):
                    yield Transcript(text, True)
                if self._finishing:
                    self._socket.close_soon(LAST_S)
            elif kind == "commit_throttled":
                if self._finishing:
                    return
            elif kind in ERRORS:
                raise self._socket.error(f"reported {kind}", ERRORS[kind])

    async def close(self) -> None:
        await self._socket.close()


PROVIDER = ElevenLabs
