"""Which legs are listened to for the tones of digits: by wish, or for want of another way."""

from __future__ import annotations

import structlog

from ..errors import VsiError
from ..model.leg import Leg
from .context import Context

log = structlog.get_logger(__name__)

DTMF_MODULE = "mod_spandsp"
ON, OFF = "on", "off"


def answered(ctx: Context, leg: Leg, *, agreed: bool) -> None:
    """A call is up; `agreed` is whether its peer takes part in RFC 4733."""
    wanted = leg.inband_dtmf or ctx.config.sip.inband_dtmf
    if wanted == ON or (wanted == "auto" and not agreed):
        ctx.workers.submit(leg.id, _listen, ctx, leg)


def _listen(ctx: Context, leg: Leg) -> None:
    try:
        ctx.node(leg).require(DTMF_MODULE)
        ctx.switch(leg).hear_digits(leg)
    except VsiError as error:
        log.warning("digits are not listened for", leg_id=leg.id, error=error.message)
