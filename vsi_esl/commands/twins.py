"""Pairs of commands of which one is about a leg and one about a room, and which do the same.

`leg_play_start` and `room_play_start` are one function: it is told whose the playback is to be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..calls.context import Context
from ..model.leg import Leg
from ..model.owner import LEG, ROOM, Owner
from ..model.room import Room
from ..protocol import replies
from ..protocol.registry import Handler, Rest, register
from ..protocol.schemas import Payload
from .legs import LegPayload
from .rooms import RoomPayload


def for_leg_and_room(
    leg_command: str,
    room_command: str,
    payload: type[Payload] | None = None,
    *,
    rest: Rest,
    leg: str,
    room: str,
    room_reply: Any = None,
) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of two commands, whose names stand in full, to be found.

    It is called as `handler(ctx, owner, **payload)`, with the id in `owner`, whether there is such a leg or
    room or not (`find` says). `payload` is what there is besides the id, `rest` the route behind that of the
    leg or room, `leg` and `room` what the documents say of each, `room_reply` what is answered for a room,
    when that is not the same.
    """

    def take(handler: Handler) -> Handler:
        reply = replies.of_handler(handler)
        for name, kind, base, about, answered in (
            (leg_command, LEG, LegPayload, leg, reply),
            (room_command, ROOM, RoomPayload, room, room_reply or reply),
        ):
            register(
                name,
                base if payload is None else type(f"{kind}_{payload.__name__}", (payload, base), {}),
                _handler(handler, kind),
                about=about,
                reply=answered,
                rest=replace(rest, path=f"/{kind}s/{{id}}{rest.path}"),
            )
        return handler

    return take


def _handler(handler: Handler, kind: str) -> Handler:
    def of_kind(ctx: Context, id: str, **payload: Any) -> Any:
        return handler(ctx, Owner(kind, id), **payload)

    return of_kind


def find(ctx: Context, owner: Owner) -> Leg | Room:
    """That of something that is to begin: NotFound when there is none, or no more in a moment."""
    return ctx.legs.get(owner.id) if owner.kind == LEG else ctx.rooms.lasting(owner.id)
