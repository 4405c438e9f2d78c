"""The REST routes of the protocol: those of the registered commands, and those that do not exist here yet.

The latter answer 501 by name. A command that is registered takes the place of its line here.
"""

from __future__ import annotations

import re

from . import registry
from .registry import Rest

BASE = "/v1"

_AGENTS = ("elevenlabs", "vapi", "pipecat", "deepgram")

PENDING: dict[str, Rest] = {
    "webrtc_offer": Rest("POST", "/webrtc/offer"),
    "webrtc_add_candidate": Rest("POST", "/legs/{id}/ice-candidates"),
    "webrtc_get_candidates": Rest("GET", "/legs/{id}/ice-candidates"),
    "leg_amd_start": Rest("POST", "/legs/{id}/amd"),
    "leg_transfer": Rest("POST", "/legs/{id}/transfer", 202),
    **{
        f"{kind}_{name}": Rest(method, f"/{kind}s/{{id}}/{path}")
        for kind in ("leg", "room")
        for name, method, path in (
            ("stt_start", "POST", "stt"),
            ("stt_stop", "DELETE", "stt"),
            ("tts", "POST", "tts"),
            ("agent_message", "POST", "agent/message"),
            ("agent_stop", "DELETE", "agent"),
            *((f"agent_{agent}", "POST", f"agent/{agent}") for agent in _AGENTS),
        )
    },
}

STREAMS = {
    "/legs/websocket": "legs over a WebSocket",
    "/rooms/{id}/ws": "room participants over a WebSocket",
}
"""WebSocket endpoints of the reference server that carry media."""


def routes() -> dict[str, Rest]:
    """Command -> its route, for all commands of the protocol that have one."""
    registered = registry.load_commands()
    found = {name: entry.rest for name, entry in registered.items() if entry.rest is not None}
    return {**{name: rest for name, rest in PENDING.items() if name not in registered}, **found}


def stream(path: str) -> str:
    """What a path below /v1 would be the stream of; empty for none."""
    for pattern, what in STREAMS.items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
            return what
    return ""
