"""What is done with a leg where its member is: in a conference of its own switch, or by a tether of
another."""

from __future__ import annotations

import structlog

from ..errors import VsiError
from ..model.leg import Leg
from .context import Context

log = structlog.get_logger(__name__)


def set_muted(ctx: Context, leg: Leg, *, changed: bool = True) -> None:
    """As `Switch.set_muted`, where its member is; its channel remembers it."""
    if leg.tether is None:
        ctx.switch(leg).set_muted(leg, changed=changed)
        return
    ctx.switch(leg.seat).set_muted(leg, changed=False)
    if changed:
        ctx.switch(leg).remember(leg, "muted")


def set_deaf(ctx: Context, leg: Leg, *, changed: bool = True) -> None:
    """As `Switch.set_deaf`, where its member is; its channel remembers it."""
    if leg.tether is None:
        ctx.switch(leg).set_deaf(leg, changed=changed)
        return
    ctx.switch(leg.seat).set_deaf(leg, changed=False)
    if changed:
        ctx.switch(leg).remember(leg, "deaf")


def hold(ctx: Context, leg: Leg, on: bool) -> None:
    """As `Switch.hold`. Nothing comes through the tether of a leg that we hold, and the room's switch does
    not take it for lost."""
    if on:
        _wait_for_audio(ctx, leg, patiently=True)
    try:
        ctx.switch(leg).hold(leg, on)
    except VsiError:
        if on:
            _wait_for_audio(ctx, leg, patiently=False)
        raise
    if not on:
        _wait_for_audio(ctx, leg, patiently=False)


def _wait_for_audio(ctx: Context, leg: Leg, *, patiently: bool) -> None:
    tether = leg.tether
    there = ctx.nodes.find(tether.node) if tether is not None else None
    if tether is None or there is None:
        return
    try:
        there.tethers.wait_for_audio(tether.id, patiently=patiently)
    except VsiError as error:
        # it is lost, then, and made anew when the switch is there again; the leg is held again behind that
        log.info("not known how long a tether waits for audio", leg_id=leg.id, error=error.message)
    else:
        ctx.node(leg).tethers.renegotiate(tether.id)


def silence(ctx: Context, leg: Leg) -> None:
    """As `Switch.silence`, where its member is."""
    ctx.switch(leg.seat).silence(leg)


def let_go(ctx: Context, leg: Leg) -> None:
    """End the tether of a leg, which is not in the room by it any more. Does not wait, and does not fail."""
    tether, leg.tether = leg.tether, None
    if tether is not None:
        ctx.tethers.legs.pop(tether.id, None)
        end_call(ctx, tether.id, leg.node, tether.node)


def end_call(ctx: Context, id: str, *names: str) -> None:
    """End a call between two switches, at both ends as far as they can be reached: the other ends with it."""
    for name in dict.fromkeys(names):
        node = ctx.nodes.find(name)
        if node is not None and node.ready:
            node.sound.dismiss(id)
