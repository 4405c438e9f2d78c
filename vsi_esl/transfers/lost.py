"""Calls that their peer has ended while a report on its REFER was under way.

The switch sends an interim report from beside the dialog, and until that is answered it takes there what
comes in the dialog: a BYE is answered with 481, and nobody is told. The peer answers the next report with
481. That alone may mean that it has forgotten its REFER; so it is asked for the call, with an INFO (RFC 5057,
5.1). Where no next report comes, it is asked all the same, once the last one can no longer be under way: its
media would be missed 30 s later, and that of a call on hold after hours.
"""

from __future__ import annotations

import structlog

from ..calls import endings
from ..calls.context import Context
from ..calls.moments import Signal
from ..errors import VsiError
from ..later import heard
from ..model.leg import Leg
from ..work import clock

log = structlog.get_logger(__name__)

NO_SUCH_CALL = "481"
ANSWER_S = 2.0
"""For a peer to answer."""
TIMER = "refer-lost"
CROSSED_S = 2.0
"""So long after an interim report no BYE crosses it any more, unless all is lost for a while: it is four
times what SIP takes for a round trip (RFC 3261, T1)."""


def ask_later(ctx: Context, leg: Leg) -> None:
    """Ask the peer for the call when its BYE can no longer cross the report that has just been sent to it, in
    place of what was meant before."""
    due = clock.now() + CROSSED_S
    ctx.timers.at(leg.id, TIMER, due, ctx.workers.submit, leg.id, _ask, ctx, leg)


def need_not_ask(ctx: Context, leg: Leg) -> None:
    """Another report is sent, whose answer tells."""
    ctx.timers.cancel(leg.id, TIMER)


def signalled(ctx: Context, leg: Leg, signal: Signal) -> None:
    """A response of the leg's peer."""
    if signal.header != "CSeq" or not signal.message.startswith("SIP/2.0 "):
        return
    status, method = signal.message[8:11], signal.value.rpartition(" ")[2]
    if method == "INFO":
        ctx.node(leg).waits.fulfil("call asked for", leg.id, value=status)
    elif method == "NOTIFY" and status == NO_SUCH_CALL:
        ctx.workers.submit(leg.id, _ask, ctx, leg)


def _ask(ctx: Context, leg: Leg) -> None:
    """End the leg when its peer has no such call. To be run by the leg's worker, as all that has the switch
    send requests."""
    if leg.ending or ctx.legs.find(leg.id) is not leg:
        return
    node = ctx.node(leg)
    try:
        with node.waits.expect("call asked for", leg.id) as answered:
            node.refers.ask_for_call(leg)
            status = heard(answered, ANSWER_S)
    except VsiError as error:
        log.warning("not known whether the peer has its call", leg_id=leg.id, error=error.message)
        return
    if status == NO_SUCH_CALL and ctx.legs.find(leg.id) is leg:
        log.info("the peer has ended a call, and the switch has not noticed", leg_id=leg.id)
        endings.hang_up(ctx, leg, "remote_bye")
