"""Legs that are in their room first, and connected then: the order that WhatsApp calls have."""

from __future__ import annotations

from ..model.leg import RINGING, Leg
from ..work import clock
from . import lifecycle, placement
from .context import Context

PATIENCE_S = 2.0
"""How long an answered leg may take into its room before it is connected all the same."""


def answered(ctx: Context, leg: Leg, at: float) -> None:
    """The peer has answered; the switch puts the leg into its room."""
    if not leg.answer_seen_at:
        leg.answer_seen_at = at
        ctx.timers.at(leg.id, "joining", clock.now() + PATIENCE_S, connect, ctx, leg)


def connect(ctx: Context, leg: Leg) -> None:
    """It is there, or does not get there: it is connected. Nothing is done for a leg that has not waited."""
    at, leg.answer_seen_at = leg.answer_seen_at, 0.0
    if not at or leg.state != RINGING or leg.ending or ctx.legs.find(leg.id) is not leg:
        return
    ctx.timers.cancel(leg.id, "joining")
    lifecycle.connected(ctx, leg, at)
    placement.media_up(ctx, leg)
