"""What becomes of live sessions when something happens to the legs, rooms and switches that they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import gevent
import structlog

from ..calls.context import Context
from ..calls.moments import Awaited
from ..calls.nodes import Node
from ..errors import SwitchUnavailable
from ..later import Within
from ..model.leg import Leg
from ..model.owner import of_leg, of_room
from ..model.room import Room
from ..switch.snapshot import Snapshot
from . import attaching
from .attaching import Fork
from .plan import End
from .session import OWNER, SWITCH, Session
from .sessions import CLOSE_TIMEOUT_S, Sessions

log = structlog.get_logger(__name__)


def subscribe(ctx: Context) -> None:
    """Be told of it."""
    moments = ctx.moments
    moments.rate_changed.subscribe(_rate_changed)
    moments.ended.subscribe(_leg_ended)
    moments.room_emptied.subscribe(_room_emptied)
    moments.room_deleting.subscribe(_room_deleting)
    moments.room_deleted.subscribe(_room_deleted)
    moments.room_wanted.subscribe(_room_wanted)
    moments.channel_ended.subscribe(_channel_ended)
    moments.adopt.subscribe(_readopt)
    moments.released.subscribe(_released)


# -- legs --------------------------------------------------------------------------------------------------


def _leg_ended(ctx: Context, leg: Leg, room_id: str) -> list[Awaited]:
    """All that is heard of it or said to it ends. What its last event waits for: the last words of those
    that are its own."""
    sessions = ctx.get(Sessions)
    awaited = []
    for session in sessions:
        plan = session.plan
        if plan.owner == of_leg(leg.id):
            awaited.append(Awaited(session.done, plan.last_words_s + CLOSE_TIMEOUT_S))
        elif plan.leg_id != leg.id:
            continue
        sessions.end(session, OWNER, plan.last_words_s)
    return awaited


def _rate_changed(ctx: Context, leg: Leg) -> None:
    """What was attached to a leg was made for the rate that it had."""
    sessions = ctx.get(Sessions)
    for session in sessions:
        if any(one.leg is leg for one in session.ways.attachments):
            session.stale, session.again = True, 0
            if session.reason == SWITCH and session.closed is None:
                session.reason = ""  # the switch dropped it for that
            if not session.attaching:
                sessions.renew(ctx, session)


# -- rooms -------------------------------------------------------------------------------------------------


def _in_room(sessions: Sessions, room: Room) -> list[Session]:
    """Those that are heard in it or speak there, or are its own."""
    return [one for one in sessions if one.plan.room_id == room.id or one.plan.owner == of_room(room.id)]


def _room_emptied(ctx: Context, room: Room) -> None:
    """Those that are the room's own end."""
    sessions = ctx.get(Sessions)
    for session in sessions.of(of_room(room.id)):
        sessions.end(session, OWNER, session.plan.last_words_s)


def _room_deleting(ctx: Context, room: Room) -> None:
    """All that is heard in it or said there ends; waits for it, not for ever."""
    sessions = ctx.get(Sessions)
    ending = _in_room(sessions, room)
    for session in ending:
        sessions.end(session, OWNER, session.plan.last_words_s)
    longest = max((one.plan.last_words_s for one in ending), default=0.0)
    with Within(longest + CLOSE_TIMEOUT_S, False):
        gevent.wait([one.done for one in ending])


def _room_deleted(ctx: Context, room: Room) -> None:
    """What has not ended in time ends now."""
    sessions = ctx.get(Sessions)
    for session in _in_room(sessions, room):
        sessions.finish(session, End(reason=OWNER))


def _room_wanted(ctx: Context, room: Room) -> bool:
    """Whether somebody listens or speaks in it."""
    return any(one.plan.room_id == room.id for one in ctx.get(Sessions))


# -- the switch --------------------------------------------------------------------------------------------


def _channel_ended(ctx: Context, channel: str) -> None:
    """An internal channel has ended."""
    sessions = ctx.get(Sessions)
    for session in sessions:
        if channel in session.channels and not session.over and session.up(channel):
            sessions.audio_ended(session)


def _readopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    """After each connect to a switch: what became of the channels, and what the process before has left
    there. Returns the channels that are in use."""
    sessions = ctx.get(Sessions)
    if ctx.config.media.spare_worker:
        sessions.prepare(node)
    here = [one for one in sessions if one.node is node]
    for session in here:
        there_is = not session.plan.leg_id or session.plan.leg_id in snapshot.channels
        if session.stale and not session.attaching and there_is:
            sessions.renew(ctx, session)
    _clean_up(ctx, node, lambda leg_id: leg_id in snapshot.channels)
    unseen = [
        (session, channel)
        for session in here
        for channel in session.channels
        if session.up(channel) and channel not in snapshot.internal  # which is 0.2 s old
    ]
    for session in _without(node, unseen):
        sessions.audio_ended(session)
    for session in here:
        # one that is being attached will be told, and may be about to make its leg's channel
        if session.plan.leg_id and session.plan.leg_id not in snapshot.channels and not session.attaching:
            sessions.audio_ended(session)
    return [channel for session in here for channel in session.channels]


def _released(ctx: Context, node: Node) -> None:
    ctx.get(Sessions).forget(node)


def _without(node: Node, used: list[tuple[Session, str]]) -> list[Session]:
    """Those of the sessions whose channel is not there. None when the switch does not answer in time: of an
    end it tells."""
    try:
        there = node.live.exist([channel for _, channel in used])
    except SwitchUnavailable as error:
        log.warning("channels of live sessions not looked for", switch=node.name, error=error.message)
        return []
    return [session for (session, _), is_there in zip(used, there, strict=True) if not is_there]


def forks_gone(ctx: Context, node: Node) -> None:
    """The switch has unloaded mod_audio_fork."""
    sessions = ctx.get(Sessions)
    node.facts.forks = False  # until it is asked again
    for session in sessions:
        if session.node is node and any(isinstance(one, Fork) for one in session.ways.attachments):
            sessions.end(session, SWITCH)


def forks_back(ctx: Context, node: Node) -> None:
    """It has loaded it."""
    node.facts.forks = True
    _clean_up(ctx, node, lambda leg_id: ctx.legs.find(leg_id) is not None)


def _clean_up(ctx: Context, node: Node, exists: Callable[[str], bool]) -> None:
    """Take away the bugs of forks that no session uses, or uses any more."""
    running = [session for session in ctx.get(Sessions) if not session.over]
    used = {one.bug for session in running for one in session.ways.attachments if isinstance(one, Fork)}
    for body in ctx.state.items(attaching.KIND):
        if body["node"] != node.name or body["bug"] in used:
            continue
        there = exists(body["leg_id"])
        if there and not node.facts.forks:
            continue
        if there:
            node.live.stop_fork(body["leg_id"], body["bug"])
        ctx.state.forget_item(attaching.KIND, body["bug"])
