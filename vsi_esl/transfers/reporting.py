"""What the peer is told of its REFER: the response, and the reports (RFC 3515, 2.4.4).

A REFER is answered at once, whatever else is done with the leg. Reports are sent by the leg's worker, in
order with what may have the switch send requests of its own: their numbers must not cross.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
from gevent.event import AsyncResult

from ..calls.context import Context
from ..errors import VsiError
from ..later import heard
from ..model.leg import Leg
from ..switch.actions import referred
from ..switch.lines.referred import Status
from . import lost
from .events import LegTransferCompleted
from .requests import KIND, Request, Requests, drop, failed, save

log = structlog.get_logger(__name__)

TRYING, RINGING, OK = Status(100, "Trying"), Status(180, "Ringing"), Status(200, "OK")
ACCEPTED, DECLINED = Status(202, "Accepted"), Status(603, "Decline")
FAILED = Status(500, "Server Error")
LAST_ANSWER_S = 1.0
"""For a peer to answer the last report."""
NUMBER_TIMEOUT_S = 2.0
"""For a peer to answer the request that makes the switch pass over a CSeq."""


def worker_of(leg_id: str) -> str:
    """The key of the worker that answers the leg's REFERs."""
    return f"{leg_id} {KIND}"


def refuse(ctx: Context, leg: Leg, status: Status) -> None:
    """Answer at once one that nobody is asked about: an undecided REFER leaves the peer waiting."""
    ctx.workers.submit(worker_of(leg.id), _refuse, ctx, leg, status)


def _refuse(ctx: Context, leg: Leg, status: Status) -> None:
    try:
        referred.respond(ctx.node(leg), leg, status)
    except VsiError as error:
        log.warning("REFER not declined", leg_id=leg.id, error=error.message)


def is_there(ctx: Context, leg: Leg) -> bool:
    """Whether there is somebody to be told."""
    return ctx.legs.find(leg.id) is leg and not leg.ending


def report(ctx: Context, leg: Leg, request: Request, status: Status) -> None:
    """Tell the peer how far it is."""
    ctx.workers.submit(leg.id, _report, ctx, leg, request, status)


def _report(ctx: Context, leg: Leg, request: Request, status: Status) -> None:
    if not is_there(ctx, leg):
        return
    node = ctx.node(leg)
    try:
        if not leg.local_tag:
            node.refers.learn_tag(leg)
        cseq = referred.report(
            node,
            leg,
            request.number,
            status,
            profile=node.settings.sofia_profile,
            cseq=request.last_cseq,
            answered=partial(_passed_over, ctx, leg),
        )
    except VsiError as error:
        log.warning("no report on a REFER", leg_id=leg.id, error=error.message)
        return
    if cseq:
        if leg.own_cseq == 0:  # else the peer has been asked something behind the report
            lost.ask_later(ctx, leg)
        request.last_cseq = cseq
        if ctx.get(Requests).has(request):
            save(ctx, request)


def _passed_over(ctx: Context, leg: Leg, number: int) -> None:
    with ctx.node(leg).waits.expect("request answered", leg.id) as answered:
        if leg.own_cseq < number:
            heard(answered, NUMBER_TIMEOUT_S)


def conclude(
    ctx: Context, leg: Leg, request: Request, status: Status, then: Callable[[], None] = lambda: None
) -> AsyncResult[None] | None:
    """Tell peer and clients how it ended, and do what follows from that: the result is there then. It is over
    at once; nothing is done when it was."""
    if not drop(ctx, request):
        return None
    work = partial(_conclude, ctx, leg, request, status)
    return ctx.workers.submit(leg.id, work, then)


def _conclude(ctx: Context, leg: Leg, request: Request, status: Status, then: Callable[[], None]) -> None:
    if not is_there(ctx, leg):
        return
    node = ctx.node(leg)
    lost.need_not_ask(ctx, leg)
    try:
        with node.waits.expect("request answered", leg.id) as answered:
            referred.conclude(node, leg, request.number, status)
            heard(answered, LAST_ANSWER_S)  # a hangup that follows would overtake it
    except VsiError as error:
        log.warning("no report on a REFER", leg_id=leg.id, error=error.message)
    if ctx.legs.find(leg.id) is not leg:
        return
    if 200 <= status.code < 300:
        ctx.emit(LegTransferCompleted.of(leg, status_code=status.code, reason=status.reason))
    else:
        failed(ctx, leg, status=status)
    then()
