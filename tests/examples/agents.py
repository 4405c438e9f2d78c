"""Agents, of a leg and of a room."""

from __future__ import annotations

from typing import Any

from tests.record_examples import Recorder
from tests.support.agentserver import AgentServer
from tests.support.calls import answered
from tests.support.drivers import SandboxDriver

BOT = "wss://bots.example.com/support"
STARTS: dict[str, dict[str, Any]] = {
    "elevenlabs": {
        "agent_id": "agent_01jx2",
        "first_message": "Hello, how can I help?",
        "language": "en",
        "dynamic_variables": {"name": "Ann"},
        "api_key": "sk_1f0e",
    },
    "vapi": {
        "assistant_id": "5b0a4a08-133c-4146-9315-0984f8c6be80",
        "first_message": "Hello, how can I help?",
        "variable_values": {"name": "Ann"},
        "api_key": "1f0e",
    },
    "deepgram": {
        "settings": {"agent": {"think": {"provider": {"type": "open_ai", "model": "gpt-4o-mini"}}}},
        "greeting": "Hello, how can I help?",
        "language": "en",
        "api_key": "1f0e",
    },
}


def scenario(switch: SandboxDriver, client: Recorder) -> None:
    """A bot that talks, and three that cannot be reached."""
    server = AgentServer()
    try:
        _, leg = answered(switch, client)
        client.ok("create_room", id="lobby")
        for number, (kind, owner) in enumerate((("leg", leg), ("room", "lobby")), 1):
            client.ok(f"{kind}_agent_pipecat", id=owner, websocket_url=server.bot)
            client.event("agent.connected", conversation_id=server.bot)["conversation_id"] = BOT
            client.commands[f"{kind}_agent_pipecat"]["payload"]["websocket_url"] = BOT
            there = server.party(number)
            there.said("I have a question about my bill.", user=True)
            there.said("Sure, which one?", user=False)
            client.event("agent.agent_response")
            client.ok(
                f"{kind}_agent_message", id=owner, message="The customer has been waiting for 5 minutes."
            )
            client.ok(f"{kind}_agent_stop", id=owner)
            client.event("agent.disconnected")
            for provider, wanted in STARTS.items():
                client.ok(f"{kind}_agent_{provider}", id=owner, **wanted)
                client.event("agent.disconnected")
        client.ok("delete_leg", id=leg)
        client.event("leg.disconnected", leg_id=leg)
        client.ok("delete_room", id="lobby")
    finally:
        server.stop()
