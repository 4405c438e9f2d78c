"""What happens to a leg, seen from the switch: the model changes and exactly the events that it means.

Called by the translation of switch events and by re-adoption. Nothing here waits for the switch.

What a leg does is first told and then saved: a crash in between has it told once more after the restart,
where the other order would lose the event.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import gevent
import structlog

from ..errors import LegGone, StorageFailed
from ..events.base import LegEvent
from ..events.legs import LegConnected, LegDisconnected, LegEarlyMedia, LegHold, LegRinging, LegUnhold
from ..events.rooms import LegJoinedRoom, LegLeftRoom, RoomCreated, RoomRoutingChanged
from ..events.speaking import SpeakingStarted, SpeakingStopped
from ..later import Within
from ..model.channel import Channel, Tether
from ..model.leg import CONNECTED, EARLY_MEDIA, HUNG_UP, Leg
from ..model.room import Room
from ..storage.state import LegEnd
from . import seats
from .context import Context
from .moments import Awaited

log = structlog.get_logger(__name__)

TETHER = "tether"
"""The timer of a leg whose tether is being made anew."""


def appeared(ctx: Context, leg: Leg) -> None:
    """A new leg: known from now on, and announced."""
    ctx.legs.add(leg)
    inbound = leg.inbound
    codecs = [
        {
            "name": codec.name,
            "payload_type": codec.payload_type,
            "clock_rate": codec.clock_rate,
            "priority": codec.priority,
        }
        for codec in leg.offered_codecs
    ]
    ctx.emit(
        LegRinging.of(
            leg,
            uri=None if inbound else leg.uri or None,
            from_=leg.from_user or None,
            to=leg.to_user or None if inbound else None,
            sip_headers=leg.headers or None,
            offered_codecs=codecs or None,
            trunk_id=leg.trunk or None,
        )
    )
    ctx.state.save_legs([leg])


def early_media(ctx: Context, leg: Leg) -> None:
    """Media runs before the answer. An inbound leg only gets here when we asked for it."""
    leg.state = EARLY_MEDIA
    ctx.emit(LegEarlyMedia.of(leg))
    ctx.state.save_legs([leg])
    ctx.moments.media_up(ctx, leg)


def connected(ctx: Context, leg: Leg, answered_at: float) -> None:
    """The call was answered, by us or by the peer."""
    leg.state = CONNECTED
    leg.answered_at = answered_at
    leg.ring_deadline = 0.0
    ctx.timers.cancel(leg.id, "ring")
    ctx.emit(LegConnected.of(leg))
    ctx.state.save_legs([leg])
    ctx.moments.media_up(ctx, leg)


def entered(
    ctx: Context,
    leg: Leg,
    conference: str,
    member_id: str,
    *,
    speak: bool = True,
    hear: bool = True,
    tether: Tether | None = None,
) -> bool:
    """The switch has the leg in a conference: its room's, or the one where it is alone; or another one has,
    by this tether. Whether somebody has been waiting for that."""
    previous = ctx.rooms.find(leg.room_id) if leg.room_id else None
    if previous is not None and previous.conference != conference:
        left(ctx, leg, previous.conference)  # the report of leaving was missed
    if leg.tether is not tether:
        seats.let_go(ctx, leg)
    if tether is None:
        leg.channel.conference, leg.channel.member_id, leg.channel.parked = conference, member_id, False
    else:
        leg.channel.conference, leg.channel.member_id, leg.channel.parked = "", "", False
        leg.tether, tether.member_id = tether, member_id
        ctx.tethers.legs[tether.id] = leg
    mended = ctx.tethers.mending.pop(leg.id, None)
    ctx.timers.cancel(leg.id, TETHER)
    room = ctx.rooms.of_conference(conference)
    if room is not None:
        room_on(ctx, room, leg.seat.node)
    if room is not None and leg.room_id != room.id:
        leg.room_id = room.id
        room.legs[leg.id] = leg
        ctx.emit(LegJoinedRoom.of(leg, room_id=room.id))
        ctx.state.save_legs([leg])
        if leg.role_given:
            routing_changed(ctx, room, "leg_joined")
        ctx.moments.joined(ctx, room, leg)
    elif room is not None and mended is not None:
        ctx.moments.reseated(ctx, room, leg)
    leg.role_given = False
    # the flags may have changed while it was on its way
    if speak is leg.says_nothing:
        ctx.workers.submit(leg.id, seats.set_muted, ctx, leg)
    if hear is leg.hears_nothing(conference):
        ctx.workers.submit(leg.id, seats.set_deaf, ctx, leg)
    expected = ctx.node(leg).waits.fulfil("joined", leg.id, conference)
    ctx.moments.entered(ctx, leg)
    return expected


def left(ctx: Context, leg: Leg, conference: str) -> None:
    """The leg is out of a conference, whoever took it out."""
    seat = leg.seat
    if leg.channel.conference == conference:
        leg.channel.conference = ""
    if leg.tether is not None and leg.tether.conference == conference:
        seats.let_go(ctx, leg)
    ctx.moments.left_conference(ctx, leg, conference)
    room = ctx.rooms.of_conference(conference)
    if room is None or leg.room_id != room.id:
        stopped_speaking(ctx, leg)
        return
    leg.room_id = ""
    room.legs.pop(leg.id, None)
    if ctx.tethers.mending.pop(leg.id, None) is not None:
        ctx.timers.cancel(leg.id, TETHER)
    # the switch forgets what a listener may not hear when it leaves
    forget_relations(room, seat)
    if leg.target_room == room.id:
        leg.target_room = ""
    if not leg.silent_leave:
        ctx.emit(LegLeftRoom.of(leg, room_id=room.id))
    ctx.state.save_legs([leg])
    stopped_speaking(ctx, leg)
    ctx.moments.left(ctx, room, leg)
    if not room.legs:
        ctx.moments.room_emptied(ctx, room)


def forget_relations(room: Room, seat: Channel | Tether) -> None:
    """A member has left: the switch forgets what it may not hear. Who comes back by a tether is another
    one."""
    for_good = isinstance(seat, Tether)
    gone = seat.member_id
    room.relations = {
        pair for pair in room.relations if pair[0] != gone and not (for_good and pair[1] == gone)
    }


def disconnected(
    ctx: Context,
    leg: Leg,
    reason: str,
    ended_at: float,
    quality: dict[str, Any] | None = None,
    *,
    known: LegEnd | None = None,
) -> None:
    """The leg's end: reported once, as its last event, behind what features have it wait for. `known` is
    what the process before knew of it."""
    if not ctx.legs.remove(leg):
        return
    if leg.failing_as and not leg.answered_at and reason != leg.ending:
        reason = leg.failing_as
    room_id = leg.room_id
    if leg.seat.conference:
        left(ctx, leg, leg.seat.conference)
    elif leg.room_id and (room := ctx.rooms.find(leg.room_id)):
        left(ctx, leg, room.conference)
    stopped_speaking(ctx, leg)
    leg.state = HUNG_UP
    ctx.timers.cancel(leg.id)
    ctx.node(leg).waits.fail(leg.id, LegGone(f"leg {leg.id} has been hung up"))
    answered = max(0.0, ended_at - leg.answered_at) if leg.answered_at else 0.0
    cdr = {
        "reason": reason,
        # the switch's clock steps in 20 ms, ours does not
        "duration_total": round(max(answered, ended_at - leg.created_at), 2),
        "duration_answered": round(answered, 2),
    }
    end = known or LegEnd(cdr, quality)
    last_event = LegDisconnected.of(leg, cdr=end.cdr, quality=end.quality)
    told = chain.from_iterable(ctx.moments.ended(ctx, leg, room_id))
    awaited = [one for one in told if one.instead_of in ("", end.cdr["reason"])]
    if awaited:
        ctx.state.save_end(leg, end)  # whoever waits now may not come to telling it
        ctx.legs.departing.add(leg.id)
        gevent.spawn(_report_end, ctx, leg, last_event, end, awaited)
    else:
        _report_end(ctx, leg, last_event, end, awaited)


def _report_end(ctx: Context, leg: Leg, last_event: LegEvent, end: LegEnd, awaited: list[Awaited]) -> None:
    if awaited:
        with Within(max(one.limit for one in awaited), False):
            gevent.joinall([one.result for one in awaited])
        for one in awaited:
            if one.instead_of and one.result.ready() and one.result.value:
                end.cdr["reason"] = one.result.value  # the event has the same
        if leg.id not in ctx.legs.departing:
            return  # another service has its switch, and tells of it
    ctx.legs.departing.discard(leg.id)
    if not ctx.draining or not awaited:
        ctx.emit(last_event)
        ctx.state.forget_leg(leg.id)


def held(ctx: Context, leg: Leg, *, by_us: bool | None = None, by_peer: bool | None = None) -> None:
    """Hold begins or ends on one side. The event follows what this side did, as in the protocol. A leg that
    has ended while the switch was waited for is held by nobody."""
    if leg.state == HUNG_UP:
        return
    if by_us is not None:
        leg.held_by_us = by_us
    if by_peer is not None:
        leg.held_by_peer = by_peer
    ctx.moments.held(ctx, leg)
    began = bool(by_us or by_peer)
    if not leg.held:
        leg.held_since = 0.0
        ctx.timers.cancel(leg.id, "hold")
    if began:
        ctx.emit(LegHold.of(leg))
    else:
        ctx.emit(LegUnhold.of(leg))


def started_speaking(ctx: Context, leg: Leg) -> None:
    """Reported only with detection on, after the answer, and not while muted."""
    if leg.speech_detection and leg.state == CONNECTED and not leg.speaking and not leg.muted:
        leg.speaking = True
        ctx.emit(SpeakingStarted.of(leg, room_id=leg.room_id or None))


def stopped_speaking(ctx: Context, leg: Leg) -> None:
    """Silence, a mute or the end of the leg; never without a start before it."""
    if leg.speaking:
        leg.speaking = False
        ctx.emit(SpeakingStopped.of(leg, room_id=leg.room_id or None))


def room_created(ctx: Context, room: Room, *, needed: bool = True) -> None:
    """A new room, durable before it is announced. There is none when StorageFailed is raised, which it is
    not for a room that is there whatever the disk does (`needed`)."""
    ctx.rooms.add(room)
    try:
        ctx.state.save_room(room, needed=needed)
    except StorageFailed:
        ctx.rooms.remove(room)
        raise
    ctx.emit(RoomCreated.of(room))
    _turn_away(ctx, room)


def _turn_away(ctx: Context, room: Room) -> None:
    """Legs that are on their way into a room of this name, which is gone: of another application they are
    not let into this one, whose name somebody only has used before."""
    for leg in ctx.legs.everyone():
        if leg.target_room == room.id and not leg.room_id and leg.app_id != room.app_id:
            leg.target_room = ""
            ctx.switch(leg).remember(leg, "target_room")


def room_on(ctx: Context, room: Room, node: str) -> None:
    """A room without a place has its conference on this switch from now on."""
    if not room.node:
        room.node = node
        if not room.deleting:
            ctx.state.save_room(room)


def unused(ctx: Context, room: Room) -> bool:
    """Whether nothing of a room is on a switch, or on the way there."""
    return not (
        room.legs
        or room.expected
        or any(leg.target_room == room.id for leg in ctx.legs)
        or any(ctx.moments.room_wanted(ctx, room))
    )


def room_off(room: Room) -> None:
    """A room that nothing is in has no place any more; the next one is kept when there is one."""
    room.node = ""


def routing_changed(ctx: Context, room: Room, reason: str) -> None:
    """Who hears whom changed, or who is there to hear."""
    ctx.emit(RoomRoutingChanged.of(room, matrix=room.matrix, reason=reason))
