"""Seeing legs, and ending them."""

from __future__ import annotations

from typing import Literal

from ..calls import endings
from ..calls.context import Context
from ..errors import Invalid
from ..model.leg import EARLY_MEDIA, RINGING, LegView
from ..protocol.ids import LegId
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status
from ..protocol.schemas import Payload, Text, about

REJECTIONS = ("busy", "declined", "rejected", "unavailable", "not_found", "forbidden", "server_error")


class LegPayload(Payload):
    id = LegId()


class DeleteLeg(LegPayload):
    reason = Text(
        metadata=about(f"For an unanswered inbound leg: {', '.join(REJECTIONS)}; else without effect.")
    )


@command("list_legs", None, rest=Rest("GET", "/legs"))
def list_legs(ctx: Context) -> list[LegView]:
    """All legs that have not ended."""
    return [leg.view() for leg in ctx.legs]


@command("get_leg", LegPayload, rest=Rest("GET", "/legs/{id}"))
def get_leg(ctx: Context, id: str) -> LegView:
    """One leg."""
    return ctx.legs.get(id).view()


@command("delete_leg", DeleteLeg, rest=Rest("DELETE", "/legs/{id}", 202, body=Body.OPTIONAL))
def delete_leg(ctx: Context, id: str, reason: str) -> Status[Literal["hanging_up"]]:
    """Hang up, or reject an unanswered call with the SIP code of the reason.

    The reason counts only before the answer, and only then must it be a known one.
    """
    leg = ctx.legs.get(id)
    unanswered = leg.state in (RINGING, EARLY_MEDIA)
    if unanswered and reason and reason not in REJECTIONS:
        raise Invalid(f'unknown reason "{reason}"')
    endings.hang_up(ctx, leg, reason if unanswered and reason else "api_hangup")
    return {"status": "hanging_up"}
