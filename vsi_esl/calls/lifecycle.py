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
from ..model.leg import CONNECTED, EARLY_MEDIA, HUNG_UP, Leg
from ..model.room import Room
from ..storage.state import LegEnd
from .context import Context
from .moments import Awaited

log = structlog.get_logger(__name__)


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
            uri=None if inbound else leg.uri,
            from_=leg.from_user or None,
            to=leg.to_user or None if inbound else None,
            sip_headers=leg.headers or None,
            offered_codecs=codecs or None,
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
    ctx: Context, leg: Leg, conference: str, member_id: str, *, speak: bool = True, hear: bool = True
) -> bool:
    """The switch has the leg in a conference: its room's, or the one where it is alone. Whether somebody
    has been waiting for that."""
    previous = (
        ctx.rooms.of_conference(leg.channel.conference) if leg.channel.conference != conference else None
    )
    if previous is not None and leg.room_id == previous.id:
        left(ctx, leg, leg.channel.conference)  # the report of leaving was missed
    leg.channel.conference, leg.channel.member_id, leg.channel.parked = conference, member_id, False
    room = ctx.rooms.of_conference(conference)
    if room is not None:
        room_on(ctx, room, leg.node)
    if room is not None and leg.room_id != room.id:
        leg.room_id = room.id
        room.legs[leg.id] = leg
        ctx.emit(LegJoinedRoom.of(leg, room_id=room.id))
        ctx.state.save_legs([leg])
        if leg.role_given:
            routing_changed(ctx, room, "leg_joined")
        ctx.moments.joined(ctx, room, leg)
    leg.role_given = False
    # the flags may have changed while it was on its way
    if speak is leg.says_nothing:
        ctx.workers.submit(leg.id, ctx.switch(leg).set_muted, leg)
    if hear is leg.hears_nothing(conference):
        ctx.workers.submit(leg.id, ctx.switch(leg).set_deaf, leg)
    expected = ctx.node(leg).waits.fulfil("joined", leg.id, conference)
    ctx.moments.entered(ctx, leg)
    return expected


def left(ctx: Context, leg: Leg, conference: str) -> None:
    """The leg is out of a conference, whoever took it out."""
    if leg.channel.conference == conference:
        leg.channel.conference = ""
    ctx.moments.left_conference(ctx, leg, conference)
    room = ctx.rooms.of_conference(conference)
    if room is None or leg.room_id != room.id:
        stopped_speaking(ctx, leg)
        return
    leg.room_id = ""
    room.legs.pop(leg.id, None)
    # the switch forgets what a listener may not hear when it leaves
    room.relations = {pair for pair in room.relations if pair[0] != leg.channel.member_id}
    if leg.target_room == room.id:
        leg.target_room = ""
    if not leg.silent_leave:
        ctx.emit(LegLeftRoom.of(leg, room_id=room.id))
    ctx.state.save_legs([leg])
    stopped_speaking(ctx, leg)
    ctx.moments.left(ctx, room, leg)
    if not room.legs:
        ctx.moments.room_emptied(ctx, room)


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
    room_id = leg.room_id
    if leg.channel.conference:
        left(ctx, leg, leg.channel.conference)
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
    awaited = list(chain.from_iterable(ctx.moments.ended(ctx, leg, room_id)))
    if awaited:
        ctx.state.save_end(leg, end)  # whoever waits now may not come to telling it
        ctx.legs.departing.add(leg.id)
        gevent.spawn(_report_end, ctx, leg, last_event, awaited)
    else:
        _report_end(ctx, leg, last_event, awaited)


def _report_end(ctx: Context, leg: Leg, last_event: LegEvent, awaited: list[Awaited]) -> None:
    if awaited:
        gevent.joinall([one.result for one in awaited], timeout=max(one.limit for one in awaited))
    ctx.legs.departing.discard(leg.id)
    if not ctx.draining or not awaited:
        ctx.emit(last_event)
        ctx.state.forget_leg(leg.id)


def held(ctx: Context, leg: Leg, *, by_us: bool | None = None, by_peer: bool | None = None) -> None:
    """Hold begins or ends on one side. The event follows what this side did, as in the protocol."""
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


def room_on(ctx: Context, room: Room, node: str) -> None:
    """A room without a place has its conference on this switch from now on."""
    if not room.node:
        room.node = node
        if not room.deleting:
            ctx.state.save_room(room)


def routing_changed(ctx: Context, room: Room, reason: str) -> None:
    """Who hears whom changed, or who is there to hear."""
    ctx.emit(RoomRoutingChanged.of(room, matrix=room.matrix, reason=reason))
