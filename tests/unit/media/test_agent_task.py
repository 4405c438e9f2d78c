"""The task of an agent, with the scripted providers on one side and a session in memory on the other."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.agentparties import KEY, Parties
from tests.support.inasyncio import in_asyncio
from tests.support.mediaworker import Session
from tests.support.scripted import scripted
from vsi_esl.media.tasks import FRAME_BYTES, agent
from vsi_esl.providers.base import ProviderError

FRAME = b"\x10\x00" * (FRAME_BYTES // 2)


@asynccontextmanager
async def talking(provider: str = "pipecat", parties: Parties | None = None, **given: Any):
    """A running task, and the other side of its conversation."""
    parties = parties or Parties()
    async with scripted(parties.routes()) as server, Session() as session:
        settings = {"api_key": KEY, "base_url": server.http, "agent_id": "a", "assistant_id": "a", **given}
        settings |= {"websocket_url": f"{server.ws}/bot", "allow_private": True}
        session.start("agent", {"provider": provider, "settings": settings})
        yield session, parties
    assert parties.wrongs == []


def told(session: Session, what: str) -> list[dict[str, Any]]:
    return [data for one, data in session.reports if one == what]


@pytest.mark.parametrize("provider", ["elevenlabs", "deepgram", "vapi", "pipecat"])
@in_asyncio
async def test_a_conversation(provider):
    async with talking(provider) as (session, parties):
        there = await parties.session()
        (connected,) = await session.reported("connected")
        assert connected["conversation_id"]
        await there.said("hello", user=False)
        await session.reported("agent_response")
        session.audio.feed(FRAME * 3)
        await there.until(lambda party: bytes(party.heard) == FRAME * 3)
        await there.speak(FRAME)
        await there.said("how are you", user=True)
        await session.reported("user_transcript")
        assert session.voice.pieces == [(FRAME, 16000)]
        await there.interrupt()
        await there.said("fine", user=False)
        await session.reported("agent_response", 2)
        assert session.voice.hushed == 1
        assert [what for what, _ in session.reports] == [
            "connected",
            "agent_response",
            "user_transcript",
            "agent_response",
        ]
        assert told(session, "user_transcript") == [{"text": "how are you"}]
        assert set(session.figures) == {"first_text_ms"}  # what is heard first, the session measures
        await there.end()
        await session.running


@in_asyncio
async def test_it_is_connected_once():
    parties = Parties()
    async with talking("elevenlabs", parties) as (session, _):
        there = await parties.session()
        await there.metadata()
        await there.said("hello", user=False)
        await session.reported("agent_response")
        assert len(told(session, "connected")) == 1


@in_asyncio
async def test_messages_and_digits_go_to_the_provider_in_order():
    async with talking() as (session, parties):
        session.task.told("message", {"number": 1, "text": "too early"})
        there = await parties.session()
        await session.reported("connected")
        session.task.told("message", {"number": 2, "text": "one"})
        session.task.told("digits", "5")
        session.task.told("message", {"number": 3, "text": "two"})
        session.task.told("unknown", None)
        answers = await session.reported("answer", 3)
        assert answers == [
            {"number": 1, "outcome": "not_running", "error": ""},
            {"number": 2, "outcome": "sent", "error": ""},
            {"number": 3, "outcome": "sent", "error": ""},
        ]
        await there.until(lambda party: len(party.messages) == 3)
        assert there.messages[0] == "one" and there.messages[2] == "two"
        assert there.messages[1]["data"] == {"buttons": ["5"]}


@in_asyncio
async def test_messages_that_are_not_offered_or_fail():
    async with talking("elevenlabs") as (session, _):
        await session.reported("connected")
        session.task.told("message", {"number": 1, "text": "hello"})
        session.task.told("digits", "5")
        (answer,) = await session.reported("answer")
        refused = "this agent provider does not support message injection"
        assert answer == {"number": 1, "outcome": "not_offered", "error": refused}
    parties = Parties()
    parties.control_status = 500
    async with talking("vapi", parties) as (session, _):
        await session.reported("connected")
        session.task.told("message", {"number": 1, "text": "hello"})
        (answer,) = await session.reported("answer")
        failed = "vapi control API returned 500: what the provider says"
        assert answer == {"number": 1, "outcome": "failed", "error": failed}


@in_asyncio
async def test_what_waits_for_the_provider_is_bounded():
    async with talking() as (session, _):
        await session.reported("connected")
        for number in range(agent.TOLD + 2):
            session.task.told("message", {"number": number, "text": "x"})
        session.task.told("digits", "5")
        answers = await session.reported("answer", agent.TOLD + 2)
        assert [one["number"] for one in answers if one["outcome"] == "failed"] == [64, 65]
        assert session.counters["digits_dropped"] == 1


@in_asyncio
async def test_a_flood_of_texts_does_not_reach_the_service():
    async with talking() as (session, parties):
        there = await parties.session()
        began = time.monotonic()
        for _ in range(1000):
            await there.said("x" * 20_000, user=False)
        await there.end()
        await session.running
        took = time.monotonic() - began
        passed = told(session, "agent_response")
        assert agent.TEXTS_AT_ONCE <= len(passed) <= agent.TEXTS_AT_ONCE + took * agent.TEXTS_A_SECOND
        assert len(passed) + session.counters["texts_dropped"] == 1000
        assert {len(one["text"]) for one in passed} == {agent.LONGEST_TEXT}


@in_asyncio
async def test_a_flood_leaves_others_their_turn():
    async with talking() as (session, parties):
        there = await parties.session()
        await session.reported("connected")
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.create_task(others())
        for _ in range(500):
            await there.speak(FRAME)
        await there.end()
        await session.running
        other.cancel()
        assert turns > 500 / 16
        assert session.voice.pcm == FRAME * 500


@in_asyncio
async def test_the_provider_may_speak_on_when_nothing_more_is_heard():
    async with talking() as (session, parties):
        there = await parties.session()
        session.audio.end()
        await there.speak(FRAME)
        await there.said("goodbye", user=False)
        await session.reported("agent_response")
        assert session.voice.pcm == FRAME
        await there.end()
        await session.running


@in_asyncio
async def test_what_was_said_before_the_end_is_heard():
    async with talking() as (session, parties):
        there = await parties.session()
        await session.reported("connected")
        session.voice.heard.clear()
        await there.speak(FRAME)
        await there.end()
        waiting = asyncio.ensure_future(asyncio.wait_for(asyncio.shield(session.running), 0.2))
        with pytest.raises(TimeoutError):
            await waiting
        session.task.told("message", {"number": 1, "text": "late"})
        assert told(session, "answer") == [{"number": 1, "outcome": "not_running", "error": ""}]
        session.voice.heard.set()
        await session.running


@in_asyncio
async def test_an_end_of_which_nobody_hears_the_last_words_is_one_all_the_same(monkeypatch):
    monkeypatch.setattr(agent, "GOODBYE_S", 0.01)
    async with talking() as (session, parties):
        there = await parties.session()
        session.voice.heard.clear()
        await there.end()
        await session.running


@pytest.mark.parametrize(("code", "category"), [(1011, "service_unavailable"), (4000, "unknown")])
@in_asyncio
async def test_a_provider_that_fails_while_it_is_spoken_to(code, category):
    async with talking() as (session, parties):
        there = await parties.session()
        await session.reported("connected")
        await there.end(code)
        for _ in range(50):
            session.audio.feed(FRAME)
        with pytest.raises(ProviderError) as failed:
            await session.running
        assert (failed.value.message, failed.value.category) == (
            f"pipecat: closed the connection ({code})",
            category,
        )
        session.task.told("message", {"number": 1, "text": "late"})
        assert told(session, "answer") == [{"number": 1, "outcome": "not_running", "error": ""}]


@in_asyncio
async def test_a_provider_that_ends_while_it_is_spoken_to():
    async with talking() as (session, parties):
        there = await parties.session()
        await session.reported("connected")
        await there.end()
        for _ in range(50):
            session.audio.feed(FRAME)
        await session.running


@in_asyncio
async def test_a_wrong_key_ends_it_without_a_word():
    async with talking("elevenlabs", api_key="secret") as (session, _):
        with pytest.raises(ProviderError) as failed:
            await session.running
        assert (failed.value.message, failed.value.category) == (
            "elevenlabs: refused the connection: status 401",
            "permanent_auth",
        )
        assert session.reports == []


@pytest.mark.parametrize("provider", ["elevenlabs", "deepgram", "vapi", "pipecat"])
@in_asyncio
async def test_stopped_it_lets_go_of_the_provider(provider):
    async with talking(provider) as (session, parties):
        there = await parties.session()
        await session.reported("connected")
        session.running.cancel()
        await asyncio.gather(session.running, return_exceptions=True)
        await there.until(lambda party: party.closed_by_client)


@in_asyncio
async def test_what_could_not_be_understood_is_counted():
    async with talking("elevenlabs") as (session, parties):
        there = await parties.session()
        await there.socket.send_str("no json")
        await there.end()
        await session.running
        assert session.counters["malformed"] == 1
