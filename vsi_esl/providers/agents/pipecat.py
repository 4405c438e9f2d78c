"""Pipecat bots: a WebSocket of protobuf frames, at an address that a client names.

The address is checked, and the connection goes to what was checked: a name is looked up once, and a bot that
sends elsewhere is not followed.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from functools import cache
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from aiohttp.abc import AbstractResolver, ResolveResult
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from ...net.guard import AddressGuard, Forbidden
from ..base import (
    PERMANENT_INPUT,
    RATE,
    AgentEvent,
    Connected,
    Interrupted,
    Said,
    Speech,
)
from ..conversation import SocketAgent, json_text, text_at

WHAT = "websocket_url"
RATES = range(8000, 96001)
CHANNELS = range(1, 9)
KEYS = frozenset("0123456789*#")
LABEL = "rtvi-ai"
"""Of the JSON messages between a bot and its clients."""
USER = ("user-transcript", "user-transcription")
BOT = ("bot-transcript", "bot-transcription")
INTERRUPTED = "bot-interrupted"

_TEXT, _BYTES, _U32, _U64, _MESSAGE = (
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
)
FRAMES: dict[str, dict[str, tuple[int, Any]]] = {
    "TextFrame": {"id": (1, _U64), "name": (2, _TEXT), "text": (3, _TEXT)},
    "AudioRawFrame": {
        "id": (1, _U64),
        "name": (2, _TEXT),
        "audio": (3, _BYTES),
        "sample_rate": (4, _U32),
        "num_channels": (5, _U32),
        "pts": (6, _U64),
    },
    "TranscriptionFrame": {
        "id": (1, _U64),
        "name": (2, _TEXT),
        "text": (3, _TEXT),
        "user_id": (4, _TEXT),
        "timestamp": (5, _TEXT),
    },
    # `data` is pipecat's; others had `message`, behind an id and a name
    "MessageFrame": {"data": (1, _TEXT), "message": (3, _TEXT)},
    "InterruptionFrame": {"id": (1, _U64), "name": (2, _TEXT)},
}
"""Messages of pipecat's `frames.proto`: name -> field -> number and type."""
KINDS = {
    "text": (1, "TextFrame"),
    "audio": (2, "AudioRawFrame"),
    "transcription": (3, "TranscriptionFrame"),
    "message": (4, "MessageFrame"),
    "interruption": (5, "InterruptionFrame"),
}
"""What a Frame is one of."""


@cache
def frame_class() -> Any:
    """The class of pipecat's Frame."""
    file = descriptor_pb2.FileDescriptorProto(
        name="vsi_esl/pipecat.proto", package="vsi_esl.pipecat", syntax="proto3"
    )
    for name, fields in FRAMES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            message.field.add(name=field, number=number, type=kind, label=1)
    frame = file.message_type.add(name="Frame")
    frame.oneof_decl.add(name="frame")
    for field, (number, name) in KINDS.items():
        type_name = f".vsi_esl.pipecat.{name}"
        frame.field.add(name=field, number=number, type=_MESSAGE, type_name=type_name, label=1, oneof_index=0)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("vsi_esl.pipecat.Frame"))


class Pipecat(SocketAgent):
    """One session of a bot. Settings: websocket_url, and of the service's settings allow_private and
    allowed_networks."""

    NAME = "pipecat"
    NEEDS_KEY = False

    def __init__(self, http: aiohttp.ClientSession, settings: Mapping[str, Any]) -> None:
        super().__init__(http, settings)
        self._url = str(settings["websocket_url"])
        self._guard = AddressGuard(
            bool(settings.get("allow_private")),
            [ip_network(network) for network in settings.get("allowed_networks", ())],
        )
        self._own: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._own = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Checked(self._guard), use_dns_cache=False)
        )
        try:
            # an address in the URL is not looked up
            self._guard.check_name(urlsplit(self._url).hostname or "", WHAT)
            await self.connect(self._url, {}, self._own)
        except Forbidden as refused:
            raise self.error(str(refused), PERMANENT_INPUT) from None

    async def say(self, pcm: bytes) -> None:
        await self._frame("audio", audio=pcm, sample_rate=RATE, num_channels=1)

    async def message(self, text: str) -> None:
        await self._frame("text", text=text)

    async def digits(self, digits: str) -> None:
        if buttons := [digit for digit in digits if digit in KEYS]:
            pressed = {"label": LABEL, "type": "dtmf", "id": uuid.uuid4().hex, "data": {"buttons": buttons}}
            await self._frame("message", data=json_text(pressed))

    async def _frame(self, kind: str, **fields: Any) -> None:
        frame = frame_class()()
        part = getattr(frame, kind)
        for name, value in fields.items():
            setattr(part, name, value)
        await self.send_bytes(frame.SerializeToString())

    async def events(self) -> AsyncIterator[AgentEvent]:
        yield Connected(self._url)
        async for event in super().events():
            yield event

    def heard(self, data: bytes) -> list[AgentEvent]:
        try:
            frame = frame_class().FromString(data)
        except DecodeError:
            self.malformed += 1
            return []
        match frame.WhichOneof("frame"):
            case "audio":
                return self._speech(frame.audio)
            case "transcription":
                return _said(frame.transcription.text, user=True)
            case "text":
                return _said(frame.text.text, user=False)
            case "message":
                return self._message(frame.message.data or frame.message.message)
            case "interruption":
                return [Interrupted()]
        self.malformed += 1
        return []

    def _speech(self, audio: Any) -> list[AgentEvent]:
        rate, channels = audio.sample_rate or RATE, audio.num_channels or 1
        if rate not in RATES or channels not in CHANNELS:
            self.malformed += 1
            return []
        pcm = mono(audio.audio, channels)
        return [Speech(pcm, rate)] if pcm else []

    def _message(self, text: str) -> list[AgentEvent]:
        message = self.parsed(text)
        if message is None:
            return []
        kind = message.get("type")
        if kind == INTERRUPTED:
            return [Interrupted()]
        if kind in USER or kind in BOT:
            return _said(text_at(message, "data", "text"), user=kind in USER)
        return []

    async def close(self) -> None:
        await super().close()
        if self._own is not None:
            await self._own.close()


def _said(text: str, *, user: bool) -> list[AgentEvent]:
    return [Said(text, user=user)] if text.strip() else []


def mono(pcm: bytes, channels: int) -> bytes:
    """16-bit samples of so many channels, mixed to one."""
    if channels == 1:
        return pcm[: len(pcm) & ~1]
    whole = len(pcm) - len(pcm) % (2 * channels)
    samples = np.frombuffer(pcm[:whole], "<i2").reshape(-1, channels)
    mixed: bytes = samples.mean(axis=1).astype("<i2").tobytes()
    return mixed


# -- where a bot may be -----------------------------------------------------------------------------------


class Checked(AbstractResolver):
    """Looks names up, and gives out no address that the guard refuses."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for kind, _, proto, _, address in found:
            ip = str(address[0])
            self._guard.check(host, ip.partition("%")[0], WHAT)
            results.append(
                ResolveResult(
                    hostname=host, host=ip, port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
                )
            )
        return results

    async def close(self) -> None:
        return


PROVIDER = Pipecat
