"""WhatsApp calls as a feature: what they give a service, and what they are told of."""

from __future__ import annotations

from ..calls import joining, placement
from ..calls.context import Context
from ..model.leg import Leg
from ..model.room import Room
from . import dialling, doctor, lite, offers

__all__ = ["dialling", "doctor", "offers", "register"]


def register(ctx: Context) -> None:
    """Make WhatsApp calls a part of the service."""
    ctx.moments.answering.subscribe(lite.answering)
    ctx.moments.joined.subscribe(_joined)
    ctx.moments.media_up.subscribe(_connected)
    ctx.moments.secured.subscribe(_secured)


def _joined(ctx: Context, room: Room, leg: Leg) -> None:
    joining.connect(ctx, leg)


def _connected(ctx: Context, leg: Leg) -> None:
    """An inbound leg is connected when it has media; one of ours may have it then, or later, or never."""
    if leg.kind.whatsapp and leg.inbound:
        placement.media_secured(ctx, leg)
    elif leg.kind.whatsapp and not leg.secured:
        placement.arm_media_limit(ctx, leg)


def _secured(ctx: Context, channel: str) -> None:
    leg = ctx.legs.find(channel)
    if leg is not None and leg.kind.whatsapp:
        placement.media_secured(ctx, leg)
