"""Agents that are attached to legs and rooms: at most one to each.

`end` is the only end, and the first call counts. What is remembered of each is that its end has not been
told: a service that finds some at its start tells it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import structlog
from gevent.event import AsyncResult

from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import Conflict, Internal, NotFound, NotSupported
from ..later import Within
from ..live.plan import End, Hears, Plan, Speaks
from ..live.session import Session
from ..live.sessions import Sessions
from ..media.answers import NOT_OFFERED, NOT_RUNNING, SENT
from ..model.leg import Leg
from ..model.owner import Owner, of_leg, of_room
from ..model.room import Room
from ..switch.snapshot import Snapshot
from .events import AgentConnected, AgentDisconnected, AgentResponse, AgentUserTranscript

log = structlog.get_logger(__name__)

KIND = "agent"
TASK = "agent"
ANSWER_S = 15.0
"""How long a message may take to be passed on; a provider's HTTP interface is given 10 s."""
EXPECTED = frozenset({"done", "closed", "owner"})
"""Ends of a session that are nobody's failure."""
NOT_IN_TIME = "the agent did not take the message in time"


@dataclass(slots=True)
class Agent:
    """One that has not ended."""

    owner: Owner
    app_id: str
    provider: str
    session: Session | None = None
    ended: bool = False
    numbers: Iterator[int] = field(default_factory=count)
    answers: dict[int, AsyncResult[dict[str, Any]]] = field(default_factory=dict)
    """What messages were answered, by their numbers."""


class Agents:
    """All of a service. Had by `ctx.get(Agents)`."""

    def __init__(self) -> None:
        self._by_owner: dict[Owner, Agent] = {}
        self.left_over: dict[Owner, dict[str, Any]] = {}
        """Those of the process before, whose end is not told yet."""

    def __len__(self) -> int:
        return len(self._by_owner)

    def __iter__(self) -> Iterator[Agent]:
        return iter(list(self._by_owner.values()))

    def find(self, owner: Owner) -> Agent | None:
        return self._by_owner.get(owner)

    def get(self, owner: Owner) -> Agent:
        """NotFound when none is attached."""
        agent = self._by_owner.get(owner)
        if agent is None:
            raise NotFound(f"no agent attached to this {owner.kind}")
        return agent

    def add(self, agent: Agent) -> None:
        self._by_owner[agent.owner] = agent

    def remove(self, agent: Agent) -> None:
        if self._by_owner.get(agent.owner) is agent:
            del self._by_owner[agent.owner]


def start(ctx: Context, listener: Leg | Room, provider: str, settings: dict[str, Any]) -> Agent:
    """Attach an agent: at once for clients; that it is connected, events tell. A leg's speaks to the leg, or
    to the room that the leg is in now, and that stays so. Raises what `Sessions.begin` does, and Conflict."""
    owner = of_leg(listener.id) if isinstance(listener, Leg) else of_room(listener.id)
    agents = ctx.get(Agents)
    if agents.find(owner) is not None:
        raise Conflict(f"agent already attached to this {owner.kind}")
    where = _of_leg(ctx, listener) if isinstance(listener, Leg) else _of_room(listener)
    _tell_left_over(ctx, owner)
    agent = Agent(owner, listener.app_id, provider)
    agents.add(agent)
    try:
        agent.session = ctx.get(Sessions).begin(
            ctx,
            Plan(
                kind=KIND,
                provider=provider,
                task=TASK,
                parameters={"provider": provider, "settings": settings},
                owner=owner,
                on_report=partial(_reported, ctx, agent),
                on_closed=partial(_closed, ctx, agent),
                **where,
            ),
        )
        kept = {"kind": owner.kind, "id": owner.id, "app_id": agent.app_id, "node": agent.session.node.name}
        ctx.state.save_item(KIND, _key(owner), kept, needed=True)
    except Exception:
        if not agent.ended:
            agent.ended = True  # nobody was told of it
            agents.remove(agent)
            if agent.session is not None:
                agent.session.close()
        raise
    return agent


def _of_leg(ctx: Context, leg: Leg) -> dict[str, Any]:
    hears = {"hears": Hears.LEG, "leg_id": leg.id}
    if not leg.room_id:
        return {**hears, "speaks": Speaks.TO_LEG}
    if ctx.rooms.find(leg.room_id) is None:
        raise Conflict("room not found")
    return {**hears, "speaks": Speaks.TO_ROOM, "room_id": leg.room_id}


def _of_room(room: Room) -> dict[str, Any]:
    return {"hears": Hears.ROOM, "speaks": Speaks.TO_ROOM, "room_id": room.id}


def _key(owner: Owner) -> str:
    return f"{owner.kind} {owner.id}"


# -- what its session says --------------------------------------------------------------------------------


def _reported(ctx: Context, agent: Agent, what: str, data: dict[str, Any]) -> None:
    if agent.ended:
        return
    about = (agent.owner, agent.app_id)
    match what:
        case "connected":
            ctx.emit(AgentConnected.of(*about, conversation_id=data["conversation_id"]))
        case "user_transcript":
            ctx.emit(AgentUserTranscript.of(*about, text=data["text"]))
        case "agent_response":
            ctx.emit(AgentResponse.of(*about, text=data["text"]))
        case "answer":
            if (answer := agent.answers.get(data["number"])) is not None:
                answer.set(data)


def _closed(ctx: Context, agent: Agent, closed: End) -> None:
    if not agent.ended and closed.reason not in EXPECTED:
        log.warning(
            "agent lost",
            provider=agent.provider,
            reason=closed.reason,
            error=closed.error,
            category=closed.category or None,
            **{f"{agent.owner.kind}_id": agent.owner.id},
        )
    end(ctx, agent)


def end(ctx: Context, agent: Agent) -> None:
    """It is over, whatever the cause: told once."""
    if agent.ended:
        return
    agent.ended = True
    ctx.get(Agents).remove(agent)
    ctx.emit(AgentDisconnected.of(agent.owner, agent.app_id))
    ctx.state.forget_item(KIND, _key(agent.owner))
    for answer in agent.answers.values():
        answer.set({"outcome": NOT_RUNNING})
    if agent.session is not None:
        agent.session.close()


def end_of(ctx: Context, owner: Owner) -> None:
    """The leg or room is gone, or the room is empty."""
    agent = ctx.get(Agents).find(owner)
    if agent is not None:
        end(ctx, agent)


# -- what is said to it -----------------------------------------------------------------------------------


def message(agent: Agent, text: str) -> None:
    """Have a text put into the conversation; waits until the provider has it. Conflict while it is not
    connected, NotSupported, Internal."""
    number = next(agent.numbers)
    answer: AsyncResult[dict[str, Any]] = AsyncResult()
    agent.answers[number] = answer
    try:
        if agent.session is not None:
            agent.session.tell("message", {"number": number, "text": text})
        with Within(ANSWER_S, Internal(NOT_IN_TIME)):
            answered = answer.get()
    finally:
        del agent.answers[number]
    if answered["outcome"] == NOT_RUNNING:
        raise Conflict("agent session not running")
    if answered["outcome"] == NOT_OFFERED:
        raise NotSupported(answered["error"])
    if answered["outcome"] != SENT:
        raise Internal(answered["error"])


def digit(ctx: Context, leg: Leg, pressed: str) -> None:
    """A digit of a leg is for its agent, too."""
    agent = ctx.get(Agents).find(of_leg(leg.id))
    if agent is not None and agent.session is not None:
        agent.session.tell("digits", pressed)


# -- after a restart --------------------------------------------------------------------------------------


def restore(ctx: Context) -> None:
    """At start: the agents of the process before are gone with it."""
    left_over = ctx.get(Agents).left_over
    for kept in ctx.state.items(KIND):
        left_over[Owner(kept["kind"], kept["id"])] = kept


def adopted(ctx: Context, node: Node, snapshot: Snapshot) -> list[str]:
    """After each connect to a switch, whose legs are known by now: tell the ends."""
    for owner, kept in list(ctx.get(Agents).left_over.items()):
        if ctx.nodes.of(_On(kept["node"])) is node:
            _tell_left_over(ctx, owner)
    return []


def bound(ctx: Context, node: Node) -> int:
    """How many are on a switch: their conversations are this process's."""
    return sum(agent.session is not None and agent.session.node is node for agent in ctx.get(Agents))


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which tells the ends of the agents there."""
    agents = ctx.get(Agents)
    for agent in agents:
        if agent.session is not None and agent.session.node is node:
            agent.ended = True
            agents.remove(agent)
            for answer in agent.answers.values():
                answer.set({"outcome": NOT_RUNNING})
    for owner, kept in list(agents.left_over.items()):
        if ctx.nodes.of(_On(kept["node"])) is node:
            del agents.left_over[owner]


@dataclass(slots=True, frozen=True)
class _On:
    node: str


def _tell_left_over(ctx: Context, owner: Owner) -> None:
    kept = ctx.get(Agents).left_over.pop(owner, None)
    if kept is not None:
        ctx.emit(AgentDisconnected.of(owner, kept["app_id"]))
        ctx.state.forget_item(KIND, _key(owner))
