"""Rooms, and legs entering and leaving them."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from ..calls import choosing, endings, lifecycle, placement
from ..calls.context import Context
from ..delivery.webhooks.targets import MAX_URL, requested
from ..errors import Invalid, LegGone, NotFound
from ..events.rooms import LegLeftRoom, LegRoleChanged, RoomDeleted
from ..model.leg import EARLY_MEDIA, RINGING, Leg
from ..model.legtypes import SIP_INBOUND
from ..model.room import SAMPLE_RATES, Room, RoomView
from ..protocol.ids import AppId, LegId, NewId, RoomId, RoomToJoin
from ..protocol.limits import Choice
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from ..protocol.schemas import INT32, Boolean, Integer, Label, Payload, Text, about
from .answering import choose_codec
from .audio import set_deaf, set_muted

SAMPLE_RATE = Choice("sample_rate", SAMPLE_RATES)


class RoomPayload(Payload):
    id = RoomId()


class CreateRoom(Payload):
    id = NewId(RoomId, metadata=about("Made up when empty."))
    webhook_url = Text(limit=MAX_URL, metadata=about("Where the room's events go."))
    webhook_secret = Text(metadata=about("Signs them."))
    app_id = AppId(metadata=about("The application it belongs to."))
    sample_rate = Integer(*INT32, checked=SAMPLE_RATE, metadata=about("Hz; 0 for the configured one."))


class AddLegToRoom(Payload):
    room_id = RoomToJoin(metadata=about("Made when there is none of that id.", needed=True))
    leg_id = LegId()
    mute = Boolean()
    deaf = Boolean()
    accept_dtmf = Boolean()
    role = Label(default=None, metadata=about("Role in the room's routing matrix."))


class RemoveLegFromRoom(Payload):
    room_id = RoomId()
    leg_id = LegId()


class Placement(
    # `from` cannot be written as the name of a member
    TypedDict("From", {"from": NotRequired[Annotated[str, "The room that a moved leg was in."]]})
):
    """Where a leg is put."""

    to: NotRequired[str]
    status: Literal["added", "moved", "adding"]
    room_id: str
    leg_id: str


@command("list_rooms", None, rest=Rest("GET", "/rooms"))
def list_rooms(ctx: Context) -> list[RoomView]:
    """All rooms with the legs in them."""
    return [room.view() for room in ctx.rooms]


@command("get_room", RoomPayload, rest=Rest("GET", "/rooms/{id}"))
def get_room(ctx: Context, id: str) -> RoomView:
    """One room."""
    return ctx.rooms.get(id).view()


@command("create_room", CreateRoom, rest=Rest("POST", "/rooms", 201, body=Body.OPTIONAL))
def create_room(
    ctx: Context, *, id: str, app_id: str, sample_rate: int, webhook_url: str, webhook_secret: str
) -> RoomView:
    """Create an empty room; it stays until it is deleted."""
    sample_rate = sample_rate or ctx.config.rooms.default_sample_rate
    SAMPLE_RATE.check(sample_rate)
    room = Room(
        id or str(uuid.uuid4()),
        sample_rate,
        app_id=app_id,
        webhook=requested(webhook_url, webhook_secret, ctx.webhooks.guard),
        node=choosing.for_room(ctx),
    )
    lifecycle.room_created(ctx, room)
    return room.view()


@command("delete_room", RoomPayload, rest=Rest("DELETE", "/rooms/{id}"))
def delete_room(ctx: Context, id: str) -> Status[Literal["deleted"]]:
    """Delete a room and hang up every leg in it."""
    room = ctx.rooms.find(id)
    if room is None or room.deleting:
        raise NotFound(f"room {id} not found")  # or somebody else was faster
    ctx.state.save_room(room, needed=True)  # what the disk does not take ends no recording either
    room.deleting = True
    try:
        # reported to the room's own webhook, as all of its recording was
        ctx.moments.room_deleting(ctx, room)
        ctx.state.forget_room(room.id, needed=True)
    except BaseException:
        room.deleting = False
        raise
    room.webhook = None  # as in the reference: the end of a room is reported to the global one
    legs = list(room.legs.values())
    for leg in legs:
        leg.silent_leave = True
    placement.silence_joining(ctx, room, wait=False)
    ctx.moments.room_deleted(ctx, room)
    ctx.emit(RoomDeleted.of(room))
    for node in dict.fromkeys(leg.node for leg in legs):
        endings.hang_up_all(ctx, [leg for leg in legs if leg.node == node], "room_deleted")
    ctx.rooms.remove(room)
    return {"status": "deleted"}


@command(
    "add_leg_to_room",
    AddLegToRoom,
    rest=Rest("POST", "/rooms/{room_id}/legs", body=Body.REQUIRED),
)
def add_leg_to_room(
    ctx: Context,
    *,
    room_id: str,
    leg_id: str,
    mute: bool | None,
    deaf: bool | None,
    accept_dtmf: bool | None,
    role: str | None,
) -> Placement:
    """Put a leg into a room, created if there is none; a leg of another room is moved.

    A ringing inbound leg is answered first: `adding`, and leg.joined_room follows.
    """
    leg = ctx.legs.find(leg_id)
    if leg is None or leg.ending:
        raise Invalid(f"leg {leg_id} not found")
    if not room_id:
        raise Invalid("room  not found")
    is_new = ctx.rooms.find(room_id) is None
    room = placement.find_or_create_room(ctx, room_id, leg)
    _apply_flags(ctx, leg, mute, deaf, accept_dtmf)
    if leg.room_id:
        if leg.room_id == room.id:
            raise Invalid("leg already in this room")
        return _moved(leg, room, _move(ctx, leg, room, role, is_new))
    if leg.type == SIP_INBOUND and leg.state in (RINGING, EARLY_MEDIA):
        _answer_into(ctx, leg, room, role)
        return {"status": "adding", "room_id": room.id, "leg_id": leg.id}
    if not leg.has_media or leg.held:
        raise Invalid(f"leg {leg_id} is not connected (state: {leg.shown_state})")
    _take_role(ctx, leg, role)
    leg.role_given = role is not None
    if came_from := _enter(ctx, leg, room, is_new):
        # somebody else was faster to put it somewhere
        return _moved(leg, room, came_from)
    return {"status": "added", "room_id": room.id, "leg_id": leg.id}


def _moved(leg: Leg, room: Room, came_from: str) -> Placement:
    return {"status": "moved", "from": came_from, "to": room.id, "room_id": room.id, "leg_id": leg.id}


def _apply_flags(
    ctx: Context, leg: Leg, mute: bool | None, deaf: bool | None, accept_dtmf: bool | None
) -> None:
    """Take effect before the first frame of the room, and are reported by no event."""
    if mute is not None and mute is not leg.muted:
        set_muted(ctx, leg, mute)
    if deaf is not None and deaf is not leg.deaf:
        set_deaf(ctx, leg, deaf)
    if accept_dtmf is not None and accept_dtmf is not leg.accept_dtmf:
        leg.accept_dtmf = accept_dtmf
        ctx.switch(leg).remember(leg, "accept_dtmf")


def _take_role(ctx: Context, leg: Leg, role: str | None) -> None:
    if role is not None and role != leg.role:
        leg.role = role
        ctx.switch(leg).remember(leg, "role")


def _answer_into(ctx: Context, leg: Leg, room: Room, role: str | None) -> None:
    """Joining a conference answers a call, so an inbound leg in early media is answered as well."""
    leg.target_room = room.id
    ctx.switch(leg).remember(leg, "target_room")
    _take_role(ctx, leg, role)
    leg.role_given = role is not None
    if not leg.answer_asked:
        leg.answer_asked = True
        ctx.workers.submit(leg.id, placement.answer, ctx, leg, choose_codec(ctx, leg, ""))
    placement.arm_auto_answer(ctx, leg)


def _move(ctx: Context, leg: Leg, room: Room, role: str | None, is_new: bool) -> str:
    old_room, old_role = leg.room_id, leg.role
    _take_role(ctx, leg, role)
    came_from = _enter(ctx, leg, room, is_new)
    if leg.role != old_role:
        changed = {"room_id": room.id, "old_role": old_role, "new_role": leg.role}
        ctx.tell(leg, LegRoleChanged.of(leg, **changed))
        lifecycle.routing_changed(ctx, room, "leg_role_changed")
    return came_from or old_room


def _enter(ctx: Context, leg: Leg, room: Room, is_new: bool) -> str:
    """Into the room; the id of the one it was in. Of a leg that hung up meanwhile no new room stays."""
    room.expected += 1
    try:
        came_from: str = _run(ctx, leg, room)
    except LegGone as error:
        room.expected -= 1
        if is_new:
            placement.drop_unused(ctx, room)
        raise Invalid(f"leg {leg.id} not found") from error
    except Exception:
        room.expected -= 1
        raise
    room.expected -= 1
    return came_from


def _run(ctx: Context, leg: Leg, room: Room | None) -> Any:
    return ctx.workers.run(leg.id, placement.LEG_COMMAND_TIMEOUT_S, placement.move, ctx, leg, room)


@command(
    "remove_leg_from_room",
    RemoveLegFromRoom,
    rest=Rest("DELETE", "/rooms/{room_id}/legs/{leg_id}"),
)
def remove_leg_from_room(ctx: Context, room_id: str, leg_id: str) -> Status[Literal["removed"]]:
    """Take a leg out of a room without hanging it up."""
    room = ctx.rooms.find(room_id)
    if room is None:
        raise Invalid(f"room {room_id} not found")
    leg = room.legs.get(leg_id)
    if leg is None or leg.ending:
        stranger = ctx.legs.find(leg_id)
        app_id = stranger.app_id or None if stranger else None
        ctx.emit(LegLeftRoom(leg_id=leg_id, room_id=room_id, app_id=app_id))
        return {"status": "removed"}
    with suppress(LegGone):  # which took it out of the room as well
        _run(ctx, leg, None)
    return {"status": "removed"}
