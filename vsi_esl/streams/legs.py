"""Legs whose peer speaks over a WebSocket.

A session of live audio has the place of the peer: its task has the connection, and on the switch the leg is
one half of a pair of channels whose other half brings the audio to the task. The end of either is the leg's,
and the switch's report of the channel's end is its last event, as with every leg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent
import structlog

from ..calls import endings, lifecycle, placement, texts
from ..calls.context import Context
from ..calls.nodes import Node
from ..errors import Conflict, SwitchUnavailable, VsiError
from ..later import Within
from ..live.plan import End, Hears, Plan, Speaks
from ..live.session import Session
from ..live.sessions import Sessions
from ..model.leg import CONNECTED, Leg
from ..model.owner import of_leg
from ..switch.snapshot import Snapshot
from ..work import clock
from .settings import StreamSettings
from .wire import Wire

log = structlog.get_logger(__name__)

KIND = TASK = "websocket"
LOST = "ws_error"
"""The connection is gone for a reason of ours: with its worker, or with the service."""
NO_MEDIA = "connect_failed"
"""The switch did not make the channel."""
CANCELLED = "cancelled"
ATTACHED_S = 5.0
"""How long the audio may take that is being attached anew."""
ATTACHED_TICK_S = 0.2
STOP_S = 1.0
"""How long a service that stops waits for the ends of legs."""
DIAL_S = 60.0
"""How long an opening may take at most; the ring timeout may be longer."""


@dataclass(slots=True)
class Peer:
    """The other side of one leg."""

    leg: Leg
    session: Session | None = None
    open: bool = False
    """Its connection is there, and so is the audio: the leg is to be answered."""
    over: str = ""
    """Why it is gone, by its task."""


class Peers:
    """All of a service, by the ids of their legs. Had by `ctx.get(Peers)`."""

    def __init__(self) -> None:
        self._by_leg: dict[str, Peer] = {}

    def __len__(self) -> int:
        return len(self._by_leg)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._by_leg.values()))

    def __contains__(self, leg_id: str) -> bool:
        return leg_id in self._by_leg

    def find(self, leg_id: str) -> Peer | None:
        return self._by_leg.get(leg_id)

    def add(self, peer: Peer) -> None:
        self._by_leg[peer.leg.id] = peer

    def remove(self, peer: Peer) -> None:
        if self._by_leg.get(peer.leg.id) is peer:
            del self._by_leg[peer.leg.id]


def appear(ctx: Context, leg: Leg) -> None:
    """Announce a new leg, durable before, with the room that it is to join. Raises as `placement.keep_new`;
    then there is none."""
    placement.keep_new(ctx, leg)
    lifecycle.appeared(ctx, leg)


def begin(ctx: Context, leg: Leg, wire: Wire, **parameters: Any) -> Session:
    """Begin the session in the place of the leg's peer, which announces what becomes of the leg. When it
    cannot be begun, whatever went wrong, the leg ends, and that is raised."""
    peer = Peer(leg)
    peers = ctx.get(Peers)
    peers.add(peer)
    settings = ctx.config.section(StreamSettings)
    plan = Plan(
        kind=KIND,
        task=TASK,
        parameters={
            "wire": wire.format,
            "rate": wire.rate,
            "texts": True,
            # in no room there is nothing to hear but what is played to it
            "running": False,
            "sounds": True,
            "read_s": settings.read_timeout,
            "write_s": settings.write_timeout,
            **parameters,
        },
        hears=Hears.PEER,
        speaks=Speaks.AS_PEER,
        heard_at=wire.rate,
        rate=wire.channel_rate,
        leg_id=leg.id,
        owner=of_leg(leg.id),
        on_report=partial(_reported, ctx, peer),
        on_closed=partial(_closed, ctx, peer),
    )
    try:
        peer.session = ctx.get(Sessions).begin(ctx, plan)
    except Exception:
        peers.remove(peer)
        leg.dialling = False
        lifecycle.disconnected(ctx, leg, leg.ending or NO_MEDIA, clock.now())
        raise
    return peer.session


def _reported(ctx: Context, peer: Peer, what: str, data: dict[str, Any]) -> None:
    if what == "open":
        peer.open = True
        ctx.workers.submit(peer.leg.id, _answer, ctx, peer)
    elif what == "text":
        _heard(ctx, peer.leg, data["text"])
    elif what == "over":
        peer.over = data["reason"]


def _answer(ctx: Context, peer: Peer) -> None:
    """Have the switch take the leg for answered, which it reports."""
    leg, session = peer.leg, peer.session
    gone = leg.ending or ctx.legs.find(leg.id) is not leg
    if gone or session is None or session.over or leg.state == CONNECTED:
        return
    node = ctx.node(leg)
    losses = node.losses
    try:
        with Within(ATTACHED_S, Conflict("its audio does not come")):
            while not session.attached.wait(ATTACHED_TICK_S):
                pass  # each time that it is attached anew there is another to be waited for
        if not session.channels:
            raise Conflict("its channel is being made anew")
        node.live.answer_as_peer(session.channels[0])
    except VsiError as error:
        if isinstance(error, SwitchUnavailable) and node.lost_since(losses):
            if node.ready:  # it is back already; else `adopt` comes to it
                ctx.workers.submit(leg.id, _answer, ctx, peer)
            return
        log.warning("leg not connected", leg_id=leg.id, error=error.message)
        endings.hang_up(ctx, leg, NO_MEDIA)


def _closed(ctx: Context, peer: Peer, end: End) -> None:
    ctx.get(Peers).remove(peer)
    leg = peer.leg
    if ctx.legs.find(leg.id) is not leg:
        return
    if peer.session is not None and peer.session.untouched:
        # no channel will come, whose end the switch could report
        leg.dialling = False
        lifecycle.disconnected(ctx, leg, leg.ending or _reason(peer, end), clock.now())
    elif end.reason == "switch" and not peer.over and not leg.ending:
        ctx.switch(leg).end(leg.id)  # if it is there still; why it ended, the switch says, or its restart
    elif not leg.ending:
        gevent.spawn(endings.hang_up, ctx, leg, _reason(peer, end))


def _reason(peer: Peer, end: End) -> str:
    if peer.over:
        return peer.over
    return LOST if peer.leg.state == CONNECTED or end.reason == "worker" else NO_MEDIA


# -- texts -----------------------------------------------------------------------------------------------


def _heard(ctx: Context, leg: Leg, text: str) -> None:
    """A text of the peer's."""
    if text and leg.accept_rtt and not leg.ending:
        texts.received(ctx, leg, text)


def send(ctx: Context, leg: Leg, text: str) -> bool:
    """A text to the peer; False when it is not connected, or is none of ours."""
    peer = ctx.get(Peers).find(leg.id)
    if peer is None or peer.session is None or leg.state != CONNECTED:
        return False
    peer.session.tell("text", text)
    return True


# -- what it hears ---------------------------------------------------------------------------------------


def entered(ctx: Context, leg: Leg) -> None:
    """In its room, or where it is alone to hear something."""
    _run(ctx, leg, True)


def left(ctx: Context, leg: Leg, conference: str) -> None:
    _run(ctx, leg, False)


def _run(ctx: Context, leg: Leg, running: bool) -> None:
    peer = ctx.get(Peers).find(leg.id)
    if peer is not None and peer.session is not None:
        peer.session.tell("running", running)


# -- what happens to the service and its switches --------------------------------------------------------


def adopt(ctx: Context, node: Node, snapshot: Snapshot) -> Iterable[str]:
    """The process before had the connections of those legs that we do not: they are over. Others may have
    become ready meanwhile."""
    peers = ctx.get(Peers)
    for peer in peers:
        if peer.open and ctx.node(peer.leg) is node:
            ctx.workers.submit(peer.leg.id, _answer, ctx, peer)
    _end_without_peer(ctx, lambda leg: leg.id not in peers and ctx.node(leg) is node)
    return ()


def _end_without_peer(ctx: Context, chosen: Callable[[Leg], bool]) -> None:
    lost = [leg for leg in ctx.legs.everyone() if leg.peer_is_ours and not leg.unseen and chosen(leg)]
    if lost:
        gevent.spawn(endings.hang_up_all, ctx, lost, LOST)


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which ends the legs whose connections are ours."""
    peers = ctx.get(Peers)
    for peer in peers:
        if ctx.node(peer.leg) is node:
            peers.remove(peer)


def stop(ctx: Context) -> None:
    """The connections end with the process, and the legs with them."""
    by_node: dict[str, list[Leg]] = {}
    for peer in ctx.get(Peers):
        if not peer.leg.ending:
            by_node.setdefault(peer.leg.node, []).append(peer.leg)
    ending = [
        gevent.spawn(endings.hang_up_all, ctx, some, reason)
        for legs in by_node.values()
        for some, reason in (
            ([leg for leg in legs if leg.state == CONNECTED], LOST),
            ([leg for leg in legs if leg.state != CONNECTED], CANCELLED),
        )
    ]
    gevent.joinall(ending, timeout=STOP_S)
    with gevent.Timeout(STOP_S, False):
        while any(leg.peer_is_ours for leg in ctx.legs.everyone()):
            gevent.sleep(0.02)
