"""The end of a leg that the switch has not reported: our own hangups, and calls that are not there.

Only the switch's report of a hangup is the end of a call, or a look at the switch that finds no channel.
What a command or a job was answered is neither: a channel may be there although its job failed, and not be
there yet although its leg is.
"""

from __future__ import annotations

from collections.abc import Iterable

import gevent
import structlog

from ..errors import SwitchUnavailable
from ..later import heard
from ..model.leg import Leg
from ..work import clock
from . import lifecycle
from .context import Context
from .nodes import Node

log = structlog.get_logger(__name__)

REPORT_TIMEOUT_S = 10.0
"""How long the switch gets to report the end of a call that was hung up."""
GRACE_S = 0.5
"""How long the report of a channel that is gone may still be on its way."""
PURSUIT_S = 0.1
"""How often a call is hung up whose channel is just being made."""


def hang_up(ctx: Context, leg: Leg, reason: str) -> None:
    """End a leg for a reason of ours. The leg is gone for clients at once; its last event follows the
    switch's report. The first reason wins."""
    if leg.ending:
        return
    _is_to_end(ctx, leg, reason)
    try:
        if not ctx.switch(leg).hangup(leg, reason):
            gevent.spawn(_pursue, ctx, leg)
    except SwitchUnavailable as error:
        _not_delivered(leg, error)


def hang_up_all(ctx: Context, legs: Iterable[Leg], reason: str) -> None:
    """The same for many of one switch, in one go."""
    ending = [leg for leg in legs if not leg.ending]
    if not ending:
        return
    switch = ctx.switch(ending[0])
    for leg in ending:
        _is_to_end(ctx, leg, reason)
    try:
        for leg, was_there in zip(ending, switch.hangup_all(ending, reason), strict=True):
            if not was_there:
                gevent.spawn(_pursue, ctx, leg)
    except SwitchUnavailable as error:
        for leg in ending:
            _not_delivered(leg, error)


def _is_to_end(ctx: Context, leg: Leg, reason: str) -> None:
    leg.ending = reason
    ctx.legs.retire(leg)
    ctx.state.save_legs([leg])  # it is not to come back, and its last event is to say why
    ctx.timers.cancel(leg.id)
    await_report(ctx, leg)


def _not_delivered(leg: Leg, error: SwitchUnavailable) -> None:
    # the call may well be up; when the switch is back it is killed, see adoption
    log.warning("hangup not delivered", leg_id=leg.id, error=error.message)


def hang_up_again(ctx: Context, leg: Leg) -> None:
    """One that is ending, whose hangup may have been lost with the connection to the switch."""
    try:
        ctx.switch(leg).hangup(leg, leg.ending)
    except SwitchUnavailable as error:
        _not_delivered(leg, error)


def _pursue(ctx: Context, leg: Leg) -> None:
    """There was no channel to hang up: it is not there yet, or not any more."""
    try:
        while leg.dialling and ctx.legs.find(leg.id) is leg:
            gevent.sleep(PURSUIT_S)
            if ctx.switch(leg).hangup(leg, leg.ending):
                return
        if ctx.switch(leg).hangup(leg, leg.ending):  # it may have come just before the dialling was over
            return
    except SwitchUnavailable as error:
        _not_delivered(leg, error)
        return
    leg.outrun = True
    unless_there(ctx, leg, leg.ending)


def unless_there(ctx: Context, leg: Leg, reason: str) -> bool:
    """Report a leg as ended when the switch has no channel of it; whether it was reported so. May wait.

    When the switch cannot be asked, or has the channel, nothing is reported: its events, or re-adoption,
    will tell.
    """
    try:
        if ctx.switch(leg).exists(leg):
            log.warning("the call is there, whatever was said of it", leg_id=leg.id, said=reason)
            return False
    except SwitchUnavailable:
        return False
    with ctx.node(leg).waits.expect("ended", leg.id) as ended:
        if ctx.legs.find(leg.id) is leg:
            heard(ended, GRACE_S)  # the switch's own report knows more
    if ctx.legs.find(leg.id) is not leg:
        return False
    unreported(ctx, leg, leg.ending or reason)
    return True


def unreported(ctx: Context, leg: Leg, reason: str) -> None:
    """Report the end of a leg that the switch said nothing of. Should its channel be seen after all, it is
    ended: its leg is not to come back."""
    now = clock.now()
    ctx.legs.presumed_ended[leg.id] = now
    ctx.state.save_item(PRESUMED, leg.id, {"id": leg.id, "at": now, "node": leg.node})
    lifecycle.disconnected(ctx, leg, reason, now)


PRESUMED = "presumed_ended"
"""Under which the state keeps the legs that were reported as ended without the switch having said so."""


def restore(ctx: Context) -> None:
    """At start: what the previous process reported as ended without the switch having said so."""
    for body in ctx.state.items(PRESUMED):
        ctx.legs.presumed_ended[body["id"]] = body["at"]


def confirmed(ctx: Context, leg_id: str) -> None:
    """A channel without a leg has ended: nothing is to be remembered of it."""
    if ctx.legs.presumed_ended.pop(leg_id, None) is not None:
        ctx.state.forget_item(PRESUMED, leg_id)


def refuse(ctx: Context, node: Node, leg_id: str) -> bool:
    """End a channel whose leg was reported as ended. False, and nothing is done, for any other."""
    if leg_id not in ctx.legs.presumed_ended:
        return False
    log.warning("a call is up whose leg was reported as ended; it is ended", leg_id=leg_id)
    ctx.metrics.strays.labels("ended").inc()
    node.switch.end(leg_id)
    return True


def await_report(ctx: Context, leg: Leg) -> None:
    """Have the end of a leg that is being hung up looked after when the switch does not report it."""
    due = clock.now() + REPORT_TIMEOUT_S
    ctx.timers.at(leg.id, "report", due, _not_reported, ctx, leg)


def _not_reported(ctx: Context, leg: Leg) -> None:
    """Hang up once more, for as long as the call is there."""
    await_report(ctx, leg)
    if not ctx.node(leg).ready:
        return
    log.warning("the switch has not reported the end of a leg", leg_id=leg.id)
    try:
        if ctx.switch(leg).hangup(leg, leg.ending):
            return
    except SwitchUnavailable:
        return
    unless_there(ctx, leg, leg.ending)
