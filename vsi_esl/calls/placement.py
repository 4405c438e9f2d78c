"""Where a leg is and how long it lives: moving it between rooms, and hanging it up on our own account.

A leg with media is in a conference, its room's or one of its own, or waits parked: see `alone`. Moves run in
the leg's worker, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import gevent
import structlog
from gevent.event import AsyncResult

from ..errors import Conflict, Invalid, LegGone, VsiError
from ..events.legs import LegCommandFailed
from ..events.rooms import RoomDeleted
from ..model.leg import CONNECTED, EARLY_MEDIA, Leg
from ..model.room import Room
from ..work import clock
from . import alone, endings, lifecycle, mending, routing, seats, tethering
from .context import Context

log = structlog.get_logger(__name__)

LEG_COMMAND_TIMEOUT_S = 20.0
AUTO_ANSWER_TIMEOUT_S = 30.0
QUIET_BEFORE_LEAVING_S = 0.06
"""Three frames: what a member has said before it was muted is mixed by then."""
SECURE_MEDIA_TIMEOUT_S = 15.0
"""How long ICE and DTLS may take after the answer."""


def find_or_create_room(ctx: Context, room_id: str, leg: Leg) -> Room:
    """The room for a leg, created with the default rate and the leg's app_id if there is none. It is on the
    leg's switch, where one comes to that nothing is in, or one that the leg can be in by a tether.
    NotSupported or SwitchUnavailable when it cannot."""
    room = ctx.rooms.find(room_id)
    if room is None:
        room = Room(room_id, ctx.config.rooms.default_sample_rate, app_id=leg.app_id, node=leg.node)
        lifecycle.room_created(ctx, room)
    elif room.node and ctx.node(room) is not ctx.node(leg):
        if lifecycle.unused(ctx, room):
            lifecycle.room_off(room)
        else:
            tethering.require(ctx, leg, room)
            if ctx.rooms.find(room_id) is not room:  # which was deleted meanwhile
                return find_or_create_room(ctx, room_id, leg)
    lifecycle.room_on(ctx, room, leg.node)
    return room


def keep_new(ctx: Context, leg: Leg) -> Room | None:
    """Make a new leg durable, before anybody is told of it, and the room that it is to join, if any.

    Raises StorageFailed, what `find_or_create_room` raises, or Conflict when another application has made a
    room of that name meanwhile: who may join a room was asked before it was there. Then nothing is kept.
    """
    before = ctx.rooms.find(leg.target_room) if leg.target_room else None
    ctx.state.save_legs([leg], needed=True)
    if not leg.target_room:
        return None
    try:
        room = ctx.rooms.find(leg.target_room)
        if room is not None and room is not before and room.app_id != leg.app_id:
            raise Conflict(f"room {room.id} already exists")
        return find_or_create_room(ctx, leg.target_room, leg)
    except VsiError:
        ctx.state.forget_leg(leg.id)
        raise


def settle_soon(ctx: Context, leg: Leg) -> AsyncResult[None]:
    """Have the leg's worker put it where it belongs, behind what it is doing."""
    return ctx.workers.submit(leg.id, settle, ctx, leg)


def came_by_itself(ctx: Context, leg: Leg) -> None:
    """The switch has put the leg into a conference, and nobody has been waiting for that: it was dialled into
    its room, or a command was done after its caller had given up, and then it may stay."""
    room = ctx.rooms.of_conference(leg.seat.conference)
    if room is not None and not leg.target_room:
        leg.target_room = room.id
    settle_soon(ctx, leg)


def settle(ctx: Context, leg: Leg) -> None:
    """Put the leg where it belongs: into its room's conference; in no room into its own, or nowhere."""
    if leg.ending or not _can_move(leg):
        return
    room = ctx.rooms.find(leg.target_room) if leg.target_room else None
    if room is None and _may_stay_alone(ctx, leg):
        return
    if room is not None and leg.seat.conference == room.conference:
        _open(ctx, leg, room)
        return
    if room is not None and leg.state != CONNECTED and tethering.needed(ctx, leg, room):
        return  # it is put there when it is answered
    try:
        _enter(ctx, leg, room)
    except LegGone:
        return
    except VsiError as error:
        log.warning("leg not placed", leg_id=leg.id, room_id=leg.target_room, error=error.message)
        if room is not None and not mending.failed(ctx, leg, error.message, settle_soon):
            add_failed(ctx, leg, error.message)


def _may_stay_alone(ctx: Context, leg: Leg) -> bool:
    """Whether a leg in no room is well where it is, at least for now."""
    if leg.state == EARLY_MEDIA:
        return True  # unanswered: nothing to hear yet
    if leg.channel.conference:
        return leg.channel.conference == leg.solo_conference
    if leg.held or not alone.wants_conference(leg):
        return True
    due = leg.answered_at + alone.PATIENCE_S
    if leg.needs_conference or clock.now() >= due:
        return False
    ctx.timers.at(leg.id, "alone", due, settle_soon, ctx, leg)
    return True


def _can_move(leg: Leg) -> bool:
    if leg.state == CONNECTED:
        # the switch parks an outbound call once more when its dialling is over
        return leg.channel.parked or bool(leg.seat.conference)
    return (
        leg.state == EARLY_MEDIA and not leg.inbound and (leg.channel.parked or bool(leg.channel.conference))
    )


def _enter(ctx: Context, leg: Leg, room: Room | None) -> None:
    """Into the room's conference, or out of any but its own. Where there is routing, it joins silent both
    ways, and is opened when its relations are set: not a frame goes where it must not. Out of a routed room
    it goes silent too: the switch drops a member's relations before the last frame with it is mixed."""
    if room is None:
        leg.silenced = False
        _go_silent(ctx, leg)
        with _leaving(leg):
            if alone.wants_conference(leg):
                ctx.switch(leg).enter(leg, leg.solo_conference, leg.channel.rate)
            else:
                ctx.switch(leg).park(leg)
    else:
        _join(ctx, leg, room)
    _hold_again(ctx, leg)


def _go_silent(ctx: Context, leg: Leg) -> None:
    """Of a leg that is about to leave a routed room."""
    leaving = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if leaving is not None and leaving.matrix:
        seats.silence(ctx, leg)
        gevent.sleep(QUIET_BEFORE_LEAVING_S)


@contextmanager
def _leaving(leg: Leg) -> Iterator[None]:
    """The leg is moved within its own switch: the end of its tether, if it has one, is its leaving the
    room."""
    tether = leg.tether
    if tether is not None:
        tether.leaving = True
    try:
        yield
    finally:
        if tether is not None and leg.tether is tether:
            tether.leaving = False


def _join(ctx: Context, leg: Leg, room: Room) -> None:
    leg.silenced = bool(room.matrix)
    try:
        if tethering.needed(ctx, leg, room):
            tethering.make(ctx, leg, room, partial(_go_silent, ctx, leg))
        else:
            _go_silent(ctx, leg)
            with _leaving(leg):
                ctx.switch(leg).enter(leg, room.conference, room.sample_rate)
        _open(ctx, leg, room)
    finally:
        _end_silence(ctx, leg)


def _open(ctx: Context, leg: Leg, room: Room) -> None:
    """Set the relations of a leg that is in its room, and let it speak and hear."""
    try:
        if room.matrix:
            routing.apply(ctx, room)
    finally:
        _end_silence(ctx, leg)


def _end_silence(ctx: Context, leg: Leg) -> None:
    if leg.silenced:
        leg.silenced = False
        seats.set_muted(ctx, leg, changed=False)
        seats.set_deaf(ctx, leg, changed=False)


def silence_joining(ctx: Context, room: Room, *, wait: bool) -> None:
    """Whoever is being dialled into this room is to come silent: it has routing now, or is gone."""
    for leg in ctx.legs:
        if leg.joins_by_itself and leg.target_room == room.id:
            leg.silenced = True
            ctx.switch(leg).prepare_join(leg, wait=wait)


def _hold_again(ctx: Context, leg: Leg) -> None:
    """Moving a leg that we hold took its peer off hold, and nothing of the room has reached it since."""
    if not leg.held_by_us or leg.ending:
        return
    try:
        seats.hold(ctx, leg, True)
    except LegGone:
        return
    except VsiError as error:
        log.warning("a leg that was moved is not on hold any more", leg_id=leg.id, error=error.message)
        lifecycle.held(ctx, leg, by_us=False)
        ctx.switch(leg).remember(leg, "held_by_us")
        seats.set_deaf(ctx, leg)


def add_failed(ctx: Context, leg: Leg, error: str) -> None:
    """An add that was accepted did not happen. The end of a leg says it all."""
    leg.target_room, leg.role_given = "", False
    if ctx.legs.find(leg.id) is not leg or leg.ending:
        return
    ctx.emit(LegCommandFailed.of(leg, command="add_to_room", error=error))


def drop_unused(ctx: Context, room: Room) -> None:
    """Undo the creation of a room that nothing has come into."""
    if not lifecycle.unused(ctx, room) or ctx.rooms.find(room.id) is not room:
        return
    ctx.emit(RoomDeleted.of(room))
    ctx.state.forget_room(room.id)
    ctx.rooms.remove(room)


def move(ctx: Context, leg: Leg, room: Room | None) -> str:
    """Into a room, or out of any; the id of the room the leg was in. To be run by the leg's worker. Raises
    when the switch did not do it, LegGone when the leg has ended, Invalid when it is there already."""
    if leg.ending or ctx.legs.find(leg.id) is not leg:
        raise LegGone(f"leg {leg.id} has been hung up")
    if room is not None and leg.room_id == room.id:
        raise Invalid("leg already in this room")
    came_from, before = leg.room_id, leg.target_room
    leg.target_room = room.id if room else ""
    try:
        _enter(ctx, leg, room)
    except VsiError:
        leg.target_room = before
        raise
    if room is not None and ctx.rooms.find(room.id) is not room:
        # deleted while the leg was on its way; its conference is nobody's now
        leg.target_room = ""
        settle(ctx, leg)
        raise Invalid(f"room {room.id} not found")
    return came_from


def answer(ctx: Context, leg: Leg, codec: str) -> None:
    """Answer an inbound leg, in the leg's worker. A failure ends the leg, which reports itself."""
    ctx.moments.answering(ctx, leg)
    try:
        if leg.kind.whatsapp:
            arm_media_limit(ctx, leg)
            ctx.switch(leg).answer_securely(leg, codec, SECURE_MEDIA_TIMEOUT_S)
        else:
            ctx.switch(leg).answer(leg, codec)
    except VsiError as error:
        log.warning("answer failed", leg_id=leg.id, error=error.message)
        if leg.target_room and not isinstance(error, LegGone):
            add_failed(ctx, leg, f"auto-answer failed: {error.message}")


def media_up(ctx: Context, leg: Leg) -> None:
    """After the answer: count its duration and put it where it is to be."""
    arm_max_duration(ctx, leg)
    settle_soon(ctx, leg)


def arm_ring_timeout(ctx: Context, leg: Leg) -> None:
    """Give an unanswered outbound leg up at its deadline."""
    if leg.ring_deadline:
        ctx.timers.at(leg.id, "ring", leg.ring_deadline, endings.hang_up, ctx, leg, leg.kind.unanswered)


def arm_media_limit(ctx: Context, leg: Leg) -> None:
    """End a leg whose ICE and DTLS do not come about: the switch would wait for them for ever."""
    due = clock.now() + SECURE_MEDIA_TIMEOUT_S
    ctx.timers.at(leg.id, "secure", due, endings.hang_up, ctx, leg, "ice_failed")


def media_secured(ctx: Context, leg: Leg) -> None:
    """ICE and DTLS of a leg have come about."""
    leg.secured = True
    ctx.timers.cancel(leg.id, "secure")


def arm_max_duration(ctx: Context, leg: Leg) -> None:
    """Hang up when the call has lasted as long as it may, counted from its answer."""
    if leg.max_duration and leg.answered_at:
        end = leg.answered_at + leg.max_duration
        ctx.timers.at(leg.id, "max_duration", end, endings.hang_up, ctx, leg, "max_duration")


def arm_hold_limit(ctx: Context, leg: Leg) -> None:
    """A held call may send no RTP that could time out; this is its limit."""
    limit = ctx.config.media.hold_timeout
    if not leg.held:
        settle_soon(ctx, leg)  # it was left where it was meanwhile
        return
    leg.held_since = leg.held_since or clock.now()
    ctx.switch(leg).remember(leg, "held_since")
    if limit:
        ctx.timers.at(leg.id, "hold", leg.held_since + limit, endings.hang_up, ctx, leg, "rtp_timeout")


def arm_auto_answer(ctx: Context, leg: Leg) -> None:
    """Report an add whose answer does not come about."""
    deadline = clock.now() + AUTO_ANSWER_TIMEOUT_S
    ctx.timers.at(leg.id, "auto_answer", deadline, _auto_answer_expired, ctx, leg)


def _auto_answer_expired(ctx: Context, leg: Leg) -> None:
    if leg.target_room and not leg.room_id:
        add_failed(ctx, leg, f"auto-answer failed: no answer within {AUTO_ANSWER_TIMEOUT_S:g} s")
