"""Where a leg is and how long it lives: moving it between rooms, and hanging it up on our own account.

A leg with media is in a conference, its room's or one of its own, or waits parked: see `alone`. Moves run in
the leg's worker, one after the other.
"""

from __future__ import annotations

import gevent
import structlog
from gevent.event import AsyncResult

from ..errors import Invalid, LegGone, NotSupported, VsiError
from ..events.legs import LegCommandFailed
from ..events.rooms import RoomDeleted
from ..model.leg import CONNECTED, EARLY_MEDIA, Leg
from ..model.room import Room
from ..work import clock
from . import alone, endings, lifecycle, routing
from .context import Context

log = structlog.get_logger(__name__)

LEG_COMMAND_TIMEOUT_S = 20.0
AUTO_ANSWER_TIMEOUT_S = 30.0
QUIET_BEFORE_LEAVING_S = 0.06
"""Three frames: what a member has said before it was muted is mixed by then."""


def find_or_create_room(ctx: Context, room_id: str, leg: Leg) -> Room:
    """The room for a leg, created with the default rate and the leg's app_id if there is none. It is on the
    leg's switch. NotSupported when it is on another one."""
    room = ctx.rooms.find(room_id)
    if room is None:
        room = Room(room_id, ctx.config.rooms.default_sample_rate, app_id=leg.app_id, node=leg.node)
        lifecycle.room_created(ctx, room)
    elif room.node and ctx.node(room) is not ctx.node(leg):
        raise NotSupported(f"leg {leg.id} is on another switch than room {room_id}")
    lifecycle.room_on(ctx, room, leg.node)
    return room


def settle_soon(ctx: Context, leg: Leg) -> AsyncResult[None]:
    """Have the leg's worker put it where it belongs, behind what it is doing."""
    return ctx.workers.submit(leg.id, settle, ctx, leg)


def came_by_itself(ctx: Context, leg: Leg) -> None:
    """The switch has put the leg into a conference, and nobody has been waiting for that: it was dialled into
    its room, or a command was done after its caller had given up, and then it may stay."""
    room = ctx.rooms.of_conference(leg.channel.conference)
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
    if room is not None and leg.channel.conference == room.conference:
        _open(ctx, leg, room)
        return
    try:
        _enter(ctx, leg, room)
    except LegGone:
        return
    except VsiError as error:
        log.warning("leg not placed", leg_id=leg.id, room_id=leg.target_room, error=error.message)
        if room is not None:
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
        return leg.channel.parked or bool(leg.channel.conference)
    return (
        leg.state == EARLY_MEDIA and not leg.inbound and (leg.channel.parked or bool(leg.channel.conference))
    )


def _enter(ctx: Context, leg: Leg, room: Room | None) -> None:
    """Into the room's conference, or out of any but its own. Where there is routing, it joins silent both
    ways, and is opened when its relations are set: not a frame goes where it must not. Out of a routed room
    it goes silent too: the switch drops a member's relations before the last frame with it is mixed."""
    leaving = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if leaving is not None and leaving.matrix:
        ctx.switch(leg).silence(leg)
        gevent.sleep(QUIET_BEFORE_LEAVING_S)
    if room is None:
        leg.silenced = False
        if alone.wants_conference(leg):
            ctx.switch(leg).enter(leg, leg.solo_conference, leg.channel.rate)
        else:
            ctx.switch(leg).park(leg)
    else:
        _join(ctx, leg, room)
    _hold_again(ctx, leg)


def _join(ctx: Context, leg: Leg, room: Room) -> None:
    leg.silenced = bool(room.matrix)
    try:
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
        ctx.switch(leg).set_muted(leg, changed=False)
        ctx.switch(leg).set_deaf(leg, changed=False)


def silence_joining(ctx: Context, room: Room) -> None:
    """Whoever is being dialled into this room is to come silent: it has routing now, or is gone."""
    for leg in ctx.legs:
        if leg.joins_by_itself and leg.target_room == room.id:
            leg.silenced = True
            ctx.switch(leg).prepare_join(leg)


def _hold_again(ctx: Context, leg: Leg) -> None:
    """Moving a leg that we hold took its peer off hold, and nothing of the room has reached it since."""
    if not leg.held_by_us or leg.ending:
        return
    try:
        ctx.switch(leg).hold(leg, True)
    except LegGone:
        return
    except VsiError as error:
        log.warning("a leg that was moved is not on hold any more", leg_id=leg.id, error=error.message)
        lifecycle.held(ctx, leg, by_us=False)
        ctx.switch(leg).remember(leg, "held_by_us")
        ctx.switch(leg).set_deaf(leg)


def add_failed(ctx: Context, leg: Leg, error: str) -> None:
    """An add that was accepted did not happen. The end of a leg says it all."""
    leg.target_room, leg.role_given = "", False
    if ctx.legs.find(leg.id) is not leg or leg.ending:
        return
    ctx.emit(LegCommandFailed.of(leg, command="add_to_room", error=error))


def drop_unused(ctx: Context, room: Room) -> None:
    """Undo the creation of a room that nothing has come into."""
    expected = room.expected or any(leg.target_room == room.id for leg in ctx.legs)
    if (
        room.legs
        or expected
        or any(ctx.moments.room_wanted(ctx, room))
        or ctx.rooms.find(room.id) is not room
    ):
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
    try:
        ctx.switch(leg).answer(leg, codec)
    except VsiError as error:
        log.warning("answer failed", leg_id=leg.id, error=error.message)
        if leg.target_room:
            add_failed(ctx, leg, f"auto-answer failed: {error.message}")


def media_up(ctx: Context, leg: Leg) -> None:
    """After the answer: count its duration and put it where it is to be."""
    arm_max_duration(ctx, leg)
    settle_soon(ctx, leg)


def arm_ring_timeout(ctx: Context, leg: Leg) -> None:
    """Give an unanswered outbound leg up at its deadline."""
    if leg.ring_deadline:
        ctx.timers.at(leg.id, "ring", leg.ring_deadline, endings.hang_up, ctx, leg, "ring_timeout")


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
