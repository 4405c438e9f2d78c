"""Deepgram's voice agent, against a server that speaks its wire."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial

import pytest

from tests.support.inasyncio import in_asyncio
from vsi_esl.providers.agents import deepgram
from vsi_esl.providers.base import Connected, Interrupted, ProviderError, Said, Speech

from . import agentsupport
from .agentsupport import FRAME

agent = partial(agentsupport.agent, "deepgram")


@asynccontextmanager
async def read(one):
    """What it tells, read all the time as the task does."""
    told: asyncio.Queue = asyncio.Queue()

    async def reading():
        async for event in one.events():
            told.put_nowait(event)

    task = asyncio.create_task(reading())
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@in_asyncio
async def test_a_conversation():
    async with agent() as (one, there, _), read(one) as told:
        assert await told.get() == Connected("conv-1")
        await there.until(lambda party: party.beginning)
        assert there.beginning["agent"] == deepgram.AGENT
        await there.said("how are you", user=True)
        await there.speak(FRAME)
        await there.interrupt()
        await there.said("fine", user=False)
        assert [await told.get() for _ in range(4)] == [
            Said("how are you", user=True),
            Speech(FRAME),
            Interrupted(),
            Said("fine", user=False),
        ]
        await one.send(FRAME)
        await there.until(lambda party: bytes(party.heard) == FRAME)
        await one.message("say this")
        await there.until(lambda party: party.messages == ["say this"])


@in_asyncio
async def test_the_older_welcome_is_understood():
    async with agent(flat=True) as (one, _, _), read(one) as told:
        assert await told.get() == Connected("conv-1")


@in_asyncio
async def test_settings_are_the_clients_but_for_type_and_audio():
    thinks = {"think": {"model": "m"}}
    given = {"type": "x", "audio": {}, "tags": ["a"], "agent": {**thinks, "greeting": "old"}}
    async with agent(settings=given, greeting="Hello", language="de") as (one, there, _), read(one):
        await there.until(lambda party: party.beginning)
        assert there.beginning == {
            "type": "Settings",
            "audio": deepgram.AUDIO,
            "tags": ["a"],
            "agent": {**thinks, "greeting": "Hello", "language": "de"},
        }
    assert given["agent"]["greeting"] == "old"
    async with agent(greeting="Hello") as (one, there, _), read(one):
        await there.until(lambda party: party.beginning)
        assert there.beginning["agent"] == {**deepgram.AGENT, "greeting": "Hello"}


@in_asyncio
async def test_audio_waits_for_the_settings_to_be_applied():
    async with agent(held=True) as (one, there, _), read(one) as told:
        await one.send(FRAME)
        await there.welcome()
        await told.get()
        await there.until(lambda party: party.beginning)
        await one.send(FRAME)
        assert not there.heard
        await there.send(type="SettingsApplied")
        await there.said("ready", user=False)
        await told.get()
        await one.send(FRAME)
        await there.until(lambda party: bytes(party.heard) == FRAME * 3)


@in_asyncio
async def test_the_settings_are_sent_though_nobody_says_welcome():
    before, deepgram.WELCOME_S = deepgram.WELCOME_S, 0.05
    try:
        async with agent(held=True) as (one, there, _), read(one):
            await there.until(lambda party: party.beginning)
    finally:
        deepgram.WELCOME_S = before


@in_asyncio
async def test_it_is_kept_alive_while_nothing_is_heard_of_the_user():
    before, deepgram.KEEP_ALIVE_S = deepgram.KEEP_ALIVE_S, 0.1
    try:
        async with agent() as (one, there, _), read(one):
            await there.until(lambda party: party.messages == ["KeepAlive"] * 2)
    finally:
        deepgram.KEEP_ALIVE_S = before


@in_asyncio
async def test_speech_cut_within_a_sample_is_put_together():
    async with agent() as (one, there, _), read(one) as told:
        await told.get()
        for piece in (b"\1\0\2", b"\0\3", b"\0"):
            await there.speak(piece)
        assert [await told.get() for _ in range(3)] == [Speech(b"\1\0"), Speech(b"\2\0"), Speech(b"\3\0")]


@in_asyncio
async def test_what_cannot_be_understood_is_passed_over():
    broken = [
        "no json",
        "7",
        '{"type": "ConversationText", "role": "user", "content": 7}',
        {"type": "ConversationText", "role": "system", "content": "secret"},
        {"type": "Warning", "code": "W", "description": "d"},
        {"type": "InjectionRefused", "message": "m"},
    ]
    await agentsupport.passed_over("deepgram", broken, malformed=2)


@in_asyncio
async def test_an_error_does_not_end_it_and_is_named_when_it_does():
    async with agent(settings={"agent": "unknown"}) as (one, _, _):
        events = one.events()
        assert await anext(events) == Connected("conv-1")
        with pytest.raises(ProviderError) as failed:
            await anext(events)
        said = "deepgram: closed the connection (1011) after the error AGENT_NOT_FOUND"
        assert failed.value.message == said
    async with agent() as (one, there, _), read(one) as told:
        await told.get()
        await there.send(type="Error", code="what was said: secret", description="secret")
        await there.said("still here", user=True)
        assert await told.get() == Said("still here", user=True)
        assert "secret" not in one.closed_with(1011)


@in_asyncio
async def test_a_wrong_key_is_told_without_it():
    with pytest.raises(ProviderError) as refused:
        async with agent(api_key="secret"):
            raise AssertionError
    assert (refused.value.message, refused.value.category) == (
        "deepgram: refused the connection: status 401",
        "permanent_auth",
    )


@in_asyncio
async def test_a_fault_in_what_keeps_the_connection_ends_the_conversation():
    before, deepgram.KEEP_ALIVE_S = deepgram.KEEP_ALIVE_S, "soon"
    try:
        async with agent() as (one, _, _), asyncio.timeout(20):
            with pytest.raises(TypeError):
                async for _ in one.events():
                    pass
    finally:
        deepgram.KEEP_ALIVE_S = before
