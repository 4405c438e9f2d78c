"""The providers of agents as the tests play them: each speaks its documented wire, and refuses what it would.

`Parties.routes()` are the handlers of all of them, for `tests.support.scripted`, or for a process of its own
(tests.support.agentserver). What a client does wrong is in `wrongs`, and ends its session.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import WSMsgType, web

KEY = "good-key"
WAIT_S = 20.0


class Refused(Exception):
    """The client did what the provider does not take."""


def want(condition: object, what: str) -> None:
    if not condition:
        raise Refused(what)


class Party:
    """One session, seen from the provider."""

    provider = ""

    def __init__(self, parties: Parties, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.parties, self.socket, self.request = parties, socket, request
        self.heard = bytearray()
        self.beginning: dict[str, Any] = {}
        self.messages: list[Any] = []
        self.closed_by_client = False
        self.close_code: int | None = None
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[Party], object], what: str = "") -> None:
        """Wait until something is true of this session."""
        async with asyncio.timeout(WAIT_S):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    def notice(self) -> None:
        self._changed.set()
        self.parties.notice()

    async def serve(self) -> None:
        """Until either side closes it."""
        try:
            await self.begin()
            async for message in self.socket:
                if message.type is WSMsgType.TEXT:
                    await self.text(message.data)
                elif message.type is WSMsgType.BINARY:
                    await self.binary(message.data)
                self.notice()
            self.closed_by_client = self.socket.close_code is not None and self.close_code is None
        except Refused as refused:
            self.parties.wrongs.append(f"{self.provider}: {refused}")
            await self.socket.close(code=1008, message=str(refused).encode()[:100])
        except ConnectionError:
            self.closed_by_client = True
        self.notice()

    async def begin(self) -> None:
        """What the provider says first."""

    async def text(self, data: str) -> None:
        raise Refused(f"a text frame: {data[:80]}")

    async def binary(self, data: bytes) -> None:
        raise Refused("a binary frame")

    async def end(self, code: int = 1000) -> None:
        """Close it, as the provider does."""
        self.close_code = code
        await self.socket.close(code=code)

    async def send(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def speak(self, pcm: bytes) -> None:
        raise NotImplementedError

    async def said(self, text: str, *, user: bool) -> None:
        raise NotImplementedError

    async def interrupt(self) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """For a test in another process."""
        return {
            "provider": self.provider,
            "heard": len(self.heard),
            "beginning": self.beginning,
            "messages": self.messages,
            "closed_by_client": self.closed_by_client,
        }


class ElevenLabs(Party):
    provider = "elevenlabs"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.number = 0
        self.formats = dict(self.parties.formats)
        self.pongs: list[int] = []
        self.metadata_sent = False

    async def begin(self) -> None:
        if not self.parties.held:
            await self.metadata()

    async def metadata(self) -> None:
        event = {"conversation_id": self.parties.conversation_id, **self.formats}
        self.metadata_sent = True
        if self.parties.flat:
            await self.send(type="conversation_initiation_metadata", **event)
        else:
            await self.send(
                type="conversation_initiation_metadata", conversation_initiation_metadata_event=event
            )

    async def text(self, data: str) -> None:
        message = json.loads(data)
        want(isinstance(message, dict), "no object")
        if "user_audio_chunk" in message:
            want(list(message) == ["user_audio_chunk"], f"audio with {list(message)}")
            want(self.metadata_sent, "audio before the formats are told")
            self.heard += base64.b64decode(message["user_audio_chunk"], validate=True)
            return
        kind = message.pop("type", None)
        if kind == "pong":
            want(list(message) == ["event_id"], "a pong without its number")
            self.pongs.append(message["event_id"])
        elif kind == "conversation_initiation_client_data":
            want(not self.heard and not self.beginning, "the beginning comes late")
            override = message.get("conversation_config_override", {})
            want(set(message) <= {"conversation_config_override", "dynamic_variables"}, f"{set(message)}")
            want(set(override) <= {"agent"}, f"an override of {set(override)}")
            want(set(override.get("agent", {})) <= {"first_message", "language"}, "of the agent")
            self.beginning = message
        else:
            raise Refused(f"a message {kind}")

    async def speak(self, pcm: bytes) -> None:
        self.number += 1
        event = {"audio_base_64": base64.b64encode(pcm).decode(), "event_id": self.number}
        await self.send(type="audio", audio_event=event)

    async def said(self, text: str, *, user: bool) -> None:
        if user:
            await self.send(type="user_transcript", user_transcription_event={"user_transcript": text})
        else:
            await self.send(type="agent_response", agent_response_event={"agent_response": text})

    async def interrupt(self) -> None:
        await self.send(type="interruption", interruption_event={"event_id": self.number})

    async def ping(self, number: int) -> None:
        await self.send(type="ping", ping_event={"event_id": number, "ping_ms": 30})


class Deepgram(Party):
    provider = "deepgram"

    async def begin(self) -> None:
        if not self.parties.held:
            await self.welcome()

    async def welcome(self) -> None:
        name = "session_id" if self.parties.flat else "request_id"
        await self.send(type="Welcome", **{name: self.parties.conversation_id})

    async def text(self, data: str) -> None:
        message = json.loads(data)
        kind = message.get("type")
        if not self.beginning:
            want(kind == "Settings", f"{kind} before the settings")
            linear = {"encoding": "linear16", "sample_rate": 16000}
            want(message["audio"]["input"] == linear, "the input's format")
            want(message["audio"]["output"] == {**linear, "container": "none"}, "the output's format")
            want("agent" in message, "no agent")
            self.beginning = message
            if message["agent"] == "unknown":
                await self.send(type="Error", description="no such agent", code="AGENT_NOT_FOUND")
                await self.end(1011)
            elif not self.parties.held:
                await self.send(type="SettingsApplied")
        elif kind == "InjectAgentMessage":
            want(set(message) == {"type", "message"}, f"{set(message)}")
            self.messages.append(message["message"])
        elif kind == "KeepAlive":
            want(list(message) == ["type"], "more than a KeepAlive")
            self.messages.append(kind)
        else:
            raise Refused(f"a message {kind}")

    async def binary(self, data: bytes) -> None:
        want(self.beginning, "audio before the settings")
        want(len(data) % 2 == 0, "half a sample")
        self.heard += data

    async def speak(self, pcm: bytes) -> None:
        await self.socket.send_bytes(pcm)

    async def said(self, text: str, *, user: bool) -> None:
        await self.send(type="ConversationText", role="user" if user else "assistant", content=text)

    async def interrupt(self) -> None:
        await self.send(type="UserStartedSpeaking")


class Vapi(Party):
    provider = "vapi"

    async def begin(self) -> None:
        self.beginning = self.parties.calls[self.request.match_info["call"]]

    async def text(self, data: str) -> None:
        message = json.loads(data)
        want(message == {"type": "end-call"}, f"a message {message}")
        self.messages.append("end-call")

    async def binary(self, data: bytes) -> None:
        self.heard += data

    async def speak(self, pcm: bytes) -> None:
        await self.socket.send_bytes(pcm)

    async def said(self, text: str, *, user: bool) -> None:
        role = "user" if user else "assistant"
        await self.send(type="transcript", role=role, transcriptType="final", transcript=text)

    async def interrupt(self) -> None:
        await self.send(type="user-interrupted")


class Pipecat(Party):
    provider = "pipecat"

    async def binary(self, data: bytes) -> None:
        ((number, part),) = list(fields(data))
        frame = dict(fields(part))
        if number == 2:
            want((frame[4], frame[5]) == (16000, 1), "the audio's format")
            self.heard += frame[3]
        elif number == 1:
            self.messages.append(frame[3].decode())
        elif number == 4:
            self.messages.append(json.loads(frame[1]))
        else:
            raise Refused(f"a frame {number}")

    async def frame(self, number: int, part: bytes) -> None:
        await self.socket.send_bytes(encoded(number, part))

    async def speak(self, pcm: bytes, rate: int = 16000, channels: int = 1) -> None:
        await self.frame(2, encoded(3, pcm) + encoded(4, rate) + encoded(5, channels))

    async def said(self, text: str, *, user: bool) -> None:
        await self.frame(3 if user else 1, encoded(3, text.encode()))

    async def interrupt(self) -> None:
        await self.frame(5, b"")


class Parties:
    """All sessions that were begun, and how the providers behave."""

    def __init__(self) -> None:
        self.sessions: list[Party] = []
        self.wrongs: list[str] = []
        self.conversation_id = "conv-1"
        self.held = False
        """Say nothing of oneself until the test does."""
        self.flat = False
        """Speak the older wire of the reference's."""
        self.formats = {"agent_output_audio_format": "pcm_16000", "user_input_audio_format": "pcm_16000"}
        self.calls: dict[str, dict[str, Any]] = {}
        self.controls: list[dict[str, Any]] = []
        self.control_status = 200
        self.quotes = False
        """Quote a message in a refusal of it."""
        self.slow = False
        """Take long over a call."""
        self.call_answer: dict[str, Any] | None = None
        """In place of what the provider answers to a call."""
        self._changed = asyncio.Event()

    def routes(self) -> dict[str, Callable[[web.Request], Any]]:
        return {
            "/v1/convai/conversation": self._elevenlabs,
            "/v1/agent/converse": self._deepgram,
            "/call": self._call,
            "/transport/{call}": self._transport,
            "/control/{call}": self._control,
            "/bot": self._pipecat,
        }

    def notice(self) -> None:
        self._changed.set()

    async def session(self, number: int = 1) -> Any:
        """The session of this number, as soon as it is there."""
        async with asyncio.timeout(WAIT_S):
            while len(self.sessions) < number:
                self._changed.clear()
                await self._changed.wait()
        return self.sessions[number - 1]

    async def _serve(self, kind: type[Party], request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        party = kind(self, socket, request)
        self.sessions.append(party)
        self.notice()
        await party.serve()
        return socket

    async def _elevenlabs(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("xi-api-key") != KEY:
            return web.Response(status=401)
        if not request.query.get("agent_id"):
            return web.Response(status=400)
        return await self._serve(ElevenLabs, request)

    async def _deepgram(self, request: web.Request) -> web.StreamResponse:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "token" or key != KEY:
            return web.Response(status=401)
        return await self._serve(Deepgram, request)

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if request.method != "POST" or request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"message": "Invalid Key."}, status=401)
        body = await request.json()
        audio = {"format": "pcm_s16le", "container": "raw", "sampleRate": 16000}
        transport = {"provider": "vapi.websocket", "audioFormat": audio}
        overrides = set(body.get("assistantOverrides", {"firstMessage": 1}))
        if (
            not body.get("assistantId")
            or body.get("transport") != transport
            or not set(body) <= {"assistantId", "transport", "assistantOverrides"}
            or not overrides
            or not overrides <= {"firstMessage", "variableValues"}
        ):
            self.wrongs.append(f"vapi: a call {body}")
            return web.json_response({"message": "bad request"}, status=400)
        if self.slow:
            await asyncio.sleep(WAIT_S)
        call = f"call-{len(self.calls) + 1}"
        self.calls[call] = body
        if self.call_answer is not None:
            return web.json_response(self.call_answer, status=201)
        ws, http = f"ws://{request.host}/transport/{call}", f"http://{request.host}/control/{call}"
        if self.flat:
            answer: dict[str, Any] = {"id": call, "listenUrl": ws, "controlUrl": http}
        else:
            answer = {
                "id": call,
                "status": "queued",
                "transport": {"provider": "vapi.websocket", "websocketCallUrl": ws},
                "monitor": {"listenUrl": f"ws://{request.host}/listen", "controlUrl": http},
            }
        return web.json_response(answer, status=201)

    async def _transport(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["call"] not in self.calls:
            return web.Response(status=404)
        return await self._serve(Vapi, request)

    async def _control(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.Response(status=401)
        self.controls.append(await request.json())
        self.notice()
        quoted = self.controls[-1].get("message", {}).get("content", "") if self.quotes else ""
        return web.Response(status=self.control_status, text=f"what the provider says{quoted}")

    async def _pipecat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(Pipecat, request)


# -- protobuf, by hand: what is tested has descriptors of its own ------------------------------------------


def encoded(number: int, value: int | bytes) -> bytes:
    """A field."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: numbers and bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        want(key & 7 in (0, 2), f"a field of the wire type {key & 7}")
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            length = varint()
            want(at + length <= len(data), "a field that is cut off")
            yield key >> 3, data[at : at + length]
            at += length
