"""Deepgram's voice agent: a WebSocket on which audio is binary, and all else JSON.

It says Welcome, is sent the Settings, says SettingsApplied, and takes audio from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from ..base import RATE, AgentEvent, Connected, Interrupted, Said, Speech
from ..conversation import SocketAgent, text_at
from ..websocket import websocket_url

WELCOME_S = 2.0
"""After so long without a Welcome the settings are sent all the same."""
KEEP_ALIVE_S = 8.0
"""What the provider asks for while no audio is sent."""
AUDIO = {
    "input": {"encoding": "linear16", "sample_rate": RATE},
    "output": {"encoding": "linear16", "sample_rate": RATE, "container": "none"},
}
AGENT = {
    "listen": {"provider": {"type": "deepgram", "model": "nova-3"}},
    "think": {"provider": {"type": "open_ai", "model": "gpt-4o-mini"}},
    "speak": {"provider": {"type": "deepgram", "model": "aura-2-asteria-en"}},
}
"""The agent of those who bring no settings."""
CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Deepgram(SocketAgent):
    """One conversation. Settings: settings (the provider's, whole, but for `type` and `audio`), greeting,
    language."""

    NAME = "deepgram"
    BASE_URL = "https://agent.deepgram.com"

    def __init__(self, http: aiohttp.ClientSession, settings: Mapping[str, Any]) -> None:
        super().__init__(http, settings)
        self.ready = False
        self._welcome = asyncio.Event()
        self._sent = 0.0
        self._wrong = ""
        """Code of the last error that the provider told of."""

    async def open(self) -> None:
        url = websocket_url(self.base_url, "/v1/agent/converse")
        await self.connect(url, {"Authorization": f"token {self.settings['api_key']}"})
        self._socket.keep(self._keep)

    def _settings(self) -> dict[str, Any]:
        given = self.settings.get("settings")
        settings = {"agent": AGENT} if given is None else dict(given)
        agent = settings.get("agent")
        if isinstance(agent, dict):  # it can be the id of one that the provider knows
            wanted = {name: self.settings.get(name) for name in ("language", "greeting")}
            settings["agent"] = {**agent, **{name: text for name, text in wanted.items() if text}}
        return {**settings, "type": "Settings", "audio": AUDIO}

    async def say(self, pcm: bytes) -> None:
        await self.send_bytes(pcm)
        self._sent = time.monotonic()

    async def _keep(self) -> None:
        """Send the settings when it is time, and then what keeps the session while nothing is heard of the
        user: a leg on hold sends nothing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WELCOME_S):
                await self._welcome.wait()
        await self.send_json(self._settings())
        self._sent = time.monotonic()
        while True:
            due = self._sent + KEEP_ALIVE_S - time.monotonic()
            if due > 0:
                await asyncio.sleep(due)
            else:
                await self.send_json({"type": "KeepAlive"})
                self._sent = time.monotonic()

    async def message(self, text: str) -> None:
        await self.send_json({"type": "InjectAgentMessage", "message": text})

    def heard(self, data: bytes) -> list[AgentEvent]:
        pcm = self.whole_samples(data)
        return [Speech(pcm)] if pcm else []

    async def told(self, text: str) -> list[AgentEvent]:
        message = self.parsed(text)
        if message is None:
            return []
        match message.get("type"):
            case "Welcome":
                self._welcome.set()
                # today's provider calls it request_id
                return [Connected(text_at(message, "session_id") or text_at(message, "request_id"))]
            case "SettingsApplied":
                self.ready = True
            case "ConversationText":
                said, role = text_at(message, "content"), message.get("role")
                return [Said(said, user=role == "user")] if said and role in ("user", "assistant") else []
            case "UserStartedSpeaking":
                self._odd = b""
                return [Interrupted()]
            case "Error":
                code = text_at(message, "code")
                self._wrong = code if CODE.fullmatch(code) else "unknown"
        return []

    def closed_with(self, code: int) -> str:
        said = super().closed_with(code)
        return f"{said} after the error {self._wrong}" if self._wrong else said


PROVIDER = Deepgram
