"""Starting answering machine detection."""

from __future__ import annotations

from typing import Literal

from ..calls.context import Context
from ..commands.create import Amd
from ..commands.legs import LegPayload
from ..errors import Conflict
from ..model.amd import AmdParameters
from ..model.leg import CONNECTED
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from . import detecting


class LegAmdStart(LegPayload, Amd):
    pass


@command("leg_amd_start", LegAmdStart, rest=Rest("POST", "/legs/{id}/amd", body=Body.OPTIONAL))
def leg_amd_start(ctx: Context, id: str, **thresholds: int) -> Status[Literal["started"]]:
    """Find out from what is said whether a person or a machine answered.

    The verdict comes as amd.result. Where a detection is under way, this one takes its place: of that one
    nothing more is told.
    """
    leg = ctx.legs.get(id)
    leg.require("leg_amd_start")
    if leg.shown_state != CONNECTED:
        raise Conflict(f"leg must be connected, current state: {leg.shown_state}")
    detecting.start(ctx, leg, AmdParameters.of(thresholds))
    return {"status": "started"}
