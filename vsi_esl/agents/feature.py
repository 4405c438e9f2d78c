"""Agents as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from collections.abc import Iterable

from ..calls.context import Context
from ..calls.moments import Awaited
from ..model.leg import Leg
from ..model.owner import of_leg, of_room
from ..model.room import Room
from . import attached, commands
from .attached import Agents

__all__ = ["commands", "register"]


def register(ctx: Context) -> None:
    """Make agents a part of the service."""
    ctx.provide(Agents())
    moments = ctx.moments
    moments.restore.subscribe(attached.restore)
    moments.adopt.subscribe(attached.adopted)
    moments.released.subscribe(attached.released)
    moments.bound.subscribe(attached.bound)
    moments.digit.subscribe(attached.digit)
    moments.ended.subscribe(_end_with_leg)
    moments.room_emptied.subscribe(_end_in_room)
    moments.room_deleting.subscribe(_end_in_room)
    moments.room_deleted.subscribe(_end_in_room)


def _end_with_leg(ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
    attached.end_of(ctx, of_leg(leg.id))
    return ()


def _end_in_room(ctx: Context, room: Room) -> None:
    attached.end_of(ctx, of_room(room.id))
