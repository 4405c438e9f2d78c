"""WebRTC legs as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from ..calls.context import Context
from ..switch.facts import need
from . import commands, doctor
from .browsers import MODULE, Browsers

__all__ = ["commands", "doctor", "register"]

need(MODULE, "WebRTC legs")


def register(ctx: Context) -> None:
    """Make WebRTC legs a part of the service."""
    browsers = Browsers(ctx)
    ctx.provide(browsers)
    ctx.moments.adopt.subscribe(browsers.adopt)
    ctx.moments.released.subscribe(browsers.released)
    ctx.moments.ended.subscribe(browsers.ended)
    ctx.moments.secured.subscribe(lambda _, channel: browsers.secured(channel))
    ctx.moments.bound.subscribe(browsers.bound)
    ctx.moments.stop.subscribe(browsers.stop)
