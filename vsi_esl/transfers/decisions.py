"""The decisions of an application on a peer's REFER, of the later version of the protocol."""

from __future__ import annotations

from typing import Literal

from ..calls.context import Context
from ..errors import Invalid, NotFound
from ..protocol.ids import LegId
from ..protocol.limits import Range
from ..protocol.registry import Body, Rest, command
from ..protocol.replies import Status as Answer
from ..protocol.schemas import INT32, Boolean, Integer, Payload, Text, about
from ..switch.lines import referred
from ..switch.lines.referred import Status
from . import deciding, reporting
from .requests import ACCEPTED, WAITING, Request, Requests

PHRASES = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    486: "Busy Here",
    487: "Request Terminated",
    500: "Server Internal Error",
    603: "Decline",
}
REPORT = Range("status_code", 100, 699)
FINAL = Range("status_code", 200, 699)
REFUSAL = Range("code", 300, 699)
UNDECIDED = "no pending transfer for leg (unknown or already {})"


def phrase(code: int) -> str:
    """What a status is called, as in the reference."""
    return PHRASES.get(code, "Transfer")


def _reason(text: str) -> Text:
    return Text(limit=128, metadata=about(text))


class LegPayload(Payload):
    id = LegId()


class ProgressTransfer(LegPayload):
    status_code = Integer(*INT32, checked=REPORT, metadata=about("SIP status to report.", needed=True))
    reason = _reason("The status in words; those of the status when empty.")


class CompleteTransfer(LegPayload):
    success = Boolean(default=False, metadata=about("Whether the target was reached."))
    status_code = Integer(
        *INT32, checked=FINAL, metadata=about("SIP status to report; 0 for 200 with success, else 500.")
    )
    reason = _reason("The status in words; those of the status when empty.")


class DeclineTransfer(LegPayload):
    code = Integer(*INT32, checked=REFUSAL, metadata=about("SIP status of the refusal; 0 for 603."))
    reason = _reason("The status in words; Decline when empty.")


@command("accept_transfer", LegPayload, rest=Rest("POST", "/legs/{id}/transfer/accept", 202))
def accept_transfer(ctx: Context, id: str) -> Answer[Literal["accepting"]]:
    """Accept a peer's REFER that waits: 202, and a first report. The application makes the new call itself.

    The leg goes on; what becomes of the new call is told by progress_transfer and complete_transfer.
    """
    request = _undecided(ctx, id, "decided")
    try:
        deciding.accept(ctx, request)
    except NotFound:
        raise NotFound(UNDECIDED.format("decided")) from None
    return {"status": "accepting"}


@command(
    "progress_transfer",
    ProgressTransfer,
    rest=Rest("POST", "/legs/{id}/transfer/progress", 202, body=Body.OPTIONAL),
)
def progress_transfer(ctx: Context, id: str, status_code: int, reason: str) -> Answer[Literal["progress"]]:
    """Report to a peer whose REFER was accepted how far the new call is."""
    if not REPORT.low <= status_code <= REPORT.high:
        raise Invalid("status_code must be a SIP status (100-699)")
    status = _status(status_code, reason or phrase(status_code))
    request = _accepted(ctx, id, "no accepted transfer for leg")
    reporting.report(ctx, ctx.legs.get(id), request, status)
    return {"status": "progress"}


@command(
    "complete_transfer",
    CompleteTransfer,
    rest=Rest("POST", "/legs/{id}/transfer/complete", 202, body=Body.OPTIONAL),
)
def complete_transfer(
    ctx: Context, id: str, success: bool, status_code: int, reason: str
) -> Answer[Literal["completing"]]:
    """Report to a peer whose REFER was accepted how it ended. The leg is left for the application to hang up.

    leg.transfer_completed follows for a status of 200 to 299, else leg.transfer_failed.
    """
    if status_code:
        FINAL.check(status_code)
    code = status_code or (200 if success else 500)
    status = _status(code, reason or ("OK" if success else phrase(code)))
    request = _accepted(ctx, id, "no accepted transfer for leg (accept it first)")
    reporting.conclude(ctx, ctx.legs.get(id), request, status)
    return {"status": "completing"}


@command(
    "decline_transfer",
    DeclineTransfer,
    rest=Rest("POST", "/legs/{id}/transfer/decline", 202, body=Body.OPTIONAL),
)
def decline_transfer(ctx: Context, id: str, code: int, reason: str) -> Answer[Literal["declining"]]:
    """Decline a peer's REFER that waits; leg.transfer_failed follows.

    With the codes 404, 410, 416, 482, 485, 502 and 604 the call itself would end: 603 is sent for them.
    """
    if code:
        REFUSAL.check(code)
    status = _status(code or 603, reason or "Decline")
    request = _undecided(ctx, id, "accepted")
    try:
        deciding.decline(ctx, request, status)
    except NotFound:
        raise NotFound(UNDECIDED.format("accepted")) from None
    return {"status": "declining"}


def _status(code: int, reason: str) -> Status:
    """Raises BadArgument for a reason that cannot be sent, before anything is done."""
    return Status(code, referred.phrase(reason))


def _undecided(ctx: Context, leg_id: str, otherwise: str) -> Request:
    request = ctx.get(Requests).find(leg_id, WAITING)
    if request is None:
        raise NotFound(UNDECIDED.format(otherwise))
    return request


def _accepted(ctx: Context, leg_id: str, otherwise: str) -> Request:
    request = ctx.get(Requests).find(leg_id, ACCEPTED)
    if request is None:
        raise NotFound(otherwise)
    return request
