"""ElevenLabs agents: a WebSocket of JSON, audio in base64 in the formats that the agent is configured for."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import numpy as np
import soxr

from .. import g711
from ..base import RATE, AgentEvent, Connected, Interrupted, Said, Speech
from ..conversation import SocketAgent, member, text_at
from ..websocket import websocket_url

PCM = re.compile(r"pcm_(8000|16000|22050|24000|44100|48000)")
ULAW = "ulaw_8000"

QUALITY = "LQ"
"""Of soxr: the better ones keep back what is said for up to 120 ms."""


class ElevenLabs(SocketAgent):
    """One conversation. Settings: agent_id, first_message, language, dynamic_variables."""

    NAME = "elevenlabs"
    BASE_URL = "https://api.elevenlabs.io"

    def __init__(self, http: aiohttp.ClientSession, settings: Mapping[str, Any]) -> None:
        super().__init__(http, settings)
        self._hears = Format("pcm_16000")
        self._says = Format("pcm_16000")
        self.ready = False  # what it hears is known from its first message
        self._interrupted = 0

    async def open(self) -> None:
        agent = quote(str(self.settings["agent_id"]), safe="")
        url = websocket_url(self.base_url, f"/v1/convai/conversation?agent_id={agent}")
        await self.connect(url, {"xi-api-key": str(self.settings["api_key"])})
        if beginning := self._beginning():
            await self.send_json(beginning)

    def _beginning(self) -> dict[str, Any]:
        """The first message; empty when there is nothing to say."""
        wanted = {name: self.settings.get(name) for name in ("first_message", "language")}
        agent = {name: text for name, text in wanted.items() if text}
        variables = self.settings.get("dynamic_variables")
        message: dict[str, Any] = {}
        if agent:
            message["conversation_config_override"] = {"agent": agent}
        if variables:
            message["dynamic_variables"] = variables
        return {"type": "conversation_initiation_client_data", **message} if message else {}

    async def say(self, pcm: bytes) -> None:
        if data := self._hears.encode(pcm):
            await self.send_text(f'{{"user_audio_chunk":"{base64.b64encode(data).decode()}"}}')

    async def told(self, text: str) -> list[AgentEvent]:
        message = self.parsed(text)
        if message is None:
            return []
        match message.get("type"):
            case "conversation_initiation_metadata":
                return self._begun(message)
            case "audio":
                return self._speech(message)
            case "user_transcript":
                said = text_at(message, "user_transcription_event", "user_transcript")
                return [Said(said, user=True)] if said else []
            case "agent_response":
                said = text_at(message, "agent_response_event", "agent_response")
                return [Said(said, user=False)] if said else []
            case "interruption":
                self._interrupted = _number(message, "interruption_event", "event_id")
                return [Interrupted()]
            case "ping":
                answer = {"type": "pong", "event_id": _number(message, "ping_event", "event_id")}
                await self.send_json(answer)
        return []

    def _begun(self, message: dict[str, Any]) -> list[AgentEvent]:
        # today's provider has it nested
        told = member(message, "conversation_initiation_metadata_event") or message
        self._hears = Format(text_at(told, "user_input_audio_format"))
        self._says = Format(text_at(told, "agent_output_audio_format"))
        self.ready = True
        return [Connected(text_at(told, "conversation_id"))]

    def _speech(self, message: dict[str, Any]) -> list[AgentEvent]:
        number = _number(message, "audio_event", "event_id")
        if 0 < number <= self._interrupted:
            return []  # of what the user interrupted, and on its way already
        try:
            data = base64.b64decode(text_at(message, "audio_event", "audio_base_64"), validate=True)
        except (binascii.Error, ValueError):
            self.malformed += 1
            return []
        pcm = self._says.decode(data)
        return [Speech(pcm, self._says.rate)] if pcm else []


class Format:
    """An audio format of the provider's, by its name; one that is not known is taken for the usual one."""

    def __init__(self, name: str) -> None:
        found = PCM.fullmatch(name)
        self.ulaw = name == ULAW
        self.rate = g711.RATE if self.ulaw else int(found[1]) if found else RATE
        self._resampler = (
            soxr.ResampleStream(RATE, self.rate, 1, "int16", QUALITY) if self.rate != RATE else None
        )

    def encode(self, pcm: bytes) -> bytes:
        """Audio of 16 kHz in this format, as far as there is enough of it."""
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(np.frombuffer(pcm, "<i2")).astype("<i2").tobytes()
        return g711.encode(pcm) if self.ulaw else pcm

    def decode(self, data: bytes) -> bytes:
        """16-bit samples, at this format's rate."""
        return g711.decode(data) if self.ulaw else data[: len(data) & ~1]


def _number(message: dict[str, Any], *path: str) -> int:
    found = member(message, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


PROVIDER = ElevenLabs
