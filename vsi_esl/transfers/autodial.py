"""A REFER that is accepted without asking (SIP_REFER_AUTO_DIAL): the target is dialled, or, when it names
another call of the same peer with us, those whom the peer was talking to are brought together.

The new leg is in no room, as in the reference. The referrer is hung up when the new call is answered.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gevent
import structlog

from ..calls import endings
from ..calls.context import Context
from ..calls.moments import Awaited
from ..commands import create
from ..errors import Invalid, VsiError
from ..model.leg import CONNECTED, EARLY_MEDIA, Leg
from ..protocol import schemas
from ..switch.actions import referred
from ..switch.lines.referred import Status
from . import joining, reporting
from .referto import ReferTo, Replaces
from .reporting import conclude, is_there, report
from .requests import Request, Requests, drop, leg_of, save, told

log = structlog.get_logger(__name__)

TOLD_TIMEOUT_S = 2.0
"""How long the end of a leg that was dialled waits until the referrer was told of it."""
RING_LIMIT_S = 120
"""Longest ringing of the target; the peer waits for a report meanwhile."""
BAD_URI = Status(400, "Bad Refer-To URI")
TRANSFERRED = "transfer_completed"
NOT_DIALLED = "transfer_originate_failed"


def begin(ctx: Context, leg: Leg, request: Request) -> None:
    """Accept it, and do what it asks. Run by the worker that answers the leg's REFERs."""
    try:
        referred.respond(ctx.node(leg), leg, reporting.ACCEPTED)
    except VsiError as error:
        log.warning("REFER not answered", leg_id=leg.id, error=error.message)
        drop(ctx, request)
        return
    if not is_there(ctx, leg):
        drop(ctx, request)
        return
    told(ctx, leg, ReferTo(request.target, request.replaces), declined=False)
    replaced = leg_of(ctx, leg, request.replaces) if request.replaces is not None else None
    if replaced is not None:
        gevent.spawn(_join, ctx, leg, replaced, request)
    else:
        _dial(ctx, leg, request)


def _join(ctx: Context, leg: Leg, replaced: Leg, request: Request) -> None:
    if not joining.join(ctx, leg, replaced):
        conclude(ctx, leg, request, reporting.FAILED)
        return

    def both_are_over() -> None:
        for one in (leg, replaced):
            endings.hang_up(ctx, one, TRANSFERRED)

    conclude(ctx, leg, request, reporting.OK, both_are_over)


def _dial(ctx: Context, leg: Leg, request: Request) -> None:
    try:
        more = _replacing(request.replaces) if request.replaces is not None else {}
        new = create.call(ctx, _call(leg, request), more, failing_as=NOT_DIALLED)
    except Invalid as error:
        # its message quotes whom, as the peer has written it
        log.debug("what a REFER names cannot be dialled", leg_id=leg.id, error=error.message)
        conclude(ctx, leg, request, BAD_URI)
        return
    except VsiError as error:
        log.warning("what a REFER names is not dialled", leg_id=leg.id, error=error.message)
        conclude(ctx, leg, request, reporting.FAILED)
        return
    request.new_leg = new.id
    save(ctx, request)
    report(ctx, leg, request, reporting.TRYING)
    if new.state == CONNECTED:  # it was quicker than the disk
        _connected(ctx, leg, request)


def _call(leg: Leg, request: Request) -> dict[str, Any]:
    """The call as a `create_leg`, on behalf of whoever asks for it."""
    wanted = {
        "type": "sip",
        "to": request.target,
        "from": "" if leg.trunk else leg.from_user,  # a trunk takes its own only
        "trunk": leg.trunk,
        "app_id": leg.app_id,
        "ring_timeout": RING_LIMIT_S,
    }
    return schemas.load(create.CreateLeg(), wanted)


def _replacing(replaces: Replaces) -> dict[str, str]:
    if not replaces.complete:
        raise Invalid("Refer-To: Replaces without its tags")
    return {"sip_h_Replaces": replaces.header, "sip_h_Require": "replaces"}


def media_up(ctx: Context, leg: Leg) -> None:
    """A leg has media: if it was dialled for a REFER, its peer is told."""
    request = ctx.get(Requests).dialled(leg.id)
    if request is None:
        return
    referrer = ctx.legs.find(request.leg_id)
    if referrer is None:
        if leg.state == CONNECTED:
            drop(ctx, request)
    elif leg.state == EARLY_MEDIA:
        report(ctx, referrer, request, reporting.RINGING)
    elif leg.state == CONNECTED:
        _connected(ctx, referrer, request)


def _connected(ctx: Context, referrer: Leg, request: Request) -> None:
    then = partial(endings.hang_up, ctx, referrer, TRANSFERRED)
    conclude(ctx, referrer, request, reporting.OK, then)


def ended(ctx: Context, leg: Leg) -> list[Awaited]:
    """A leg has ended: if it was dialled for a REFER, nothing came of that, which is told first."""
    request = ctx.get(Requests).dialled(leg.id)
    if request is None:
        return []
    referrer = ctx.legs.find(request.leg_id)
    if referrer is None:
        drop(ctx, request)
        return []
    result = conclude(ctx, referrer, request, reporting.FAILED)
    return [] if result is None else [Awaited(result, TOLD_TIMEOUT_S)]


def readopt(ctx: Context, referrer: Leg | None, request: Request) -> None:
    """After a connect to the switch: what has become of it."""
    new = ctx.legs.find(request.new_leg) if request.new_leg else None
    if referrer is None:
        if new is None or new.state == CONNECTED:
            drop(ctx, request)
    elif new is None:  # not dialled yet, or not to the end
        conclude(ctx, referrer, request, reporting.FAILED)
    elif new.state == CONNECTED:
        _connected(ctx, referrer, request)
