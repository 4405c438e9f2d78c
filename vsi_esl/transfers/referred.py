"""A peer sends a REFER (RFC 3515): who decides on it, and what becomes of it when leg or service end."""

from __future__ import annotations

import structlog

from ..calls.context import Context
from ..calls.moments import Awaited, Signal
from ..calls.nodes import Node
from ..errors import VsiError
from ..model.leg import CONNECTED, Leg
from ..switch.lines.referred import Status
from ..work import clock
from . import autodial, deciding, lost, referto, reporting
from .referto import ReferTo
from .requests import (
    DECIDING,
    DIALLING,
    KIND,
    WAITING,
    Request,
    Requests,
    add,
    drop,
    failed,
    told,
)
from .settings import TransferSettings

log = structlog.get_logger(__name__)

BAD, PENDING = Status(400, "Bad Request"), Status(491, "Request Pending")
TOO_LONG = Status(513, "Message Too Large")
SAME_MESSAGE_S = 0.5
"""How long after the CSeq its Refer-To is of the same REFER; they come at once."""


def signalled(ctx: Context, leg: Leg, signal: Signal) -> None:
    """A SIP message of the leg's peer. Headers come in its order: of nearly every REFER the CSeq first."""
    is_refer = signal.message.startswith("REFER ")
    if is_refer and signal.header == "Refer-To":
        _refer(ctx, leg, signal.value, signal.bonded)
    elif signal.header == "CSeq" and is_refer:
        number = signal.value.partition(" ")[0]
        if number.isascii() and number.isdigit():
            ctx.get(Requests).numbers[leg.id] = int(number[:10]), clock.happened()
    elif signal.header == "CSeq" and signal.message.startswith("SIP/2.0 "):
        ctx.node(leg).waits.fulfil("request answered", leg.id)


def _refer(ctx: Context, leg: Leg, header: str, held: bool) -> None:
    number, seen_at = ctx.get(Requests).numbers.pop(leg.id, (0, 0.0))
    if clock.happened() > seen_at + SAME_MESSAGE_S:
        number = 0
    asked = referto.parse(header)
    if asked is None:
        _unreadable(ctx, leg, header, held)
    elif asked.replaces is not None:
        # whose call that is, the switch may have to be asked
        ctx.workers.submit(reporting.worker_of(leg.id), _consulted, ctx, leg, asked, number, held)
    else:
        _asked(ctx, leg, asked, number, held)


def _unreadable(ctx: Context, leg: Leg, header: str, held: bool) -> None:
    """One of which nobody can say whom to call: an address that is cut may be another one."""
    if not held:
        return
    cut = referto.is_cut(header)
    log.warning(
        "a REFER is refused", leg_id=leg.id, why="Refer-To too long" if cut else "Refer-To unreadable"
    )
    _takes_the_place(ctx, leg)
    reporting.refuse(ctx, leg, TOO_LONG if cut else BAD)


def _takes_the_place(ctx: Context, leg: Leg) -> None:
    """Of one that waits the switch has let go: only the last one can be answered."""
    before = ctx.get(Requests).of_leg.get(leg.id)
    if before is not None and before.state in (WAITING, DECIDING) and drop(ctx, before):
        failed(ctx, leg, error="another REFER has taken its place")


def _consulted(ctx: Context, leg: Leg, asked: ReferTo, number: int, held: bool) -> None:
    for other in ctx.legs:
        if other.call_id and not other.local_tag and other.call_id == asked.replaced_call:
            try:
                ctx.node(other).refers.learn_tag(other)
            except VsiError as error:
                log.warning("not known whose call a REFER replaces", leg_id=leg.id, error=error.message)
    if reporting.is_there(ctx, leg):
        _asked(ctx, leg, asked, number, held)


def _asked(ctx: Context, leg: Leg, asked: ReferTo, number: int, held: bool) -> None:
    requests, settings = ctx.get(Requests), ctx.config.section(TransferSettings)
    if held:
        _takes_the_place(ctx, leg)
    before = requests.of_leg.get(leg.id)
    asks = settings.auto_dial or settings.consult_timeout_ms > 0
    if held and asks and before is None and leg.state == CONNECTED:
        deadline = clock.now() + settings.consult_timeout_ms / 1000
        request = Request(leg.id, asked.target, asked.replaces, number, deadline)
        if settings.auto_dial:
            request.state = DIALLING
        add(ctx, request)
        if settings.auto_dial:
            ctx.workers.submit(reporting.worker_of(leg.id), autodial.begin, ctx, leg, request)
        else:
            deciding.ask(ctx, request)
            told(ctx, leg, asked, declined=False)
        return
    if held:  # else the switch has refused it by itself, for want of the leg's partner
        reporting.refuse(ctx, leg, PENDING if before is not None else reporting.DECLINED)
    told(ctx, leg, asked, declined=True)


def ended(ctx: Context, leg: Leg, room_id: str) -> list[Awaited]:
    """A leg has ended: its peer waits for nothing any more. A call that is being dialled for it goes on."""
    requests = ctx.get(Requests)
    requests.numbers.pop(leg.id, None)
    request = requests.of_leg.get(leg.id)
    if request is not None and request.state != DIALLING:
        waited = request.state in (WAITING, DECIDING)
        if drop(ctx, request) and waited:
            failed(ctx, leg, error="the call has ended")
    return autodial.ended(ctx, leg)


def restore(ctx: Context) -> None:
    """At start: those of the process before."""
    for body in ctx.state.items(KIND):
        request = Request.recalled(body)
        ctx.get(Requests).of_leg[request.leg_id] = request


def readopt(ctx: Context, node: Node) -> None:
    """After each connect to a switch: those of its legs go on."""
    for request in list(ctx.get(Requests).of_leg.values()):
        leg = ctx.legs.find(request.leg_id)
        if leg is not None and ctx.node(leg) is not node:
            continue
        if leg is not None and request.last_cseq and leg.own_cseq <= 0:
            lost.ask_later(ctx, leg)
        if request.state == DIALLING:
            autodial.readopt(ctx, leg, request)
        elif leg is None:
            drop(ctx, request)
        elif request.state == WAITING:
            deciding.ask(ctx, request)


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which has the REFERs of its legs."""
    requests = ctx.get(Requests)
    for request in list(requests.of_leg.values()):
        leg = ctx.legs.find(request.leg_id)
        if leg is not None and ctx.node(leg) is node:
            del requests.of_leg[request.leg_id]
            requests.numbers.pop(request.leg_id, None)
