"""The VSI events of agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from ..events.base import OwnedEvent
from ..model.owner import LEG, ROOM, Owner


@dataclass(slots=True, frozen=True, kw_only=True)
class AgentEvent(OwnedEvent):
    @classmethod
    def of(cls, owner: Owner, app_id: str, **more: Any) -> AgentEvent:
        """Of the agent of this leg or room, whose app_id it was at the start."""
        return cls(
            leg_id=owner.id if owner.kind == LEG else None,
            room_id=owner.id if owner.kind == ROOM else None,
            app_id=app_id or None,
            **more,
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class AgentConnected(AgentEvent):
    """The session with the provider stands."""

    type = "agent.connected"
    not_logged = frozenset({"conversation_id"})  # a URL can hold a password
    conversation_id: Annotated[
        str, "As the provider names it: a conversation, call or request; of a Pipecat bot its URL."
    ]


@dataclass(slots=True, frozen=True, kw_only=True)
class AgentDisconnected(AgentEvent):
    """Terminal, once for each agent that was started, also for one that was never connected."""

    type = "agent.disconnected"


@dataclass(slots=True, frozen=True, kw_only=True)
class AgentUserTranscript(AgentEvent):
    """What the provider understood of the user; some repeat it as it grows."""

    type = "agent.user_transcript"
    text: Annotated[str, "What the user said."]


@dataclass(slots=True, frozen=True, kw_only=True)
class AgentResponse(AgentEvent):
    """What the agent says."""

    type = "agent.agent_response"
    text: Annotated[str, "What the agent said, or is about to say."]
