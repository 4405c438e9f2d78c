"""All live sessions of a service: begun, told things, ended; each with a media worker on one side and the
switch on the other. What happens to the legs, rooms and switches that they are of is in `following`.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import gevent
import structlog
from gevent.event import AsyncResult, Event

from ..calls import choosing, lifecycle
from ..calls.context import Context
from ..calls.nodes import Node
from ..config.settings import MediaSettings
from ..errors import CompanionAway, Conflict, LegGone, NotSupported, SwitchUnavailable, Unavailable, VsiError
from ..later import Within, later
from ..media.messages import Close, Closed, Open, Opened, Renew, Report
from ..model.leg import Leg
from ..model.owner import Owner
from ..model.room import Room
from . import attaching
from .attaching import Fork, Ways
from .figures import Figures
from .plan import End, Hears, Plan, Speaks
from .pool import Pool, Worker
from .process import MediaWorker
from .session import CLOSED, OWNER, REFUSED, SWITCH, WORKER, Session

log = structlog.get_logger(__name__)

OPEN_TIMEOUT_S = 25.0
"""For the worker's answer; it may be starting."""
PATIENCE_S = 10.0
"""How long the worker waits for the switch to bring the audio. An internal channel that goes astray twice
takes 4 s, and a switch with all cores busy as long for the commands."""
AGAIN_S = 1.5
"""One that was attached anew is so once more when it has no audio after so long, or has lost it before: a
channel whose codec is just being changed drops a fork that the switch has said yes to."""
MOST_AGAIN = 2
"""For one change."""
CLOSE_TIMEOUT_S = 2.0
"""How long the worker may take to close a session beyond what it was given."""
OWNER_GRACE_S = 0.5
"""How long the end of a leg may be on its way when what brings its audio has ended."""
MOST_WORKERS = 4


def workers_of(settings: MediaSettings) -> int:
    """How many workers there may be."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.workers or min(MOST_WORKERS, cores)


class Sessions:
    """Had by `ctx.get(Sessions)`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._live: dict[str, Session] = {}
        make = partial(MediaWorker, log_level=ctx.config.log.level)
        self.pool = Pool(workers_of(ctx.config.media), self._heard, self._lost, make)
        self._beside: dict[str, Pool] = {}
        """Those of switches on other machines, by the switch."""
        self.figures = Figures(ctx.metrics)
        self._stopped = False

    # -- for features ------------------------------------------------------------------------------------

    def begin(self, ctx: Context, plan: Plan) -> Session:
        """Begin a session: returns at once, all else is told by the plan's callbacks. Raises NotFound when
        there is no such leg or room, Conflict when the leg has no media, NotSupported (501) when the switch
        lacks what it takes, Unavailable (503) when there are too many or no worker (CompanionAway where they
        are on another machine), SwitchUnavailable when
        the switch is away. `on_closed` is not called then."""
        leg = ctx.legs.get(plan.leg_id) if plan.leg_id else None
        room = ctx.rooms.lasting(plan.room_id) if plan.room_id else None
        if (plan.hears is Hears.LEG or plan.speaks is Speaks.TO_LEG) and not (leg and leg.has_media):
            raise Conflict("the leg has no media")
        node = _node(ctx, leg, room)
        if not node.ready:
            raise SwitchUnavailable(f"not connected to the switch: {node.last_error}")
        pool = self._pool_of(node)
        session_id = f"lv-{secrets.token_hex(6)}"
        ways = Ways(plan, leg, room, session_id if node.facts.forks else "")
        if any(not isinstance(one, Fork) for one in ways.attachments):
            node.require("mod_loopback")
        settings = ctx.config.media
        self.admit()
        worker = pool.take(session_id)
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

    def admit(self) -> None:
        """Raise Unavailable (503) when there are too many for one more."""
        if len(self._live) >= self._ctx.config.media.max_sessions or self._stopped:
            self.figures.refused += 1
            raise Unavailable("too many sessions of live audio")

    def prepare(self, node: Node) -> None:
        """A session will be begun soon on this switch, and is not to wait for a worker then."""
        with suppress(CompanionAway):
            self._pool_of(node).prepare()

    def _pool_of(self, node: Node) -> Pool:
        """The workers where the audio of a switch is. Raises CompanionAway when they are out of reach."""
        if node.share.companion is None:
            return self.pool
        node.host.require()
        pool = self._beside.get(node.name)
        if pool is None:
            from .beside import Beside  # noqa: PLC0415  (only where there is a companion)

            pool = self._beside[node.name] = Beside(node, self._ctx.config.log.level).pool(
                self._heard, self._lost
            )
        return pool

    @property
    def pools(self) -> list[Pool]:
        """Of all machines."""
        return [self.pool, *self._beside.values()]

    def stop(self) -> None:
        """The service stops: nothing is left on the switch, and the workers end."""
        self._stopped = True
        for session in self:
            self.finish(session, End(reason=CLOSED))
        for pool in self.pools:
            pool.stop()

    def forget(self, node: Node) -> None:
        """The switch is another service's now: its sessions are over, without a word to the switch or to
        whose they are. Workers beside it have ended with the connection to them."""
        for session in self:
            if session.node is not node:
                continue
            del self._live[session.id]
            session.over = True
            if session.deadline is not None:
                session.deadline.kill(block=False)
            session.worker.sessions.discard(session.id)
            session.worker.send(Close(session=session.id))
            if not session.opened.ready():
                session.opened.set(None)
            session.done.set(End(reason=CLOSED))
        if (beside := self._beside.get(node.name)) is not None:
            beside.lose_all()

    def of(self, owner: Owner) -> list[Session]:
        """Those of a leg or room."""
        return [one for one in self if one.plan.owner == owner]

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._live.values()))

    def __len__(self) -> int:
        return len(self._live)

    # -- the life of one ---------------------------------------------------------------------------------

    def _attach(self, ctx: Context, session: Session) -> None:
        losses = session.node.losses
        try:
            with Within(OPEN_TIMEOUT_S, Unavailable("the media worker did not open the session")):
                opened = session.opened.get()
            if opened is not None and not session.over:
                attaching.attach_all(ctx, session, opened)
            session.attaching = False
            if session.stale:
                self.renew(ctx, session)
            elif session.renewals and session.again < MOST_AGAIN:
                later(AGAIN_S, self._no_audio_yet, session, session.renewals)
        except VsiError as error:
            self._not_attached(ctx, session, error, losses)
        except Exception:
            log.exception("live session not attached", session=session.id, session_kind=session.plan.kind)
            self.finish(session, End(reason=REFUSED, error="internal error"))

    def _not_attached(self, ctx: Context, session: Session, error: VsiError, losses: int) -> None:
        """`losses` of the switch's connection there had been when it was begun."""
        if session.over:
            return
        node = session.node
        if isinstance(error, SwitchUnavailable) and node.lost_since(losses):
            # the call goes on, and so does the task
            session.attaching, session.stale = False, True
            if node.ready:  # it is back already; else `following` has it attached when it is
                self.renew(ctx, session)
            return
        reason = REFUSED
        if isinstance(error, LegGone):
            reason = OWNER
        elif isinstance(error, SwitchUnavailable):
            reason = SWITCH
        log.warning(
            "live session not begun", session=session.id, session_kind=session.plan.kind, error=error.message
        )
        self.finish(session, End(reason=reason, error=error.message))

    def end(self, session: Session, reason: str, grace_s: float = 0.0) -> None:
        """Have a session end, for a reason of ours; the first one counts."""
        if session.over or session.id not in self._live:
            return
        session.over, session.reason = True, reason
        if session.closed is not None:
            self.finish(session, session.ended_by(session.closed))
            return
        self._detach(session)
        session.worker.send(Close(session=session.id, grace_s=grace_s))
        late = End(reason=reason, error="the media worker did not close it")
        session.deadline = later(grace_s + CLOSE_TIMEOUT_S, self.finish, session, late)

    def _detach(self, session: Session) -> None:
        for attachment in session.ways.attachments:
            attachment.detach(self._ctx, session)

    def finish(self, session: Session, end: End) -> None:
        """It is over, at once, and once only."""
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

    def renew(self, ctx: Context, session: Session) -> None:
        """Attach one anew; its task goes on."""
        plan, settings = session.plan, ctx.config.media
        if session.over or session.reason:
            return
        self._detach(session)
        session.renewals += 1
        session.renewed_at = time.monotonic()
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

    def _no_audio_yet(self, session: Session, number: int) -> None:
        """Some time after it was renewed for the `number`th time."""
        if session.renewals == number and not session.attached.is_set() and session.node.ready:
            self._renew_again(session)

    def _lost_at_once(self, session: Session) -> bool:
        """The switch has ended what brings its audio. Whether that is because it was only just attached."""
        just_now = time.monotonic() - session.renewed_at < AGAIN_S
        return bool(session.renewals) and just_now and self._renew_again(session)

    def _renew_again(self, session: Session) -> bool:
        if session.id not in self._live or session.over or session.reason or session.again >= MOST_AGAIN:
            return False
        log.warning("live session attached once more", session=session.id, session_kind=session.plan.kind)
        session.again += 1
        if session.attaching:
            session.stale = True
        else:
            self.renew(self._ctx, session)
        return True

    # -- what workers say --------------------------------------------------------------------------------

    def _heard(self, worker: Worker, message: Any) -> None:
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
            if not (session.over or self._lost_at_once(session)):
                self.audio_ended(session)
        elif message.what != "renewed":  # the ways are no matter of the task's
            session.plan.on_report(message.what, message.data)

    def _closed(self, session: Session, message: Closed) -> None:
        if session.reason and not session.over:
            session.closed = message  # it ran out of audio; `audio_ended` waits for why
        else:
            self.finish(session, session.ended_by(message))

    def _lost(self, worker: Worker) -> None:
        for session in self:
            if session.worker is worker:
                self.finish(session, End(reason=session.reason or WORKER, error="the media worker died"))

    def audio_ended(self, session: Session) -> None:
        """What brought its audio or took it has ended, and not by us. With its leg, mostly, whose end is
        then about to be told."""
        session.reason = session.reason or SWITCH
        later(OWNER_GRACE_S, self._end_without_audio, session)

    def _end_without_audio(self, session: Session) -> None:
        if session.reason:  # else it has been attached anew
            self.end(session, SWITCH)


def _node(ctx: Context, leg: Leg | None, room: Room | None) -> Node:
    """The switch of a leg and a room. NotSupported when they are on different ones."""
    one = leg or room
    node = ctx.node(one) if one and one.node else choosing.for_leg(ctx, room)
    if room is not None:
        if room.node and ctx.node(room) is not node:
            raise NotSupported(f"room {room.id} is on another switch")
        lifecycle.room_on(ctx, room, node.name)
    return node
