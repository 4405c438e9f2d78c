"""ElevenLabs agents, against a server that speaks their wire."""

from __future__ import annotations

import asyncio
from functools import partial

import aiohttp
import numpy as np
import pytest

from tests.support.agentparties import KEY
from tests.support.inasyncio import in_asyncio
from vsi_esl.providers import AGENTS, conversation, find, g711, websocket
from vsi_esl.providers.base import Connected, Interrupted, NotOffered, ProviderError, Said, Speech

from . import agentsupport
from .agentsupport import FRAME

agent = partial(agentsupport.agent, "elevenlabs")


@in_asyncio
async def test_a_conversation():
    async with agent() as (one, there, _):
        events = one.events()
        assert await anext(events) == Connected("conv-1")
        assert there.request.query["agent_id"] == "a b/c"
        await one.send(FRAME)
        await there.until(lambda party: bytes(party.heard) == FRAME)
        await there.speak(FRAME)
        await there.said("how are you", user=True)
        await there.said(" fine ", user=False)
        assert [await anext(events) for _ in range(3)] == [
            Speech(FRAME, 16000),
            Said("how are you", user=True),
            Said("fine", user=False),
        ]
        assert there.beginning == {}
        await there.end()
        assert [event async for event in events] == []


@in_asyncio
async def test_what_is_wanted_is_said_first():
    wanted = {"first_message": "Hello", "language": "de", "dynamic_variables": {"name": "Ann"}}
    async with agent(**wanted) as (_, there, _):
        await there.until(lambda party: party.beginning)
        assert there.beginning == {
            "conversation_config_override": {"agent": {"first_message": "Hello", "language": "de"}},
            "dynamic_variables": {"name": "Ann"},
        }
    async with agent(dynamic_variables={"name": "Ann"}) as (_, there, _):
        await there.until(lambda party: party.beginning)
        assert there.beginning == {"dynamic_variables": {"name": "Ann"}}


@in_asyncio
async def test_the_older_wire_is_understood():
    async with agent(flat=True) as (one, _, _):
        assert await anext(one.events()) == Connected("conv-1")


@in_asyncio
async def test_pings_are_answered_with_their_number():
    async with agent() as (one, there, _):
        reading = asyncio.create_task(anext(aiter(only_speech(one))))
        for number in (7, 8):
            await there.ping(number)
        await there.until(lambda party: party.pongs == [7, 8])
        await there.speak(FRAME)
        assert (await reading).pcm == FRAME


async def only_speech(one):
    async for event in one.events():
        if isinstance(event, Speech):
            yield event


@in_asyncio
async def test_speech_of_before_an_interruption_is_not_heard_any_more():
    async with agent() as (one, there, _):
        events = one.events()
        await anext(events)
        await there.speak(b"\1\0")
        await there.interrupt()
        there.number = 0
        await there.speak(b"\2\0")  # sent before the provider knew of the interruption
        await there.speak(b"\3\0")
        assert [await anext(events) for _ in range(3)] == [Speech(b"\1\0"), Interrupted(), Speech(b"\3\0")]


@pytest.mark.parametrize(("name", "rate"), [("pcm_8000", 8000), ("pcm_44100", 44100), ("ulaw_8000", 8000)])
@in_asyncio
async def test_the_formats_of_the_agent_are_kept_to(name, rate):
    formats = {"agent_output_audio_format": name, "user_input_audio_format": name}
    async with agent(formats=formats) as (one, there, _):
        events = one.events()
        await anext(events)
        tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)).astype("<i2")
        for at in range(0, len(tone), 320):
            await one.send(tone[at : at + 320].tobytes())
        wide = 1 if name == "ulaw_8000" else 2
        await there.until(lambda party: len(party.heard) >= 0.9 * rate * wide)
        heard = bytes(there.heard)
        heard = np.frombuffer(g711.decode(heard) if wide == 1 else heard, "<i2")
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        assert abs(np.argmax(spectrum) * rate / len(heard) - 500) < 3
        assert 7500 < np.abs(heard).max() < 8600
        said = np.arange(-160, 160, dtype="<i2").tobytes() if wide == 2 else bytes(range(160))
        await there.speak(said)
        speech = await anext(events)
        assert speech == Speech(said if wide == 2 else g711.decode(said), rate)


@in_asyncio
async def test_audio_waits_until_the_formats_are_known():
    async with agent(held=True) as (one, there, _):
        events = one.events()
        await one.send(FRAME)
        await there.metadata()
        await anext(events)
        assert not there.heard
        await one.send(FRAME)
        await there.until(lambda party: bytes(party.heard) == FRAME * 2)


@in_asyncio
async def test_an_agent_that_never_tells_them_is_spoken_to_after_two_seconds():
    async with agent(held=True) as (one, there, _):
        there.metadata_sent = True
        for _ in range(conversation.UNTOLD_FRAMES):
            await one.send(FRAME)
        await there.until(lambda party: len(party.heard) == len(FRAME) * conversation.UNTOLD_FRAMES)


@in_asyncio
async def test_what_cannot_be_understood_is_passed_over():
    broken: list[str | bytes] = [
        "no json",
        "[]",
        '"text"',
        "{}",
        '{"type": 5}',
        '{"type": "audio"}',
        '{"type": "audio", "audio_event": 7}',
        '{"type": "audio", "audio_event": {"audio_base_64": "?", "event_id": "x"}}',
        '{"type": "audio", "audio_event": {"audio_base_64": 7}}',
        '{"type": "user_transcript", "user_transcription_event": {"user_transcript": ["a"]}}',
        '{"type": "agent_response", "agent_response_event": "text"}',
        '{"type": "agent_response", "agent_response_event": {"agent_response": "  "}}',
        '{"type": "vad_score", "vad_score_event": {"vad_score": 0.9}}',
        b"binary",
    ]
    await agentsupport.passed_over("elevenlabs", broken, malformed=5)


@in_asyncio
async def test_messages_are_not_offered():
    async with agent() as (one, _, _):
        with pytest.raises(NotOffered, match="this agent provider does not support message injection"):
            await one.message("hello")
        await one.digits("1")


@in_asyncio
async def test_a_wrong_key_is_told_without_it():
    with pytest.raises(ProviderError) as refused:
        async with agent(api_key="secret"):
            raise AssertionError
    assert (refused.value.message, refused.value.category) == (
        "elevenlabs: refused the connection: status 401",
        "permanent_auth",
    )


@pytest.mark.parametrize(
    ("code", "text", "category"),
    [(1008, "closed the connection (1008)", "permanent_input"), (1011, "(1011)", "service_unavailable")],
)
@in_asyncio
async def test_a_provider_that_fails_in_mid_sentence(code, text, category):
    async with agent() as (one, there, _):
        events = one.events()
        await anext(events)
        await there.speak(FRAME)
        await there.end(code)
        assert await anext(events) == Speech(FRAME)
        with pytest.raises(ProviderError) as failed:
            await anext(events)
        assert text in failed.value.message and failed.value.category == category
        with pytest.raises(ProviderError, match="the connection was lost"):
            await one.send(FRAME)


@in_asyncio
async def test_a_connection_that_is_cut():
    async with agent() as (one, there, _):
        events = one.events()
        await anext(events)
        there.request.transport.abort()
        with pytest.raises(ProviderError, match="the connection was lost") as failed:
            await anext(events)
        assert failed.value.category == "retryable"


async def pings(there, count, every):
    for _ in range(count):
        await asyncio.sleep(every)
        await there.socket.ping()


@in_asyncio
async def test_a_provider_that_falls_silent():
    kind = find(AGENTS, "elevenlabs")
    kind.SILENCE_S = 1.0
    try:
        async with agent() as (one, there, _):
            events = one.events()
            await anext(events)
            pinging = asyncio.create_task(pings(there, 3, 0.4))  # a ping is something that comes
            began = asyncio.get_running_loop().time()
            with pytest.raises(ProviderError, match="nothing came for 1 s") as failed:
                await anext(events)
            assert failed.value.category == "service_unavailable"
            assert asyncio.get_running_loop().time() - began > 1.5
            await pinging
    finally:
        del kind.SILENCE_S


@in_asyncio
async def test_no_websocket_at_all():
    with pytest.raises(ProviderError, match="elevenlabs: no connection: ") as failed:
        async with aiohttp.ClientSession() as http:
            settings = {"api_key": KEY, "base_url": "http://127.0.0.1:1", "agent_id": "secret-id"}
            await find(AGENTS, "elevenlabs")(http, settings).open()
    assert "secret" not in str(failed.value)
    assert failed.value.category == "service_unavailable"


@in_asyncio
async def test_a_server_that_never_answers():
    async def mute(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    before, websocket.CONNECT_S = websocket.CONNECT_S, 0.2
    try:
        async with aiohttp.ClientSession() as http:
            settings = {"api_key": KEY, "base_url": f"https://127.0.0.1:{port}", "agent_id": "a"}
            with pytest.raises(ProviderError, match=r"no connection within 0\.2 s"):
                await find(AGENTS, "elevenlabs")(http, settings).open()
    finally:
        websocket.CONNECT_S = before
        server.close()
        await server.wait_closed()
