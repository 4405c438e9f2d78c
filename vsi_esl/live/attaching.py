"""What is done on the switch so that a session hears and is heard: each way of it, begun and undone.

A leg is heard by a fork (mod_audio_fork), or where the switch has none, by a pair of internal channels whose
far end listens to it. Everything else is such a pair: its far end is a member of a room, or whispers to a
leg, and the near end's audio goes to and comes from the session's worker by UDP.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.event import AsyncResult

from ..calls import dialling, internal, routing
from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import Internal, LegGone, SwitchUnavailable, VsiError
from ..later import Within
from ..media.messages import FORK, UNICAST, Ear, Mouth, Opened
from ..model.leg import EARLY_MEDIA, Leg
from ..model.room import Room
from ..switch.lines.live import FORK_RATE
from .plan import Hears, Plan, Speaks

if TYPE_CHECKING:
    from .session import Session

log = structlog.get_logger(__name__)

KIND = "live"
"""Of what is remembered of forks: a bug of a service that was killed stays on its leg."""
CONNECTED_BY_S = 2.0
"""By then a fork is connected, or never will be: it is on this machine."""
LEG_TIMEOUT_S = 15.0
OTHER_HALF = "other half"
"""What is waited for of a pair: that its far end waits parked (`translate.legs`)."""


class Attachment(ABC):
    """One way to or from a session."""

    channel = ""
    """The internal channel whose end is its end."""
    leg: Leg | None = None
    """The leg that it is about."""
    up = False
    asked = False
    """Its `attach` was called: there is, or was, something of it on the switch."""

    @abstractmethod
    def attach(self, ctx: Context, session: Session, opened: Opened) -> None:
        """Do it; waits for the switch. Raises VsiError, and LegGone when the leg has ended."""

    @abstractmethod
    def detach(self, ctx: Context, session: Session) -> None:
        """Undo it, also what is under way. Does not wait, and does not fail."""


class Fork(Attachment):
    """What a leg says, by mod_audio_fork."""

    leg: Leg

    def __init__(self, leg: Leg, bug: str) -> None:
        self.leg = leg
        self.bug = bug
        self._asked = gevent.event.Event()
        self._begun = False
        self._attached = gevent.event.Event()

    def attach(self, ctx: Context, session: Session, opened: Opened) -> None:
        if session.over:
            return
        self._begun, self._attached = True, session.attached
        kept = {"bug": self.bug, "leg_id": self.leg.id, "node": session.node.name}
        ctx.state.save_item(KIND, self.bug, kept)
        try:
            session.node.live.fork(self.leg, opened.url, self.bug)
            self.up = True
        except Internal:
            ctx.state.forget_item(KIND, self.bug)
            self._begun = False
            if not ctx.switch(self.leg).is_up(self.leg):
                raise LegGone(f"leg {self.leg.id} has been hung up") from None
            raise
        finally:
            self._asked.set()

    def detach(self, ctx: Context, session: Session) -> None:
        if not self._begun:
            return
        if self.up and self._attached.is_set():
            forget(ctx, session.node, self.leg.id, self.bug)
        else:
            gevent.spawn(self._stop, ctx, session)
        self.up = False

    def _stop(self, ctx: Context, session: Session) -> None:
        """A fork that is stopped before it has connected connects all the same, and stays."""
        self._asked.wait(LEG_TIMEOUT_S)
        self._attached.wait(CONNECTED_BY_S)
        forget(ctx, session.node, self.leg.id, self.bug)


def forget(ctx: Context, node: Node, leg_id: str, bug: str) -> None:
    """Take a fork's bug from its leg. When the switch or the module is away, that is done when it is back."""
    if ctx.legs.find(leg_id) is not None:
        if not (node.takes_posts and node.facts.forks):
            return
        node.live.stop_fork(leg_id, bug)
    ctx.state.forget_item(KIND, bug)


class Pair(Attachment):
    """A pair of internal channels."""

    rate = 0

    def __init__(self, *, mouth_apart: bool = False) -> None:
        self._mouth_apart = mouth_apart

    def attach(self, ctx: Context, session: Session, opened: Opened) -> None:
        def make(channel: str) -> None:
            self.channel = channel
            self.make(ctx, session, channel)

        internal.place(session.node, session.id, make, lambda: not session.over)
        port = opened.mouth_port if self._mouth_apart else opened.port
        session.node.live.unicast(self.channel, port)
        self.up = True

    @abstractmethod
    def make(self, ctx: Context, session: Session, channel: str) -> None:
        """Have the switch make it, with this id."""

    def detach(self, ctx: Context, session: Session) -> None:
        self.up = False
        if self.channel:
            session.node.sound.dismiss(self.channel)


class InRoom(Pair):
    """A member of a room."""

    def __init__(self, room: Room, *, hears: bool, speaks: bool, mouth_apart: bool = False) -> None:
        super().__init__(mouth_apart=mouth_apart)
        self._room, self._hears, self._speaks = room, hears, speaks
        self.rate = room.sample_rate

    def make(self, ctx: Context, session: Session, channel: str) -> None:
        session.node.live.room_pair(
            channel, self._room.conference, self.rate, speaks=self._speaks, hears=self._hears
        )


class OtherHalf(Attachment):
    """A pair of internal channels with the near end where it is needed, and the other half's audio brought
    here: for what is told apart from others there, by its channel or its number."""

    rate = 0

    def attach(self, ctx: Context, session: Session, opened: Opened) -> None:
        other = self.make(ctx, session)
        if session.over:
            return
        # of a parked channel that has no media yet, the switch would not survive it
        session.node.live.unicast(other, opened.port)
        self.up = True

    @abstractmethod
    def make(self, ctx: Context, session: Session) -> str:
        """Have the switch make it; the id of the half that waits parked, with media."""


class AsPeer(OtherHalf):
    """The leg's channel, with the session in the place of its peer. It ends as the leg does."""

    leg: Leg

    def __init__(self, leg: Leg, rate: int) -> None:
        self.leg = leg
        self.rate = rate

    def make(self, ctx: Context, session: Session) -> str:
        leg, node = self.leg, session.node
        try:
            with node.waits.expect(OTHER_HALF, leg.id) as other:
                if session.renewals:
                    # made over a connection that was lost; the switch would take its id for another's
                    node.live.park_peer_again(leg)
                else:
                    node.live.leg_as_pair(leg, self.rate)
                self.channel = _in_time(other)
        finally:
            dialling.parked(ctx, leg)
        return self.channel

    def detach(self, ctx: Context, session: Session) -> None:
        self.up = False
        if not self.asked:
            dialling.parked(ctx, self.leg)  # there will be no channel


class Stranger(OtherHalf):
    """A member of a room that legs with a row in its routing do not hear."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._member = ""
        self.rate = room.sample_rate

    def make(self, ctx: Context, session: Session) -> str:
        room, node = self._room, session.node
        others: dict[str, AsyncResult[str]] = {}

        def make(channel: str) -> None:
            self.channel = channel
            with node.waits.expect(OTHER_HALF, channel) as other:
                node.live.into_room(channel, room.conference, room.sample_rate, speaks=False)
                _in_time(other)
                others[channel] = other

        self.channel, self._member = internal.place(node, session.id, make, lambda: not session.over)
        room.strangers.add(self._member)
        if room.matrix:
            routing.apply(ctx, room)
        node.live.speak(room.conference, self._member)
        other: str = others[self.channel].get()
        return other

    def detach(self, ctx: Context, session: Session) -> None:
        self.up = False
        self._room.strangers.discard(self._member)
        if self.channel:
            session.node.sound.dismiss(self.channel)


def _in_time(other: AsyncResult[str]) -> str:
    late = SwitchUnavailable("the switch did not report the internal channel")
    with Within(internal.ARRIVAL_TIMEOUT_S, late):
        found: str = other.get()
        return found


class OfLeg(Pair):
    """One that is about a leg; done by the leg's worker, behind what it is doing."""

    leg: Leg

    def __init__(self, leg: Leg, *, mouth_apart: bool = False) -> None:
        super().__init__(mouth_apart=mouth_apart)
        self.leg = leg
        self.rate = leg.channel.rate

    def attach(self, ctx: Context, session: Session, opened: Opened) -> None:
        ctx.workers.run(self.leg.id, LEG_TIMEOUT_S, self._attach, ctx, session, opened)

    def _attach(self, ctx: Context, session: Session, opened: Opened) -> None:
        if session.over:
            return
        if ctx.legs.find(self.leg.id) is not self.leg or self.leg.ending:
            raise LegGone(f"leg {self.leg.id} has been hung up")
        self.prepare(ctx, session)
        super().attach(ctx, session, opened)

    def prepare(self, ctx: Context, session: Session) -> None:
        """What the leg needs for it."""


class Whisper(OfLeg):
    """To one leg, on top of whatever else it hears."""

    def prepare(self, ctx: Context, session: Session) -> None:
        leg = self.leg
        if leg.state == EARLY_MEDIA and not leg.channel.conference and not leg.sends_silence:
            ctx.switch(leg).wait_dialled(leg)
            session.node.sound.send_silence(leg)
            leg.sends_silence = True

    def attach(self, ctx: Context, session: Session, opened: Opened) -> None:
        super().attach(ctx, session, opened)
        if not session.over:
            ctx.moments.whispered(ctx, self.leg)

    def make(self, ctx: Context, session: Session, channel: str) -> None:
        session.node.live.whisper_pair(channel, self.leg, self.rate)


class Listen(OfLeg):
    """To what one leg says."""

    def make(self, ctx: Context, session: Session, channel: str) -> None:
        session.node.live.listen_pair(channel, self.leg, self.rate)


class Ways:
    """What a plan takes on a switch: the attachments, and what the worker is told of them."""

    def __init__(self, plan: Plan, leg: Leg | None, room: Room | None, bug: str) -> None:
        """`bug` names the fork of a switch that has them; without them it is empty."""
        self.attachments: list[Attachment] = []
        self.ear: Ear | None = None
        self._mouth_rate = 0
        self._mouth_apart = False
        half: OtherHalf | None = None
        if plan.speaks is Speaks.AS_PEER and leg is not None:
            half = AsPeer(leg, plan.rate)
        elif plan.speaks is Speaks.AS_STRANGER and room is not None:
            half = Stranger(room)
        if half is not None:
            self.attachments.append(half)
            self.ear = Ear(kind=UNICAST, rate=half.rate, heard_at=plan.heard_at)
            self._mouth_rate = half.rate
            return
        if plan.hears is Hears.ROOM and plan.speaks is Speaks.TO_ROOM and room is not None:
            both = InRoom(room, hears=True, speaks=True)
            self.attachments.append(both)
            self.ear, self._mouth_rate = Ear(kind=UNICAST, rate=both.rate), both.rate
            return
        self._hear(plan, leg, room, bug)
        self._speak(plan, leg, room)

    def _hear(self, plan: Plan, leg: Leg | None, room: Room | None, bug: str) -> None:
        if plan.hears is Hears.LEG and leg is not None:
            if bug:
                self.attachments.append(Fork(leg, bug))
                self.ear = Ear(kind=FORK, rate=FORK_RATE)
                return
            listen = Listen(leg)
            self.attachments.append(listen)
            self.ear = Ear(kind=UNICAST, rate=listen.rate)
        elif plan.hears is Hears.ROOM and room is not None:
            member = InRoom(room, hears=True, speaks=False)
            self.attachments.append(member)
            self.ear = Ear(kind=UNICAST, rate=member.rate)

    def _speak(self, plan: Plan, leg: Leg | None, room: Room | None) -> None:
        apart = self._mouth_apart = self.ear is not None and self.ear.kind == UNICAST
        if plan.speaks is Speaks.TO_LEG and leg is not None:
            pair: Pair = Whisper(leg, mouth_apart=apart)
        elif plan.speaks is Speaks.TO_ROOM and room is not None:
            pair = InRoom(room, hears=False, speaks=True, mouth_apart=apart)
        else:
            return
        self.attachments.append(pair)
        self._mouth_rate = pair.rate

    def mouth(self, lead_s: float, longest_s: float) -> Mouth | None:
        """What the worker is told of the way to the switch."""
        if not self._mouth_rate:
            return None
        return Mouth(
            rate=self._mouth_rate,
            apart=self._mouth_apart,
            lead_ms=round(lead_s * 1000),
            longest_s=longest_s,
        )


def attach_all(ctx: Context, session: Session, opened: Opened) -> None:
    """Do what a session takes on the switch, all of it at the same time. Raises the first VsiError."""
    failures: list[VsiError] = []

    def one(attachment: Attachment) -> None:
        if session.over:
            return
        attachment.asked = True
        try:
            attachment.attach(ctx, session, opened)
        except VsiError as error:
            failures.append(error)
        finally:
            if session.over:
                attachment.detach(ctx, session)  # it may have come all the same

    gevent.joinall([gevent.spawn(one, attachment) for attachment in session.ways.attachments])
    if failures:
        raise failures[0]
