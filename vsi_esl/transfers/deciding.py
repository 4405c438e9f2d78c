"""A REFER that clients are to decide on: asked, decided by one of them, or by nobody.

What is decided is taken down before anything waits, so that of two who decide at once one does.
"""

from __future__ import annotations

import structlog

from ..calls.context import Context
from ..errors import LegGone, NotFound, VsiError
from ..model.leg import Leg
from ..switch.actions import referred
from ..switch.lines.referred import Status
from ..work import clock
from . import reporting
from .requests import ACCEPTED, DECIDING, TIMER, WAITING, Request, Requests, drop, failed, save

log = structlog.get_logger(__name__)

RETRY_S = 1.0
"""After which a decision of nobody's is tried again that the switch could not be told."""


def ask(ctx: Context, request: Request) -> None:
    """Decline it when its time is over."""
    ctx.timers.at(request.leg_id, TIMER, request.deadline, _expired, ctx, request)


def _expired(ctx: Context, request: Request) -> None:
    if ctx.get(Requests).find(request.leg_id, WAITING) is not request:
        return
    log.info("a REFER is declined: nobody has decided", leg_id=request.leg_id)
    try:
        decline(ctx, request, reporting.DECLINED)
    except VsiError as error:
        log.warning("REFER not declined", leg_id=request.leg_id, error=error.message)


def decline(ctx: Context, request: Request, status: Status) -> None:
    """Decline one that waits. With BadArgument and SwitchUnavailable it waits on; NotFound when the leg is
    ending."""
    leg, sent = _answer(ctx, request, status)
    if drop(ctx, request):
        failed(ctx, leg, status=Status(sent, status.reason))


def accept(ctx: Context, request: Request) -> None:
    """Accept one that waits. Raises as `decline` does."""
    leg, _ = _answer(ctx, request, reporting.ACCEPTED)
    if ctx.get(Requests).has(request):
        ctx.timers.cancel(request.leg_id, TIMER)
        request.state = ACCEPTED
        save(ctx, request)
        reporting.report(ctx, leg, request, reporting.TRYING)


def _answer(ctx: Context, request: Request, status: Status) -> tuple[Leg, int]:
    request.state = DECIDING
    try:
        leg = ctx.legs.get(request.leg_id)
        return leg, referred.respond(ctx.node(leg), leg, status)
    except VsiError as error:
        request.state = WAITING
        if isinstance(error, LegGone):
            raise NotFound("leg not found") from None
        if ctx.get(Requests).has(request):  # its time may have ended meanwhile
            again = max(request.deadline, clock.now() + RETRY_S)
            ctx.timers.at(request.leg_id, TIMER, again, _expired, ctx, request)
        raise
