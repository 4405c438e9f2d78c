"""Deepgram's streaming recognition, `/v1/listen`: audio as it is, results as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ..base import RATE, RETRYABLE, Transcriber, Transcript
from ..websocket import ProviderSocket, websocket_url

KEEP_ALIVE_S = 4.0
"""It closes when neither audio nor this comes for 10 s; a leg on hold brings no audio."""


class Deepgram(Transcriber):
    BASE_URL = "https://api.deepgram.com"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._socket = ProviderSocket("deepgram")
        self._sent = 0

    async def open(self) -> None:
        told = self.settings
        query = [
            ("encoding", "linear16"),
            ("sample_rate", str(RATE)),
            ("channels", "1"),
            ("model", told.get("model") or "nova-3"),
            ("language", told.get("language") or "en"),
        ]
        if told.get("partial"):
            query.append(("interim_results", "true"))
        query += [("keyterm", term) for term in told.get("keyterms") or ()]
        await self._socket.open(
            self.http,
            websocket_url(self.base_url, "/v1/listen"),
            params=query,
            headers={"Authorization": f"Token {told['api_key']}"},
        )
        self._socket.keep(self._keep_alive)

    async def _keep_alive(self) -> None:
        sent = -1
        while True:
            if sent == self._sent:
                await self._socket.send_json({"type": "KeepAlive"})
            sent = self._sent
            await asyncio.sleep(KEEP_ALIVE_S)

    async def send(self, pcm: bytes) -> None:
        self._sent += 1
        await self._socket.send_bytes(pcm)

    async def finish(self) -> None:
        self._socket.keep_no_more()
        await self._socket.send_json({"type": "CloseStream"})

    async def texts(self) -> AsyncIterator[Transcript]:
        async for message in self._socket.objects():
            match message.get("type"):
                case "Results":
                    text = _text(message)
                    if text:
                        yield Transcript(text, message.get("is_final") is True)
                case "Error":
                    raise self._socket.error("reported an error", RETRYABLE)

    async def close(self) -> None:
        await self._socket.close()


def _text(results: dict[str, Any]) -> str:
    """That of the first alternative."""
    try:
        text = results["channel"]["alternatives"][0]["transcript"]
    except (LookupError, TypeError):
        return ""
    return text if isinstance(text, str) else ""


PROVIDER = Deepgram
