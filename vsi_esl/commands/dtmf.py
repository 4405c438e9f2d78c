"""Sending digits, and which legs take part in a room's digit broadcast."""

from __future__ import annotations

from typing import Literal

from ..calls import placement
from ..calls.context import Context
from ..errors import Internal, Invalid
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from ..protocol.schemas import Text, about
from .legs import LegPayload

SENDABLE = frozenset("0123456789*#ABCD")
MAX_DIGITS = 128
"""The switch plays about two digits a second; more than a minute of them is a mistake."""


class SendDtmf(LegPayload):
    digits = Text(metadata=about("0-9, *, #, A-D; one after the other.", needed=True))


@command("send_leg_dtmf", SendDtmf, rest=Rest("POST", "/legs/{id}/dtmf", body=Body.REQUIRED))
def send_leg_dtmf(ctx: Context, id: str, digits: str) -> Status[Literal["sent"]]:
    """Send RFC 4733 digits to the peer. Characters that are no digits are skipped."""
    leg = ctx.legs.get(id)
    if not digits:
        raise Invalid("digits required")
    leg.require("send_leg_dtmf")
    if not leg.has_media:
        raise Internal("no DTMF channel available")
    sendable = "".join(digit for digit in digits.upper() if digit in SENDABLE)
    if len(sendable) > MAX_DIGITS:
        raise Invalid(f"more than {MAX_DIGITS} digits")
    if sendable:
        # in the leg's worker: a move that is under way would drop the digits
        ctx.workers.run(leg.id, placement.LEG_COMMAND_TIMEOUT_S, ctx.switch(leg).send_dtmf, leg, sendable)
    return {"status": "sent"}


@command("accept_leg_dtmf", LegPayload, rest=Rest("POST", "/legs/{id}/dtmf/accept"))
def accept_leg_dtmf(ctx: Context, id: str) -> Status[Literal["dtmf_accepting"]]:
    """Let the leg get the digits that others in its room press."""
    leg = ctx.legs.get(id)
    leg.accept_dtmf = True
    ctx.switch(leg).remember(leg, "accept_dtmf")
    return {"status": "dtmf_accepting"}


@command("reject_leg_dtmf", LegPayload, rest=Rest("POST", "/legs/{id}/dtmf/reject"))
def reject_leg_dtmf(ctx: Context, id: str) -> Status[Literal["dtmf_rejecting"]]:
    """Keep the digits of others in its room from the leg."""
    leg = ctx.legs.get(id)
    leg.accept_dtmf = False
    ctx.switch(leg).remember(leg, "accept_dtmf")
    return {"status": "dtmf_rejecting"}
