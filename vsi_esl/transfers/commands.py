"""Transferring a call to somebody else."""

from __future__ import annotations

from typing import Literal

from ..calls.context import Context
from ..commands.legs import LegPayload
from ..errors import BadArgument, Conflict, Invalid
from ..model import legtypes
from ..model.leg import CONNECTED, Leg
from ..protocol.ids import LegId
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from ..protocol.schemas import Text, about
from ..switch.lines import refers
from . import outgoing


class LegTransfer(LegPayload):
    target = Text(metadata=about("The SIP URI that the peer is to call.", needed=True))
    replaces_leg_id = LegId(
        needed=False,
        metadata=about("A leg whose call the peer takes over, instead of making a new one: an attended one."),
    )


@command("leg_transfer", LegTransfer, rest=Rest("POST", "/legs/{id}/transfer", 202, body=Body.REQUIRED))
def leg_transfer(
    ctx: Context, id: str, target: str, replaces_leg_id: str
) -> Status[Literal["transfer_initiated"]]:
    """Have the peer call somebody else in place of us, by a REFER.

    What comes of it is told by the leg.transfer_... events. When it succeeds, the leg ends, and the one that
    was replaced. When the peer reports a failure and that its reports are over, the leg ends as well; a REFER
    that is refused leaves it as it is.
    """
    _check_target(target)
    leg = ctx.legs.get(id)
    legtypes.require(leg.type, "leg_transfer")
    if leg.shown_state != CONNECTED:
        raise Conflict("leg must be connected to transfer")
    outgoing.start(ctx, leg, target, _replaced(ctx, leg, replaces_leg_id) if replaces_leg_id else None)
    return {"status": "transfer_initiated"}


def _check_target(target: str) -> None:
    if not target:
        raise Invalid("missing target")
    scheme, _, rest = target.partition(":")
    if scheme.lower() in ("sip", "sips") and not rest.rpartition("@")[2].partition(";")[0].partition("?")[0]:
        raise Invalid("target URI missing host")
    try:
        refers.refer_to(target)
    except BadArgument as error:
        raise Invalid(f"invalid target URI: {error.message}") from None


def _replaced(ctx: Context, leg: Leg, replaces_leg_id: str) -> Leg:
    other = ctx.legs.find(replaces_leg_id)
    if other is None or other.ending:
        raise Conflict("replaces_leg_id not found")
    if other is leg or not legtypes.may(other.type, "leg_transfer") or other.shown_state != CONNECTED:
        raise Conflict("replaces_leg_id must be a connected SIP leg")
    return other
