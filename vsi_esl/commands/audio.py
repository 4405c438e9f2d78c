"""Mute, deaf and hold."""

from __future__ import annotations

from typing import Literal

from ..calls import alone, lifecycle, placement, seats
from ..calls.context import Context
from ..errors import Conflict, VsiError
from ..events.legs import LegDeaf, LegMuted, LegUndeaf, LegUnmuted
from ..model.leg import CONNECTED, Leg
from ..protocol.registry import Rest, command
from ..protocol.replies import Status
from .answering import failed
from .legs import LegPayload


def set_muted(ctx: Context, leg: Leg, muted: bool) -> None:
    """Change the mute state here and on the switch; unchanged when the switch cannot be told."""
    before, leg.muted = leg.muted, muted
    try:
        seats.set_muted(ctx, leg, changed=muted is not before)
    except VsiError:
        leg.muted = before
        raise
    if muted:
        lifecycle.stopped_speaking(ctx, leg)  # the switch reports no end of speech when it mutes
    if muted is not before:
        ctx.moments.muted(ctx, leg)


def set_deaf(ctx: Context, leg: Leg, deaf: bool) -> None:
    """Change the deaf state here and on the switch; unchanged when the switch cannot be told."""
    before, leg.deaf = leg.deaf, deaf
    try:
        seats.set_deaf(ctx, leg, changed=deaf is not before)
    except VsiError:
        leg.deaf = before
        raise


@command("mute_leg", LegPayload, rest=Rest("POST", "/legs/{id}/mute"))
def mute_leg(ctx: Context, id: str) -> Status[Literal["muted"]]:
    """Silence what the leg says; recording and speech-to-text still hear it."""
    leg = ctx.legs.get(id)
    set_muted(ctx, leg, True)
    ctx.tell(leg, LegMuted.of(leg))
    return {"status": "muted"}


@command("unmute_leg", LegPayload, rest=Rest("DELETE", "/legs/{id}/mute"))
def unmute_leg(ctx: Context, id: str) -> Status[Literal["unmuted"]]:
    """Let the leg be heard again."""
    leg = ctx.legs.get(id)
    set_muted(ctx, leg, False)
    ctx.tell(leg, LegUnmuted.of(leg))
    return {"status": "unmuted"}


@command("deaf_leg", LegPayload, rest=Rest("POST", "/legs/{id}/deaf"))
def deaf_leg(ctx: Context, id: str) -> Status[Literal["deaf"]]:
    """Stop the room's audio towards the leg; it can still be heard."""
    leg = ctx.legs.get(id)
    set_deaf(ctx, leg, True)
    ctx.tell(leg, LegDeaf.of(leg))
    return {"status": "deaf"}


@command("undeaf_leg", LegPayload, rest=Rest("DELETE", "/legs/{id}/deaf"))
def undeaf_leg(ctx: Context, id: str) -> Status[Literal["undeaf"]]:
    """Let the leg hear the room again."""
    leg = ctx.legs.get(id)
    set_deaf(ctx, leg, False)
    ctx.tell(leg, LegUndeaf.of(leg))
    return {"status": "undeaf"}


@command("hold_leg", LegPayload, rest=Rest("POST", "/legs/{id}/hold", 202))
def hold_leg(ctx: Context, id: str) -> Status[Literal["holding"]]:
    """Put the peer on hold by re-INVITE; leg.hold follows when it agreed."""
    ctx.workers.submit(id, _hold, ctx, _holdable(ctx, id, "hold_leg"), True)
    return {"status": "holding"}


@command("unhold_leg", LegPayload, rest=Rest("DELETE", "/legs/{id}/hold", 202))
def unhold_leg(ctx: Context, id: str) -> Status[Literal["unholding"]]:
    """Take the peer off hold by re-INVITE; leg.unhold follows when it agreed."""
    ctx.workers.submit(id, _hold, ctx, _holdable(ctx, id, "unhold_leg"), False)
    return {"status": "unholding"}


def _holdable(ctx: Context, leg_id: str, command_name: str) -> Leg:
    leg = ctx.legs.get(leg_id)
    leg.require(command_name)
    if leg.state != CONNECTED:
        raise Conflict(f"leg is {leg.shown_state}, expected connected or held")
    return leg


def _hold(ctx: Context, leg: Leg, on: bool) -> None:
    if leg.held is on or leg.ending:
        return
    try:
        if on:
            alone.give_conference(ctx, leg)
        seats.hold(ctx, leg, on)
    except VsiError as error:
        failed(ctx, leg, "hold" if on else "unhold", error)
        return
    if on:
        lifecycle.held(ctx, leg, by_us=True)
    else:
        lifecycle.held(ctx, leg, by_us=False, by_peer=False)
    placement.arm_hold_limit(ctx, leg)
    ctx.switch(leg).remember(leg, "held_by_us")
    seats.set_deaf(ctx, leg)  # nothing of the room may reach a peer on hold
