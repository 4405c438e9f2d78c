"""All live sessions of a service: begun, told things, ended; each with a media worker on one side and the
switch on the other.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import structlog
from gevent.event import AsyncResult, Event

from ..calls import lifecycle
from ..calls.context import Context
from ..calls.moments import Awaited
from ..calls.nodes import Node
from ..config.settings import MediaSettings
from ..errors import Conflict, LegGone, NotFound, NotSupported, SwitchUnavailable, Unavailable, VsiError
from ..media.messages import Close, Closed, Open, Opened, Renew, Report, Tell
from ..model.leg import Leg
from ..model.owner import Owner, of_leg, of_room
from ..model.room import Room
from ..switch.snapshot import Snapshot
from . import attaching
from .attaching import Fork, Ways
from .figures import Figures
from .plan import End, Hears, Plan, Speaks
from .pool import Pool
from .process import MediaWorker

log = structlog.get_logger(__name__)

OPEN_TIMEOUT_S = 25.0
"""For the worker's answer; it may be starting."""
PATIENCE_S = 5.0
"""How long the worker waits for the switch to bring the audio. An internal channel that goes astray twice
takes 4 s."""
CLOSE_TIMEOUT_S = 2.0
"""How long the worker may take to close a session beyond what it was given."""
OWNER_GRACE_S = 0.5
"""How long the end of a leg may be on its way when what brings its audio has ended."""
MOST_WORKERS = 4

OWNER, SWITCH, WORKER, REFUSED, CLOSED = "owner", "switch", "worker", "refused", "closed"


def workers_of(settings: MediaSettings) -> int:
    """How many workers there may be."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.workers or min(MOST_WORKERS, cores)


class Session:
    """One that has not ended."""

    def __init__(
        self, sessions: Sessions, id: str, *, plan: Plan, node: Node, ways: Ways, worker: MediaWorker
    ) -> None:
        self.id = id
        self.plan = plan
        self.node = node
        """The switch that its leg or room is on."""
        self.ways = ways
        self.worker = worker
        self.opened: AsyncResult[Opened | None] = AsyncResult()
        self.attached = Event()
        """Its first audio has come."""
        self.done: AsyncResult[End] = AsyncResult()
        self.over = False
        """It is to end, or has ended."""
        self.reason = ""
        """Why, when it is not the worker that says it."""
        self.closed: Closed | None = None
        """The worker's last word, when the end of the leg is still to be heard."""
        self.deadline: gevent.Greenlet | None = None
        self.attaching = True
        self.stale = False
        """The rate of its leg has changed while it was attached."""
        self.renewals = 0
        self._sessions = sessions

    def tell(self, what: str, value: Any = None) -> None:
        """Something for its task. Does not fail; lost when the session is over."""
        if not self.done.ready():
            self.worker.send(Tell(session=self.id, what=what, value=value))

    def close(self, grace_s: float = 0.0) -> None:
        """End it: the switch stops at once to hear it or to bring it audio, the task may take `grace_s` for
        what is on its way. Returns at once; `on_closed` follows. Does not fail, and may be repeated."""
        self._sessions.end(self, CLOSED, grace_s)

    def up(self, channel: str) -> bool:
        """Whether an internal channel of it has been made and is to be there."""
        return any(one.up for one in self.ways.attachments if one.channel == channel)

    @property
    def channels(self) -> list[str]:
        """Internal channels of it that are there, or may be."""
        return [one.channel for one in self.ways.attachments if one.channel]


class Sessions:
    """Had by `ctx.get(Sessions)`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._live: dict[str, Session] = {}
        make = partial(MediaWorker, log_level=ctx.config.log.level)
        self.pool = Pool(workers_of(ctx.config.media), self._heard, self._lost, make)
        self.figures = Figures(ctx.metrics)
        self._stopped = False

    # -- for features ------------------------------------------------------------------------------------

    def begin(self, ctx: Context, plan: Plan) -> Session:
        """Begin a session: returns at once, all else is told by the plan's callbacks. Raises NotFound when
        there is no such leg or room, Conflict when the leg has no media, NotSupported (501) when the switch
        lacks what it takes, Unavailable (503) when there are too many or no worker, SwitchUnavailable when
        the switch is away. `on_closed` is not called then."""
        leg = ctx.legs.get(plan.leg_id) if plan.leg_id else None
        room = ctx.rooms.get(plan.room_id) if plan.room_id else None
        if room is not None and room.deleting:
            raise NotFound("room not found")
        if (plan.hears is Hears.LEG or plan.speaks is Speaks.TO_LEG) and not (leg and leg.has_media):
            raise Conflict("the leg has no media")
        node = _node(ctx, leg, room)
        if not node.ready:
            raise SwitchUnavailable(f"not connected to the switch: {node.last_error}")
        session_id = f"lv-{secrets.token_hex(6)}"
        ways = Ways(plan, leg, room, session_id if node.facts.forks else "")
        if any(not isinstance(one, Fork) for one in ways.attachments):
            node.require("mod_loopback")
        settings = ctx.config.media
        if len(self._live) >= settings.max_sessions or self._stopped:
            self.figures.refused += 1
            raise Unavailable("too many sessions of live audio")
        worker = self.pool.take(session_id)
        session = Session(self, session_id, plan=plan, node=node, ways=ways, worker=worker)
        try:
            worker.send(
                Open(
                    session=session_id,
                    task=plan.task,
                    parameters=plan.parameters,
                    ear=ways.ear,
                    mouth=ways.mouth(settings.speech_lead, settings.speech_queue),
                    patience_s=PATIENCE_S,
                )
            )
        except Exception:
            worker.sessions.discard(session_id)
            raise
        self._live[session_id] = session
        gevent.spawn(self._attach, ctx, session)
        return session

    def prepare(self) -> None:
        """A session will be begun soon, and is not to wait for a worker then."""
        self.pool.prepare()

    def of(self, owner: Owner) -> list[Session]:
        """Those of a leg or room."""
        return [one for one in self if one.plan.owner == owner]

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        return len(self._live)

    # -- the life of one ---------------------------------------------------------------------------------

    def _attach(self, ctx: Context, session: Session) -> None:
        try:
            with gevent.Timeout(OPEN_TIMEOUT_S, Unavailable("the media worker did not open the session")):
                opened = session.opened.get()
            if opened is not None and not session.over:
                attaching.attach_all(ctx, session, opened)
            session.attaching = False
            if session.stale:
                self._renew(ctx, session)
        except VsiError as error:
            self._not_attached(session, error)
        except Exception:
            log.exception("live session not attached", session=session.id, session_kind=session.plan.kind)
            self._finish(session, End(reason=REFUSED, error="internal error"))

    def _not_attached(self, session: Session, error: VsiError) -> None:
        if session.over:
            return
        reason = REFUSED
        if isinstance(error, LegGone):
            reason = OWNER
        elif isinstance(error, SwitchUnavailable):
            reason = SWITCH
        log.warning(
            "live session not begun", session=session.id, session_kind=session.plan.kind, error=error.message
        )
        self._finish(session, End(reason=reason, error=error.message))

    def end(self, session: Session, reason: str, grace_s: float = 0.0) -> None:
        """Have a session end, for a reason of ours; the first one counts."""
        if session.over or session.id not in self._live:
            return
        session.over, session.reason = True, reason
        if session.closed is not None:
            self._finish(session, _end(session, session.closed))
            return
        self._detach(session)
        session.worker.send(Close(session=session.id, grace_s=grace_s))
        late = End(reason=reason, error="the media worker did not close it")
        session.deadline = gevent.spawn_later(grace_s + CLOSE_TIMEOUT_S, self._finish, session, late)

    def _detach(self, session: Session) -> None:
        for attachment in session.ways.attachments:
            attachment.detach(self._ctx, session)

    def _finish(self, session: Session, end: End) -> None:
        """It is over, once."""
        if self._live.pop(session.id, None) is None:
            return
        detached, session.over = session.over, True
        if session.deadline is not None and session.deadline is not gevent.getcurrent():
            session.deadline.kill(block=False)
        if not detached or session.closed is not None:
            self._detach(session)
        session.worker.sessions.discard(session.id)
        session.worker.send(Close(session=session.id))  # it may know already
        if not session.opened.ready():
            session.opened.set(None)
        self.figures.ended(session.plan, end)
        try:
            session.plan.on_closed(end)
        except Exception:
            log.exception("the end of a live session was not handled", session_kind=session.plan.kind)
        session.done.set(end)

    # -- what workers say --------------------------------------------------------------------------------

    def _heard(self, worker: MediaWorker, message: Any) -> None:
        session = self._live.get(message.session)
        if session is None or session.worker is not worker:
            return
        if isinstance(message, Opened):
            session.opened.set(message)
        elif isinstance(message, Report):
            self._reported(session, message)
        elif isinstance(message, Closed):
            self._closed(session, message)

    def _reported(self, session: Session, message: Report) -> None:
        if message.what in ("attached", "renewed"):
            session.attached.set()
        if message.what == "detached":
            if not session.over:
                self.audio_ended(session)
        elif message.what != "renewed":  # the ways are no matter of the task's
            session.plan.on_report(message.what, message.data)

    def _closed(self, session: Session, message: Closed) -> None:
        if session.reason and not session.over:
            session.closed = message  # it ran out of audio; `audio_ended` waits for why
        else:
            self._finish(session, _end(session, message))

    def _lost(self, worker: MediaWorker) -> None:
        for session in self:
            if session.worker is worker:
                self._finish(session, End(reason=session.reason or WORKER, error="the media worker died"))

    def audio_ended(self, session: Session) -> None:
        """What brought its audio or took it has ended, and not by us. With its leg, mostly, whose end is
        then about to be told."""
        session.reason = session.reason or SWITCH
        gevent.spawn_later(OWNER_GRACE_S, self.end, session, SWITCH)

    # -- what happens to legs, rooms and the switch ------------------------------------------------------

    def leg_ended(self, leg: Leg) -> list[Awaited]:
        """All that is heard of it or said to it ends. What its last event waits for: the last words of those
        that are its own."""
        awaited = []
        for session in self:
            plan = session.plan
            if plan.owner == of_leg(leg.id):
                awaited.append(Awaited(session.done, plan.last_words_s + CLOSE_TIMEOUT_S))
            elif plan.leg_id != leg.id:
                continue
            self.end(session, OWNER, plan.last_words_s)
        return awaited

    def rate_changed(self, ctx: Context, leg: Leg) -> None:
        """What was attached to a leg was made for the rate that it had."""
        for session in self:
            if any(one.leg is leg for one in session.ways.attachments):
                session.stale = True
                if not session.attaching:
                    self._renew(ctx, session)

    def _renew(self, ctx: Context, session: Session) -> None:
        """Attach a session anew; its task goes on."""
        plan, settings = session.plan, ctx.config.media
        if session.over or session.reason:
            return
        self._detach(session)
        session.renewals += 1
        bug = f"{session.id}-{session.renewals}" if session.node.facts.forks else ""
        leg = ctx.legs.find(plan.leg_id) if plan.leg_id else None
        room = ctx.rooms.find(plan.room_id) if plan.room_id else None
        session.ways = Ways(plan, leg, room, bug)
        session.attaching, session.stale = True, False
        session.opened, session.attached = AsyncResult(), Event()
        session.worker.send(
            Renew(
                session=session.id,
                ear=session.ways.ear,
                mouth=session.ways.mouth(settings.speech_lead, settings.speech_queue),
                patience_s=PATIENCE_S,
            )
        )
        gevent.spawn(self._attach, ctx, session)

    def room_emptied(self, room: Room) -> list[AsyncResult[End]]:
        """Those that are the room's own end."""
        ending = self.of(of_room(room.id))
        for session in ending:
            self.end(session, OWNER, session.plan.last_words_s)
        return [session.done for session in ending]

    def room_deleting(self, room: Room) -> None:
        """All that is heard in it or said there ends; waits for it, not for ever."""
        ending = [one for one in self if one.plan.room_id == room.id or one.plan.owner == of_room(room.id)]
        for session in ending:
            self.end(session, OWNER, session.plan.last_words_s)
        longest = max((one.plan.last_words_s for one in ending), default=0.0)
        gevent.wait([one.done for one in ending], longest + CLOSE_TIMEOUT_S)

    def room_deleted(self, room: Room) -> None:
        """What was begun in it meanwhile, or has not ended in time, ends now."""
        for one in self:
            if one.plan.room_id == room.id or one.plan.owner == of_room(room.id):
                self._finish(one, End(reason=OWNER))

    def room_wanted(self, room: Room) -> bool:
        """Whether somebody listens or speaks in it."""
        return any(one.plan.room_id == room.id for one in self)

    def channel_ended(self, channel: str) -> None:
        """An internal channel has ended."""
        for session in self:
            if channel in session.channels and not session.over and session.up(channel):
                self.audio_ended(session)

    def readopt(self, ctx: Context, node: Node, snapshot: Snapshot) -> list[str]:
        """After each connect to a switch: what became of the channels, and what the process before has left
        there. Returns the channels that are in use."""
        if ctx.config.media.spare_worker:
            self.prepare()
        self._clean_up(ctx, node, lambda leg_id: leg_id in snapshot.channels)
        here = [one for one in self if one.node is node]
        unseen = [
            (session, channel)
            for session in here
            for channel in session.channels
            if session.up(channel) and channel not in snapshot.internal  # which is 0.1 s old
        ]
        there = node.live.exist([channel for _, channel in unseen])
        for (session, _), is_there in zip(unseen, there, strict=True):
            if not is_there:
                self.audio_ended(session)
        for session in here:
            if session.plan.leg_id and session.plan.leg_id not in snapshot.channels:
                self.audio_ended(session)
        return [channel for session in here for channel in session.channels]

    def _clean_up(self, ctx: Context, node: Node, exists: Callable[[str], bool]) -> None:
        """Take away the bugs of forks whose session is over."""
        for body in ctx.state.items(attaching.KIND):
            if body["node"] != node.name or body["session"] in self._live:
                continue
            there = exists(body["leg_id"])
            if there and not node.facts.forks:
                continue
            if there:
                node.live.stop_fork(body["leg_id"], body["bug"])
            ctx.state.forget_item(attaching.KIND, body["bug"])

    def forks_gone(self, node: Node) -> None:
        """The switch has unloaded mod_audio_fork."""
        node.facts.forks = False  # until it is asked again
        for session in self:
            if session.node is node and any(isinstance(one, Fork) for one in session.ways.attachments):
                self.end(session, SWITCH)

    def forks_back(self, ctx: Context, node: Node) -> None:
        """It has loaded it."""
        node.facts.forks = True
        self._clean_up(ctx, node, lambda leg_id: ctx.legs.find(leg_id) is not None)

    def stop(self) -> None:
        """The service stops: nothing is left on the switch, and the workers end."""
        self._stopped = True
        for session in self:
            self._finish(session, End(reason=CLOSED))
        self.pool.stop()


def _end(session: Session, message: Closed) -> End:
    return End(
        reason=session.reason or message.reason,
        error=message.error,
        category=message.category,
        figures=message.figures,
    )


def _node(ctx: Context, leg: Leg | None, room: Room | None) -> Node:
    """The switch of a leg and a room. NotSupported when they are on different ones."""
    one = leg or room
    node = ctx.node(one) if one and one.node else ctx.nodes.available
    if room is not None:
        if room.node and ctx.node(room) is not node:
            raise NotSupported(f"room {room.id} is on another switch")
        lifecycle.room_on(ctx, room, node.name)
    return node
