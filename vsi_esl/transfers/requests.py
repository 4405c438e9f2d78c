"""REFERs of peers that are under way: each from its coming until it is declined, or its last report.

Of each that clients were told of with `declined: false`, they are told the end once: leg.transfer_completed
or leg.transfer_failed. An application that has accepted one brings that about itself, while the leg is there.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from ..calls.context import Context
from ..model.leg import Leg
from ..switch.lines.referred import Status
from .events import LegTransferFailed, LegTransferRequested
from .referto import ReferTo, Replaces

KIND = "refer"
TIMER = "refer"

WAITING, DECIDING, ACCEPTED, DIALLING = "waiting", "deciding", "accepted", "dialling"
"""Clients are asked; their decision is on its way to the switch; a client accepted it; we did, and dial."""


@dataclass(slots=True)
class Request:
    """One of them."""

    leg_id: str
    target: str
    replaces: Replaces | None
    number: int
    """Its CSeq, by which its reports name it; 0 when it was not seen."""
    deadline: float = 0.0
    """By when it is to be decided, by `clock`."""
    state: str = WAITING
    new_leg: str = ""
    """The leg that was dialled for it."""
    last_cseq: int = 0
    """Of the last interim report."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @classmethod
    def recalled(cls, body: dict[str, Any]) -> Request:
        """The one that was remembered so."""
        replaces = Replaces(**body["replaces"]) if body["replaces"] else None
        return cls(**{**body, "replaces": replaces})


class Requests:
    """Those of a service, one for each leg at most."""

    def __init__(self) -> None:
        self.of_leg: dict[str, Request] = {}
        self.numbers: dict[str, tuple[int, float]] = {}
        """Leg -> the CSeq of the REFER whose Refer-To comes next, and when it came."""

    def has(self, request: Request) -> bool:
        """Whether it is under way."""
        return self.of_leg.get(request.leg_id) is request

    def find(self, leg_id: str, state: str) -> Request | None:
        """The leg's, if it is in this state."""
        request = self.of_leg.get(leg_id)
        return request if request is not None and request.state == state else None

    def dialled(self, leg_id: str) -> Request | None:
        """The one that this leg was dialled for."""
        return next((one for one in self.of_leg.values() if one.new_leg == leg_id), None)


def save(ctx: Context, request: Request) -> None:
    """Remember it over a restart."""
    ctx.state.save_item(KIND, request.id, asdict(request))


def add(ctx: Context, request: Request) -> None:
    """It is under way from now on."""
    ctx.get(Requests).of_leg[request.leg_id] = request
    save(ctx, request)


def drop(ctx: Context, request: Request) -> bool:
    """It is over. False when it was already."""
    requests = ctx.get(Requests)
    if not requests.has(request):
        return False
    del requests.of_leg[request.leg_id]
    ctx.timers.cancel(request.leg_id, TIMER)
    ctx.state.forget_item(KIND, request.id)
    return True


def leg_of(ctx: Context, leg: Leg, replaces: Replaces) -> Leg | None:
    """The leg whose dialog this is, if it is one of ours, and of the same application as the one whose peer
    names it: who is in two calls does not bring two applications together."""
    ours = (one for one in ctx.legs if replaces.names(one.call_id, one.local_tag, one.remote_tag))
    return next((one for one in ours if one.app_id == leg.app_id), None)


def told(ctx: Context, leg: Leg, asked: ReferTo, *, declined: bool) -> None:
    """Tell clients of it."""
    replaces = asked.replaces
    replaced = leg_of(ctx, leg, replaces) if replaces is not None else None
    ctx.tell(
        leg,
        LegTransferRequested.of(
            leg,
            kind=asked.kind,
            target=asked.target,
            declined=declined,
            replaces_call_id=replaces.call_id if replaces is not None else None,
            replaces_leg_id=replaced.id if replaced is not None else None,
        ),
    )


def failed(ctx: Context, leg: Leg, *, status: Status | None = None, error: str = "") -> None:
    """Tell clients that nothing came of it."""
    code, reason = status or (None, None)
    ctx.emit(LegTransferFailed.of(leg, status_code=code, reason=reason, error=error or None))
