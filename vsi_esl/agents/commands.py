"""Attaching agents to legs and rooms, and what is said to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict, cast

from ..calls.context import Context
from ..commands.twins import find, for_leg_and_room
from ..errors import Conflict, Invalid
from ..live.keys import for_provider
from ..model.leg import CONNECTED, Leg
from ..model.owner import Owner
from ..net import NetError
from ..net.url import parsed
from ..protocol.ids import TheirId
from ..protocol.registry import Body, Handler, Rest
from ..protocol.replies import Status
from ..protocol.schemas import JsonObject, Payload, Text, TextMap, about
from . import attached
from .attached import Agents
from .settings import AgentSettings

Decorator = Callable[[Handler], Handler]

MAX_URL = 8192
MAX_TEXT = 16_384
KEY = "Key at the provider, in place of the service's."
FIRST = "What the agent says first."
LANGUAGE = "Language of the conversation, such as en."


class ElevenLabsAgent(Payload):
    agent_id = TheirId(metadata=about("The agent at ElevenLabs.", needed=True))
    first_message = Text(limit=MAX_TEXT, metadata=about(FIRST))
    language = Text(metadata=about(LANGUAGE))
    dynamic_variables = TextMap(metadata=about("Values of the agent's variables."))
    api_key = Text(metadata=about(KEY))


class VapiAgent(Payload):
    assistant_id = TheirId(metadata=about("The assistant at VAPI.", needed=True))
    first_message = Text(limit=MAX_TEXT, metadata=about(FIRST))
    variable_values = TextMap(metadata=about("Values of the assistant's variables."))
    api_key = Text(metadata=about(KEY))


class PipecatAgent(Payload):
    websocket_url = Text(limit=MAX_URL, metadata=about("The bot's WebSocket, ws or wss.", needed=True))


class DeepgramAgent(Payload):
    settings = JsonObject(
        metadata=about("Deepgram's Settings, whole; type and audio are ours. An English agent when absent.")
    )
    greeting = Text(limit=MAX_TEXT, metadata=about(FIRST))
    language = Text(metadata=about(LANGUAGE))
    api_key = Text(metadata=about(KEY))


class AgentMessage(Payload):
    message = Text(limit=MAX_TEXT, metadata=about("The text.", needed=True))


class LegAgentStart(TypedDict):
    """An agent that is being connected with a leg."""

    status: Literal["agent_started"]
    leg_id: str


class RoomAgentStart(TypedDict):
    """An agent that is being connected with a room."""

    status: Literal["agent_started"]
    room_id: str


def _starts(leg_command: str, room_command: str, payload: type[Payload], who: str) -> Decorator:
    """Register the decorated function as the handler of two commands that attach `who` it is."""
    provider = leg_command.removeprefix("leg_agent_")
    return for_leg_and_room(
        leg_command,
        room_command,
        payload,
        rest=Rest("POST", f"/agent/{provider}", body=Body.REQUIRED),
        leg=f"Have {who} talk with a leg, or in the room that the leg is in.",
        room=f"Have {who} talk in a room.",
        room_reply=RoomAgentStart,
    )


def _started(ctx: Context, owner: Owner, provider: str, settings: dict[str, Any]) -> LegAgentStart:
    listener = find(ctx, owner)
    if isinstance(listener, Leg) and (listener.state != CONNECTED or listener.held):
        raise Conflict("leg not connected")
    attached.start(ctx, listener, provider, settings)
    return cast("LegAgentStart", {"status": "agent_started", f"{owner.kind}_id": owner.id})


def _with_account(ctx: Context, owner: Owner, provider: str, api_key: str, **wanted: Any) -> LegAgentStart:
    """NoKey (503) when nobody has one."""
    return _started(ctx, owner, provider, {**wanted, **for_provider(ctx, "agent", provider, api_key)})


@_starts("leg_agent_elevenlabs", "room_agent_elevenlabs", ElevenLabsAgent, "an ElevenLabs agent")
def agent_elevenlabs(ctx: Context, owner: Owner, **wanted: Any) -> LegAgentStart:
    if not wanted["agent_id"]:
        raise Invalid("agent_id is required")
    return _with_account(ctx, owner, "elevenlabs", **wanted)


@_starts("leg_agent_vapi", "room_agent_vapi", VapiAgent, "a VAPI assistant")
def agent_vapi(ctx: Context, owner: Owner, **wanted: Any) -> LegAgentStart:
    if not wanted["assistant_id"]:
        raise Invalid("assistant_id is required")
    return _with_account(ctx, owner, "vapi", **wanted)


@_starts("leg_agent_deepgram", "room_agent_deepgram", DeepgramAgent, "a Deepgram voice agent")
def agent_deepgram(ctx: Context, owner: Owner, **wanted: Any) -> LegAgentStart:
    return _with_account(ctx, owner, "deepgram", **wanted)


@_starts("leg_agent_pipecat", "room_agent_pipecat", PipecatAgent, "a Pipecat bot")
def agent_pipecat(ctx: Context, owner: Owner, websocket_url: str) -> LegAgentStart:
    if not websocket_url:
        raise Invalid("websocket_url is required")
    settings = ctx.config.section(AgentSettings)
    _check_address(settings, websocket_url)
    bot = {
        "websocket_url": websocket_url.strip(),
        "allow_private": settings.allow_private_urls,
        "allowed_networks": [str(network) for network in settings.allowed_networks],
    }
    return _started(ctx, owner, "pipecat", bot)


def _check_address(settings: AgentSettings, url: str) -> None:
    """As far as that goes without asking a name server; the addresses of a name are checked when it is
    connected to."""
    what = "websocket_url"
    scheme, separator, rest = url.strip().partition("://")
    if scheme.lower() not in ("ws", "wss") or not separator:
        raise Invalid(f"{what}: only ws and wss URLs are supported")
    try:
        settings.guard.check_name(parsed(f"http://{rest}", what).host, what)
    except NetError as error:
        raise Invalid(error.message) from None


@for_leg_and_room(
    "leg_agent_message",
    "room_agent_message",
    AgentMessage,
    rest=Rest("POST", "/agent/message", body=Body.REQUIRED),
    leg="Put a text into the conversation of a leg's agent; the answer waits until the provider has it.",
    room="Put a text into the conversation of a room's agent; the answer waits until the provider has it.",
)
def agent_message(ctx: Context, owner: Owner, message: str) -> Status[Literal["message_sent"]]:
    if not message:
        raise Invalid("message is required")
    attached.message(ctx.get(Agents).get(owner), message)
    return {"status": "message_sent"}


@for_leg_and_room(
    "leg_agent_stop",
    "room_agent_stop",
    rest=Rest("DELETE", "/agent"),
    leg="End the conversation of a leg's agent.",
    room="End the conversation of a room's agent.",
)
def agent_stop(ctx: Context, owner: Owner) -> Status[Literal["agent_stopped"]]:
    attached.end(ctx, ctx.get(Agents).get(owner))
    return {"status": "agent_stopped"}
