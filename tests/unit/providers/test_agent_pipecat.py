"""Pipecat bots, against a server that speaks their wire; and where they may be."""

from __future__ import annotations

import socket
from functools import partial

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from tests.support.agentparties import Parties, encoded
from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted
from vsi_esl.net.guard import AddressGuard, Forbidden
from vsi_esl.providers import AGENTS, find
from vsi_esl.providers.agents.pipecat import Checked, frame_class, mono
from vsi_esl.providers.base import Connected, Interrupted, ProviderError, Said, Speech

from . import agentsupport
from .agentsupport import FRAME

agent = partial(agentsupport.agent, "pipecat")

# as pipecat's own classes (made by protoc of its frames.proto) write them
AUDIO = "121308071201611a040100020020c0bb0128013005"
TEXT = "0a071a0568656c6c6f"
TRANSCRIPTION = "1a0a1a0268692201752a0174"
MESSAGE = "222e0a2c7b226c6162656c223a22727476692d6169222c2274797065223a22626f742d696e746572727570746564227d"
INTERRUPTION = "2a050803120169"
PLAIN_INTERRUPTION = "2a00"
SENT_AUDIO = "120b1a040100020020807d2801"


def test_frames_are_those_of_pipecat():
    frame = frame_class()
    assert frame.FromString(bytes.fromhex(AUDIO)).audio.sample_rate == 24000
    assert frame.FromString(bytes.fromhex(AUDIO)).audio.audio == b"\1\0\2\0"
    assert frame.FromString(bytes.fromhex(TRANSCRIPTION)).transcription.user_id == "u"
    audio = frame()
    audio.audio.audio, audio.audio.sample_rate, audio.audio.num_channels = b"\1\0\2\0", 16000, 1
    assert audio.SerializeToString().hex() == SENT_AUDIO


@in_asyncio
async def test_a_conversation():
    async with agent() as (one, there, _):
        events = one.events()
        assert await anext(events) == Connected(one.settings["websocket_url"])
        await one.send(FRAME)
        await there.until(lambda party: bytes(party.heard) == FRAME)
        await there.said("how are you", user=True)
        await there.speak(FRAME, rate=24000)
        await there.interrupt()
        await there.said("fine", user=False)
        assert [await anext(events) for _ in range(4)] == [
            Said("how are you", user=True),
            Speech(FRAME, 24000),
            Interrupted(),
            Said("fine", user=False),
        ]
        await one.message("say this")
        await one.digits("1A*")
        await there.until(lambda party: len(party.messages) == 2)
        text, pressed = there.messages
        assert text == "say this"
        assert (pressed["label"], pressed["type"]) == ("rtvi-ai", "dtmf")
        assert pressed["data"] == {"buttons": ["1", "*"]} and pressed["id"]
        await there.end()
        assert [event async for event in events] == []


@in_asyncio
async def test_what_pipecat_writes_is_understood():
    async with agent() as (one, there, _):
        events = one.events()
        await anext(events)
        for text in (AUDIO, TEXT, TRANSCRIPTION, MESSAGE, INTERRUPTION, PLAIN_INTERRUPTION):
            await there.socket.send_bytes(bytes.fromhex(text))
        assert [await anext(events) for _ in range(6)] == [
            Speech(b"\1\0\2\0", 24000),
            Said("hello", user=False),
            Said("hi", user=True),
            Interrupted(),
            Interrupted(),
            Interrupted(),
        ]


@in_asyncio
async def test_messages_between_bot_and_client():
    async with agent() as (one, there, _):
        events = one.events()
        await anext(events)
        for text in (
            b'{"type": "user-transcription", "data": {"text": "a", "final": true}}',
            b'{"type": "bot-transcription", "data": {"text": "b"}}',
            b'{"type": "metrics", "data": {}}',
            b'{"type": "bot-transcript", "data": "no"}',
            b"no json",
        ):
            await there.frame(4, encoded(1, text))
        older = (
            encoded(1, 5) + encoded(2, b"n") + encoded(3, b'{"type":"user-transcript","data":{"text":"c"}}')
        )
        await there.frame(4, older)
        assert [await anext(events) for _ in range(3)] == [
            Said("a", user=True),
            Said("b", user=False),
            Said("c", user=True),
        ]
        assert one.malformed == 1


@in_asyncio
async def test_several_channels_are_mixed_and_odd_rates_passed_over():
    async with agent() as (one, there, _):
        events = one.events()
        await anext(events)
        both = np.array([[100, 300], [-50, -150]], "<i2").tobytes()
        await there.speak(both + b"\1", rate=48000, channels=2)
        assert await anext(events) == Speech(np.array([200, -100], "<i2").tobytes(), 48000)
        for rate, channels in ((1, 1), (4_000_000_000, 1), (16000, 99)):
            await there.speak(FRAME, rate=rate, channels=channels)
        await there.frame(2, encoded(3, FRAME))  # nothing said of it: as we speak
        assert await anext(events) == Speech(FRAME, 16000)
        assert one.malformed == 3
    assert mono(b"\1", 1) == b""


@in_asyncio
async def test_what_cannot_be_understood_is_passed_over():
    broken = [b"\xff\xff", bytes.fromhex(AUDIO)[:-3], b"", encoded(9, b"new"), "text"]
    await agentsupport.passed_over("pipecat", broken, malformed=5)


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:{}/bot",
        "ws://localhost:{}/bot",
        "ws://[::1]:{}/bot",
        "ws://127.1:{}/bot",
        "ws://2130706433:{}/bot",
        "ws://[::ffff:127.0.0.1]:{}/bot",
    ],
)
@in_asyncio
async def test_a_private_address_is_not_connected_to(url):
    parties = Parties()
    async with scripted(parties.routes()) as server, aiohttp.ClientSession() as http:
        one = find(AGENTS, "pipecat")(http, {"websocket_url": url.format(server.port)})
        with pytest.raises(ProviderError) as refused:
            await one.open()
        await one.close()
        assert "which is not allowed" in refused.value.message
        assert server.requests == [] and parties.sessions == []


@in_asyncio
async def test_a_name_is_checked_by_what_it_leads_to():
    checked = Checked(AddressGuard(False))
    with pytest.raises(Forbidden, match="localhost has a private address"):
        await checked.resolve("localhost", 80, socket.AF_INET)
    allowing = Checked(AddressGuard(True))
    (found,) = await allowing.resolve("localhost", 80, socket.AF_INET)
    assert (found["host"], found["port"]) == ("127.0.0.1", 80)


@in_asyncio
async def test_a_name_that_leads_inside_is_not_connected_to():
    async with scripted({}) as server, aiohttp.ClientSession() as http:
        one = find(AGENTS, "pipecat")(
            http, {"websocket_url": f"ws://{socket.gethostname()}:{server.port}/bot"}
        )
        with pytest.raises(ProviderError, match="a private address"):
            await one.open()
        await one.close()


@in_asyncio
async def test_a_redirect_is_not_followed():
    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://{request.host}/inside")

    async def inside(request: web.Request) -> web.Response:
        raise AssertionError("it was followed")

    async with scripted({"/bot": elsewhere, "/inside": inside}) as server, aiohttp.ClientSession() as http:
        settings = {"websocket_url": f"{server.ws}/bot", "allow_private": True}
        one = find(AGENTS, "pipecat")(http, settings)
        with pytest.raises(ProviderError, match="pipecat: redirects are not followed"):
            await one.open()
        await one.close()
