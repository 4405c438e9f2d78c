"""WebSockets that take part in a room and are no legs: nobody sees or counts them, no event tells of them.

They hear everybody, and legs with a row in the room's routing do not hear them. While a room has neither a
leg nor a bridge, nothing is sent to them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from functools import partial
from typing import Any

from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import NotFound
from ..live.plan import End, Hears, Plan, Speaks
from ..live.session import Session
from ..live.sessions import Sessions
from ..model.leg import Leg
from ..model.owner import Owner
from ..model.room import Room
from ..model.sound_stores import Bridges
from ..sound.bridges.events import RoomBridged, RoomUnbridged
from .legs import TASK
from .settings import StreamSettings
from .wire import JSON_BASE64

KIND = "room_websocket"
OWN = "stream"
"""The sort of owner that is the participant itself: it is not the room's, which may be empty."""


class Participants:
    """All of a service. Had by `ctx.get(Participants)`."""

    def __init__(self) -> None:
        self._all: dict[str, tuple[str, Session]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, id: str, room_id: str, session: Session) -> None:
        self._all[id] = room_id, session

    def remove(self, id: str) -> None:
        self._all.pop(id, None)

    def forget(self, node: Node) -> None:
        """The switch is another service's now, and what was connected to its rooms through us is not."""
        for id, (_, session) in list(self._all.items()):
            if session.node is node:
                del self._all[id]

    def on(self, node: Node) -> int:
        """How many are in rooms of a switch."""
        return sum(session.node is node for _, session in self._all.values())

    def of(self, room_id: str) -> Iterator[Session]:
        return iter([session for room, session in self._all.values() if room == room_id])


def begin(ctx: Context, room: Room) -> Session:
    """Begin the session of a participant. Raises as `Sessions.begin`, and NotFound when the room is gone."""
    if ctx.rooms.find(room.id) is not room:
        raise NotFound("room not found")
    participant = f"ws-{secrets.token_hex(4)}"
    settings = ctx.config.section(StreamSettings)
    welcome = {
        "type": "connected",
        "participant_id": participant,
        "sample_rate": room.sample_rate,
        "format": "pcm_s16le",
    }
    plan = Plan(
        kind=KIND,
        task=TASK,
        parameters={
            "wire": JSON_BASE64,
            "rate": room.sample_rate,
            "texts": False,
            "running": _runs(ctx, room.id),
            "welcome": welcome,
            "read_s": settings.read_timeout,
            "write_s": settings.write_timeout,
        },
        hears=Hears.ROOM,
        speaks=Speaks.AS_STRANGER,
        heard_at=room.sample_rate,
        room_id=room.id,
        owner=Owner(OWN, participant),
        on_report=_reported,
        on_closed=partial(_closed, ctx, participant),
    )
    session = ctx.get(Sessions).begin(ctx, plan)
    ctx.get(Participants).add(participant, room.id, session)
    return session


def _reported(what: str, data: dict[str, Any]) -> None:
    """Nobody is told anything."""


def _closed(ctx: Context, participant: str, end: End) -> None:
    ctx.get(Participants).remove(participant)


def _runs(ctx: Context, room_id: str) -> bool:
    """Whether there is something to hear in a room."""
    room = ctx.rooms.find(room_id)
    return room is not None and bool(room.legs or ctx.get(Bridges).of_room(room_id))


def _tell(ctx: Context, room_id: str) -> None:
    for session in ctx.get(Participants).of(room_id):
        session.tell("running", _runs(ctx, room_id))


def joined(ctx: Context, room: Room, leg: Leg) -> None:
    _tell(ctx, room.id)


def emptied(ctx: Context, room: Room) -> None:
    _tell(ctx, room.id)


def bridged(ctx: Context, event: RoomBridged | RoomUnbridged, *_: Any) -> None:
    """A sink of the event bus: bridges come and go."""
    _tell(ctx, event.room_a_id)
    _tell(ctx, event.room_b_id)
