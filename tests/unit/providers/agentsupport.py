"""What the tests of agents share: one at a server that speaks its wire, and what it passes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.support.agentparties import KEY, Parties
from tests.support.scripted import Scripted, scripted
from vsi_esl.providers import AGENTS, find
from vsi_esl.providers.base import Said

FRAME = b"\x10\x00" * 320
OF_THE_SERVER = ("held", "flat", "formats", "call_answer", "control_status")
"""What is said of the other side and not of the agent."""


def settings(name: str, server: Scripted) -> dict[str, Any]:
    """The least that an agent of this provider is given."""
    if name == "pipecat":
        return {"websocket_url": f"{server.ws}/bot", "allowed_networks": ["127.0.0.0/8"]}
    named = {"elevenlabs": {"agent_id": "a b/c"}, "vapi": {"assistant_id": "as-1"}}
    return {"api_key": KEY, "base_url": server.http, **named.get(name, {})}


@asynccontextmanager
async def agent(name: str, **given: Any) -> AsyncIterator[tuple[Any, Any, Parties]]:
    """A provider and the other side of its session, which has begun."""
    parties = Parties()
    for one in OF_THE_SERVER:
        if one in given:
            setattr(parties, one, given.pop(one))
    async with scripted(parties.routes()) as server, aiohttp.ClientSession() as http:
        provider = find(AGENTS, name)(http, {**settings(name, server), **given})
        try:
            await provider.open()
            yield provider, await parties.session(), parties
        finally:
            await provider.close()
        assert parties.wrongs == []


async def passed_over(name: str, messages: Iterable[str | bytes | dict[str, Any]], malformed: int) -> None:
    """None of these messages of the other side is told or ends the session, and so many count as malformed.
    A text or bytes are sent as they are."""
    async with agent(name) as (one, there, _):
        events = one.events()
        await anext(events)
        for message in messages:
            if isinstance(message, dict):
                await there.send(**message)
            elif isinstance(message, str):
                await there.socket.send_str(message)
            else:
                await there.socket.send_bytes(message)
        await there.said("still here", user=True)
        async with asyncio.timeout(20):
            assert await anext(events) == Said("still here", user=True)
        assert one.malformed == malformed
