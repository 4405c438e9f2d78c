"""VAPI assistants: a call is created over HTTP, then audio and JSON pass over the WebSocket that it names."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..answers import beginning
from ..base import (
    RATE,
    RETRYABLE,
    SERVICE_UNAVAILABLE,
    AgentEvent,
    Connected,
    Interrupted,
    ProviderError,
    Said,
    Speech,
    category_of,
)
from ..conversation import SocketAgent, text_at
from ..private import without
from ..websocket import CONNECT_S

CALLED = (200, 201)
FORMAT = {"format": "pcm_s16le", "container": "raw", "sampleRate": RATE}
LONGEST_ANSWER = 1 << 20
SHOWN = 1024
"""Bytes of a refusal that are passed on."""
GOODBYE = {"type": "end-call"}
GOODBYE_S = 1.0
TRANSCRIPTS = ("transcript", 'transcript[transcriptType="final"]')


class Vapi(SocketAgent):
    """One call. Settings: assistant_id, first_message, variable_values."""

    NAME = "vapi"
    BASE_URL = "https://api.vapi.ai"

    def __init__(self, http: aiohttp.ClientSession, settings: Mapping[str, Any]) -> None:
        super().__init__(http, settings)
        self._call = ""
        self._control = ""

    async def open(self) -> None:
        call = await self._create()
        transport = text_at(call, "transport", "websocketCallUrl") or text_at(call, "listenUrl")
        self._control = text_at(call, "controlUrl") or text_at(call, "monitor", "controlUrl")
        if not transport:
            raise self.error("call response missing listenUrl")
        if not self._trusted(transport) or (self._control and not self._trusted(self._control)):
            raise self.error("the call's addresses are not encrypted")
        self._call = text_at(call, "id")
        await self.connect(transport, {})

    async def _create(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "assistantId": self.settings["assistant_id"],
            "transport": {"provider": "vapi.websocket", "audioFormat": FORMAT},
        }
        wanted = {
            "firstMessage": self.settings.get("first_message"),
            "variableValues": self.settings.get("variable_values"),
        }
        if overrides := {name: value for name, value in wanted.items() if value}:
            body["assistantOverrides"] = overrides
        status, text = await self._post(f"{self.base_url}/call", body)
        if status not in CALLED:
            raise self.error(f"status {status}", category_of(status))
        call = self.parsed(text)
        if call is None:
            raise self.error("its answer to a call is no JSON")
        return call

    async def _post(self, url: str, body: dict[str, Any], limit_s: float = CONNECT_S) -> tuple[int, bytes]:
        """Status and body, cut at what is sensible. ProviderError."""
        headers = {"Authorization": f"Bearer {self.settings['api_key']}"}
        limit = aiohttp.ClientTimeout(total=limit_s)
        try:
            async with self.http.post(
                url, json=body, headers=headers, timeout=limit, allow_redirects=False
            ) as answer:
                return answer.status, await beginning(answer, LONGEST_ANSWER)
        except TimeoutError:
            raise self.error(f"no answer within {limit_s:g} s", RETRYABLE) from None
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            raise self.error(f"no connection: {type(failure).__name__}", SERVICE_UNAVAILABLE) from None

    def _trusted(self, url: str) -> bool:
        """What goes there is as private as what goes to the provider: the key goes along."""
        scheme = urlsplit(url).scheme
        return scheme in ("wss", "https") or (self.base_url.startswith("http:") and scheme in ("ws", "http"))

    async def message(self, text: str) -> None:
        if not self._control:
            raise ProviderError("no control URL available")
        body = {"type": "add-message", "message": {"role": "system", "content": text}}
        status, answer = await self._post(self._control, body)
        if not 200 <= status < 300:
            said = without(answer[:SHOWN].decode(errors="replace"), text, str(self.settings["api_key"]))
            raise ProviderError(f"vapi control API returned {status}: {said}", category_of(status))

    async def events(self) -> AsyncIterator[AgentEvent]:
        yield Connected(self._call)
        async for event in super().events():
            yield event

    def heard(self, data: bytes) -> list[AgentEvent]:
        pcm = self.whole_samples(data)
        return [Speech(pcm)] if pcm else []

    async def told(self, text: str) -> list[AgentEvent]:
        message = self.parsed(text)
        if message is None:
            return []
        kind = message.get("type")
        if kind in TRANSCRIPTS:
            said, role = text_at(message, "transcript"), message.get("role")
            return [Said(said, user=role == "user")] if said and role in ("user", "assistant") else []
        if kind == "user-interrupted":
            self._odd = b""
            return [Interrupted()]
        if kind == "status-update" and message.get("status") == "ended":
            self.over = True
        return []

    async def close(self) -> None:
        if self._call and not self.over:  # else it would wait for us, and cost
            with contextlib.suppress(ProviderError):
                if self.connected:
                    await self.send_json(GOODBYE)
                elif self._control:
                    await self._post(self._control, GOODBYE, GOODBYE_S)
        await super().close()


PROVIDER = Vapi
