"""VAPI assistants, against a server that speaks their wire."""

from __future__ import annotations

from functools import partial

import aiohttp
import pytest

from tests.support.agentparties import KEY, Parties
from tests.support.inasyncio import in_asyncio
from tests.support.scripted import scripted
from vsi_esl.providers import AGENTS, find
from vsi_esl.providers.base import Connected, Interrupted, ProviderError, Said, Speech

from . import agentsupport
from .agentsupport import FRAME

agent = partial(agentsupport.agent, "vapi")


@pytest.mark.parametrize("flat", [False, True])
@in_asyncio
async def test_a_conversation(flat):
    async with agent(flat=flat) as (one, there, parties):
        events = one.events()
        assert await anext(events) == Connected("call-1")
        assert there.beginning["assistantId"] == "as-1"
        assert "assistantOverrides" not in there.beginning
        await one.send(FRAME)
        await there.until(lambda party: bytes(party.heard) == FRAME)
        await there.said("how are you", user=True)
        await there.speak(FRAME)
        await there.interrupt()
        await there.send(type="speech-update", status="started", role="user")
        await there.send(type='transcript[transcriptType="final"]', role="assistant", transcript="fine")
        assert [await anext(events) for _ in range(4)] == [
            Said("how are you", user=True),
            Speech(FRAME),
            Interrupted(),
            Said("fine", user=False),
        ]
        await one.message("be brief")
        assert parties.controls == [
            {"type": "add-message", "message": {"role": "system", "content": "be brief"}}
        ]
        await one.close()
        await there.until(lambda party: party.closed_by_client)
        assert there.messages == ["end-call"]


@in_asyncio
async def test_what_is_wanted_goes_with_the_call():
    async with agent(first_message="Hello", variable_values={"name": "Ann"}) as (_, there, _):
        await there.until(lambda party: party.beginning)
        wanted = {"firstMessage": "Hello", "variableValues": {"name": "Ann"}}
        assert there.beginning["assistantOverrides"] == wanted


@in_asyncio
async def test_the_provider_says_that_it_is_over():
    async with agent() as (one, there, parties):
        events = one.events()
        await anext(events)
        await there.send(type="status-update", status="in-progress")
        await there.send(type="status-update", status="ended")
        assert [event async for event in events] == []
        await one.close()
        await there.until(lambda party: party.closed_by_client)
        assert there.messages == [] and parties.controls == []


@in_asyncio
async def test_what_cannot_be_understood_is_passed_over():
    broken = [
        "no json",
        "[1]",
        '{"type": "transcript", "role": "user", "transcript": {}}',
        "{}",
        {"type": "transcript", "role": "bot", "transcript": "of nobody"},
    ]
    await agentsupport.passed_over("vapi", broken, malformed=2)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"id": "x"}, "vapi: call response missing listenUrl"),
        ({"id": "x", "listenUrl": 7}, "vapi: call response missing listenUrl"),
        ([], "vapi: its answer to a call is no JSON"),
    ],
)
@in_asyncio
async def test_a_call_without_an_address(answer, text):
    with pytest.raises(ProviderError) as failed:
        async with agent(call_answer=answer):
            raise AssertionError
    assert failed.value.message == text


@in_asyncio
async def test_the_key_goes_nowhere_unencrypted():
    async with aiohttp.ClientSession() as http:
        one = find(AGENTS, "vapi")(http, {"api_key": KEY, "assistant_id": "as-1"})
    assert one._trusted("wss://api.vapi.ai/x/transport") and one._trusted("https://elsewhere.vapi.ai/x")
    for url in ("ws://api.vapi.ai/x", "http://api.vapi.ai/x", "file:///etc/passwd", "api.vapi.ai"):
        assert not one._trusted(url)


@in_asyncio
async def test_a_call_that_cannot_be_reached_is_ended():
    parties = Parties()
    async with scripted(parties.routes()) as server, aiohttp.ClientSession() as http:
        parties.call_answer = {
            "id": "x",
            "listenUrl": f"{server.ws}/transport/unknown",
            "controlUrl": f"{server.http}/control/x",
        }
        settings = {"api_key": KEY, "base_url": server.http, "assistant_id": "as-1"}
        one = find(AGENTS, "vapi")(http, settings)
        with pytest.raises(ProviderError, match="vapi: refused the connection: status 404"):
            await one.open()
        await one.close()
        assert parties.controls == [{"type": "end-call"}]


@in_asyncio
async def test_a_message_that_is_refused():
    async with agent(control_status=422) as (one, _, _):
        with pytest.raises(ProviderError) as failed:
            await one.message("be brief")
        assert failed.value.message == "vapi control API returned 422: what the provider says"


@in_asyncio
async def test_a_message_that_is_quoted_in_its_refusal():
    async with agent(control_status=400) as (one, _, parties):
        parties.quotes = True
        with pytest.raises(ProviderError) as failed:
            await one.message("the customer's balance is 12")
        assert "balance" not in failed.value.message


@in_asyncio
async def test_a_message_without_a_control_address():
    parties = Parties()
    async with scripted(parties.routes()) as server, aiohttp.ClientSession() as http:
        parties.call_answer = {"id": "x", "listenUrl": f"{server.ws}/transport/call-1"}
        settings = {"api_key": KEY, "base_url": server.http, "assistant_id": "as-1"}
        one = find(AGENTS, "vapi")(http, settings)
        await one.open()
        with pytest.raises(ProviderError) as failed:
            await one.message("be brief")
        assert failed.value.message == "no control URL available"
        await one.close()


@in_asyncio
async def test_a_wrong_key_is_told_without_it():
    with pytest.raises(ProviderError) as refused:
        async with agent(api_key="secret"):
            raise AssertionError
    assert (refused.value.message, refused.value.category) == ("vapi: status 401", "permanent_auth")


@in_asyncio
async def test_nobody_is_there():
    async with aiohttp.ClientSession() as http:
        settings = {"api_key": "secret", "base_url": "http://127.0.0.1:1", "assistant_id": "as-1"}
        one = find(AGENTS, "vapi")(http, settings)
        with pytest.raises(ProviderError, match="vapi: no connection: ") as failed:
            await one.open()
        assert "secret" not in str(failed.value)
        await one.close()
