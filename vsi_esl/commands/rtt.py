"""Real-time text (T.140)."""

from __future__ import annotations

from typing import Literal

from ..calls import placement
from ..calls.context import Context
from ..errors import Conflict, Internal, Invalid
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from ..protocol.schemas import Text, about
from .legs import LegPayload

MAX_TEXT = 4096


class SendRtt(LegPayload):
    text = Text(limit=MAX_TEXT, metadata=about("Sent over SIP with a line end behind it.", needed=True))


@command("send_leg_rtt", SendRtt, rest=Rest("POST", "/legs/{id}/rtt", body=Body.REQUIRED))
def send_leg_rtt(ctx: Context, id: str, text: str) -> Status[Literal["sent"]]:
    """Send text to the peer. To one over SIP the switch sends whole lines: it puts a line end behind it."""
    leg = ctx.legs.get(id)
    if not text:
        raise Invalid("text required")
    if not leg.rtt_negotiated:
        raise Conflict("RTT not negotiated for this leg")
    if leg.peer_is_ours:
        if not any(ctx.moments.text_for(ctx, leg, text)):
            raise Internal("websocket leg: not yet connected")
        return {"status": "sent"}
    ctx.workers.run(leg.id, placement.LEG_COMMAND_TIMEOUT_S, ctx.sound(leg).send_text, leg, text)
    return {"status": "sent"}


@command("accept_leg_rtt", LegPayload, rest=Rest("POST", "/legs/{id}/rtt/accept"))
def accept_leg_rtt(ctx: Context, id: str) -> Status[Literal["rtt_accepting"]]:
    """Report the leg's text, and let it get that of others in its room."""
    _accept(ctx, id, True)
    return {"status": "rtt_accepting"}


@command("reject_leg_rtt", LegPayload, rest=Rest("POST", "/legs/{id}/rtt/reject"))
def reject_leg_rtt(ctx: Context, id: str) -> Status[Literal["rtt_rejecting"]]:
    """Neither report the leg's text nor let it get that of others."""
    _accept(ctx, id, False)
    return {"status": "rtt_rejecting"}


def _accept(ctx: Context, leg_id: str, accept: bool) -> None:
    leg = ctx.legs.get(leg_id)
    leg.accept_rtt = accept
    ctx.switch(leg).remember(leg, "accept_rtt")
