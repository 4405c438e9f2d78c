"""Agents, as far as any server shows them: what is refused, and a conversation with a Pipecat bot."""

from __future__ import annotations

import pytest

from tests.support.calls import answered, ring
from tests.support.drivers import eventually

NOBODY = "00000000-0000-0000-0000-000000000000"
STARTS = {
    "elevenlabs": {"agent_id": "a"},
    "vapi": {"assistant_id": "a"},
    "pipecat": {"websocket_url": "ws://127.0.0.1:1/"},
    "deepgram": {},
}
NEEDED = {"elevenlabs": "agent_id", "vapi": "assistant_id", "pipecat": "websocket_url"}
KEYED = ("elevenlabs", "vapi", "deepgram")


@pytest.mark.parametrize("provider", NEEDED)
@pytest.mark.parametrize("kind", ["leg", "room"])
def test_what_it_is_about_is_looked_at_first(client, kind, provider):
    refused = (400, f"{NEEDED[provider]} is required")
    assert client.error(f"{kind}_agent_{provider}", id=NOBODY) == refused


@pytest.mark.parametrize("provider", KEYED)
@pytest.mark.parametrize("kind", ["leg", "room"])
def test_then_the_key(client, kind, provider):
    refused = (503, f"no {provider} API key provided")
    assert client.error(f"{kind}_agent_{provider}", id=NOBODY, **STARTS[provider]) == refused


@pytest.mark.parametrize("provider", STARTS)
@pytest.mark.parametrize("kind", ["leg", "room"])
def test_then_the_leg_or_room(client, kind, provider):
    key = {"api_key": "k"} if provider in KEYED else {}
    refused = (404, f"{kind} not found")
    assert client.error(f"{kind}_agent_{provider}", id=NOBODY, **STARTS[provider], **key) == refused
    assert client.error(f"{kind}_agent_{provider}", id="", **STARTS[provider], **key) == refused


def test_then_the_state_of_the_leg(switch, client):
    _, leg = ring(switch, client)
    refused = (409, "leg not connected")
    assert client.error("leg_agent_pipecat", id=leg, **STARTS["pipecat"]) == refused


@pytest.mark.parametrize("kind", ["leg", "room"])
def test_without_an_agent_there_is_nothing_to_stop_or_to_tell(client, kind):
    none = (404, f"no agent attached to this {kind}")
    assert client.error(f"{kind}_agent_stop", id=NOBODY) == none
    assert client.error(f"{kind}_agent_message", id=NOBODY, message="hello") == none
    assert client.error(f"{kind}_agent_message", id=NOBODY) == (400, "message is required")


@pytest.mark.parametrize("name", ["dynamic_variables", "settings"])
def test_members_of_another_type(client, name):
    provider = {"dynamic_variables": "elevenlabs", "settings": "deepgram"}[name]
    for wrong in ({"a": 1} if name == "dynamic_variables" else [1], "text", 7):
        code, message = client.error(
            f"leg_agent_{provider}", id=NOBODY, api_key="k", **STARTS[provider], **{name: wrong}
        )
        assert (code, message.partition(":")[0]) == (400, "invalid payload")


def test_a_bot_that_is_not_there(switch, client):
    _, leg = answered(switch, client)
    started = client.ok("leg_agent_pipecat", id=leg, **STARTS["pipecat"])
    assert started == {"status": "agent_started", "leg_id": leg}
    ended = client.event("agent.disconnected", leg_id=leg)
    assert "room_id" not in ended
    assert not client.seen("agent.connected")
    assert client.error("leg_agent_stop", id=leg) == (404, "no agent attached to this leg")


@pytest.mark.parametrize("kind", ["leg", "room"])
def test_a_conversation(switch, client, agents, kind):
    _, leg = answered(switch, client)
    owner = leg
    if kind == "room":
        owner = "lobby"
        client.ok("create_room", id=owner)
    about = {f"{kind}_id": owner}
    assert client.ok(f"{kind}_agent_pipecat", id=owner, websocket_url=agents.bot) == {
        "status": "agent_started",
        **about,
    }
    connected = client.event("agent.connected", **about)
    assert connected["conversation_id"] == agents.bot
    again = (409, f"agent already attached to this {kind}")
    assert client.error(f"{kind}_agent_pipecat", id=owner, websocket_url=agents.bot) == again
    there = agents.party()
    there.said("hello", user=False)
    there.said("how are you", user=True)
    assert client.event("agent.agent_response", **about)["text"] == "hello"
    assert client.event("agent.user_transcript", **about)["text"] == "how are you"
    assert client.ok(f"{kind}_agent_message", id=owner, message="say this") == {"status": "message_sent"}
    eventually(lambda: there.state["messages"] == ["say this"], "the bot was told")
    assert client.ok(f"{kind}_agent_stop", id=owner) == {"status": "agent_stopped"}
    client.event("agent.disconnected", **about)
    there.gone()
    other = "room_id" if kind == "leg" else "leg_id"
    told = [event for event in client.events if event["type"].startswith("agent.")]
    assert [event["type"] for event in told] == [
        "agent.connected",
        "agent.agent_response",
        "agent.user_transcript",
        "agent.disconnected",
    ]
    assert not [event for event in told if other in event]
