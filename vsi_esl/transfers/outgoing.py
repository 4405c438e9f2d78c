"""Transfers that clients ask for: a REFER of ours, and what the peer reports of it.

Each has one end, told once: completed or failed. The REFER's answer is read from the SIP headers that the
switch watches, the peer's reports from its events. A report that ends the peer's subscription ends the call
as well, whatever it says: the switch lets the dialog go, says so to the peer, and keeps a channel of which no
other event would ever come (sofia.c, end of sofia_handle_sip_i_notify); so that channel is ended here.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gevent
import structlog
from gevent.event import AsyncResult

from ..calls import endings
from ..calls.context import Context
from ..calls.moments import Awaited, Signal
from ..calls.nodes import Node
from ..errors import Conflict, NotFound, SwitchUnavailable, VsiError
from ..model.leg import Leg
from ..switch.lines import refers
from ..switch.snapshot import Snapshot
from ..work import clock
from .events import LegTransferCompleted, LegTransferFailed, LegTransferInitiated, LegTransferProgress
from .requests import Requests
from .settings import TransferSettings

log = structlog.get_logger(__name__)

KIND = "transfer"
COMPLETED = "transfer_completed"
DIALOG_ENDED = "remote_bye"
"""Why a leg ends whose dialog the peer's report has ended."""
ASKED = "the peer has asked for a transfer itself"
"""A REFER of the peer is not to be forgotten while it waits: what answers it would end the call."""
STATUS = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: ([^\r\n]{0,256})|(?=[\r\n])|\Z)")
CHALLENGES = (401, 407)
SAYS_NOTHING_S = 1.0
"""From the header that ends the subscription to the report that came with it; without one in that time there
was none."""
ANSWERS_S = 5.0
"""For a peer to answer what only makes the switch forget its REFER."""
SILENT_S = 35.0
"""No response is still to come after this time: of a silent peer the switch's stack tells at 32 s."""
NEVER_S = 3600.0
"""How long the end of a replaced leg is held back at most, when transfers do not time out."""


class Report(NamedTuple):
    """How far the peer says its call to the target is."""

    status: int
    """0 for none that can be read."""
    reason: str
    final: bool
    """The subscription is over, and so is the dialog."""

    @classmethod
    def of(cls, fragment: str, final: bool) -> Report:
        """From a message/sipfrag (RFC 3420), of which the first line counts."""
        found = STATUS.match(fragment)
        return cls(int(found[1]), (found[2] or "").strip(), final) if found else cls(0, "", final)

    @property
    def members(self) -> dict[str, Any]:
        """What events have of it."""
        return {"status_code": self.status, "reason": self.reason or None}


@dataclass(slots=True)
class Transfer:
    """One that is not over."""

    leg_id: str
    app_id: str
    node: str
    target: str
    replaces: str = ""
    """The leg whose call the peer takes over; empty for a blind one."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    challenge: str = ""
    """What is to be said when the switch has no answer to the challenge that the REFER met."""
    told: bool = False
    """Its beginning is told: until then nothing else is told of it."""
    recalled: bool = False
    """It was begun by the process before."""
    held_back: AsyncResult[str] = field(default_factory=AsyncResult)
    """For the end of the replaced leg: why it ended, or empty for what the switch said."""

    @property
    def remembered(self) -> dict[str, str]:
        """What a restarted service needs of it."""
        names = ("leg_id", "app_id", "node", "target", "replaces", "id")
        return {name: getattr(self, name) for name in names}

    @property
    def timers(self) -> str:
        """Whose its timers are."""
        return f"transfer {self.leg_id}"


class Transfers:
    """The transfers of a service, by the leg that is transferred."""

    def __init__(self) -> None:
        self.running: dict[str, Transfer] = {}
        self.replaced: set[str] = set()
        """The legs that a completed transfer has replaced, until they have ended."""

    def has(self, transfer: Transfer) -> bool:
        """Whether it counts: it is not over."""
        return self.running.get(transfer.leg_id) is transfer

    def of(self, leg: Leg) -> Transfer | None:
        """That of a leg, once it is told."""
        transfer = self.running.get(leg.id)
        return transfer if transfer is not None and (transfer.told or transfer.recalled) else None

    def replacing(self, leg_id: str) -> list[Transfer]:
        """Those that are to replace this leg."""
        return [one for one in self.running.values() if one.replaces == leg_id]


def start(ctx: Context, leg: Leg, target: str, other: Leg | None) -> None:
    """Transfer a leg to `target`, in place of the leg `other` if there is one.

    Raises Conflict, NotFound, BadArgument, NotSupported, SwitchUnavailable or StorageFailed; then nothing has
    happened. What happens later is told by events.
    """
    dialog = ""
    if other is not None:
        if not other.local_tag:
            ctx.node(other).refers.learn_tag(other)
        dialog = refers.replaces(other.call_id, other.remote_tag, other.local_tag)
        if not dialog:
            raise Conflict("replaces_leg_id has no usable dialog identity")
    refer_to = refers.refer_to(target, dialog)
    running = ctx.get(Transfers).running
    if leg.id in running:
        raise Conflict("leg is being transferred already")
    if leg.id in ctx.get(Requests).of_leg:
        raise Conflict(ASKED)
    transfer = Transfer(leg.id, leg.app_id, leg.node, target, other.id if other is not None else "")
    running[leg.id] = transfer
    try:
        ctx.state.save_item(KIND, transfer.id, transfer.remembered, needed=True)
        ctx.node(leg).refers.prepare(leg)
        if ctx.legs.find(leg.id) is not leg or leg.ending:
            raise NotFound("leg not found")  # it has ended meanwhile
        if other is not None and (ctx.legs.find(other.id) is not other or other.ending):
            raise Conflict("replaces_leg_id not found")
    except BaseException:
        _over(ctx, transfer, "")
        ctx.state.forget_item(KIND, transfer.id)
        raise
    transfer.told = True
    kind = "attended" if other is not None else "blind"
    ctx.emit(
        LegTransferInitiated.of(leg, kind=kind, target=target, replaces_leg_id=transfer.replaces or None)
    )
    _await_word(ctx, transfer)
    ctx.workers.submit(leg.id, _send, ctx, leg, transfer, refer_to)


def _send(ctx: Context, leg: Leg, transfer: Transfer, refer_to: str) -> None:
    switch = ctx.node(leg).refers
    try:
        if leg.id in ctx.get(Requests).of_leg:
            raise Conflict(ASKED)
        if leg.refer_held:
            switch.forget_referrer(leg, ANSWERS_S)
            leg.refer_held = False
            ctx.switch(leg).remember(leg, "refer_held")
        if ctx.get(Transfers).has(transfer):
            switch.refer(leg, refer_to)
    except SwitchUnavailable as error:
        # it may have gone out: the switch is asked when it is there again, see readopt
        log.warning("not known whether a REFER was sent", leg_id=leg.id, error=error.message)
    except VsiError as error:
        _failed(ctx, transfer, error=f"REFER not sent: {error.message}")


def _await_word(ctx: Context, transfer: Transfer) -> None:
    """The peer has so long from now on to say something."""
    if timeout := ctx.config.section(TransferSettings).timeout:
        due = clock.now() + timeout
        ctx.timers.at(transfer.timers, "word", due, _no_word, ctx, transfer, timeout)


def _no_word(ctx: Context, transfer: Transfer, timeout: float) -> None:
    _failed(ctx, transfer, error=f"no result within {timeout:g} s")


def _no_answer(ctx: Context, transfer: Transfer) -> None:
    _failed(ctx, transfer, error=transfer.challenge)


def signalled(ctx: Context, leg: Leg, signal: Signal) -> None:
    """A header of a SIP message of the leg's peer."""
    message, header, value = signal.message, signal.header, signal.value
    if header == "CSeq" and message.startswith("SIP/2.0 "):
        if value.endswith(" REFER"):
            _answered(ctx, leg, Report.of(message, False))
        elif value.endswith(" NOTIFY"):
            ctx.node(leg).waits.fulfil("notified", leg.id, value=True)
    elif header == "Refer-To" and message.startswith("REFER ") and signal.bonded:
        if not leg.refer_held:
            leg.refer_held = True
            ctx.switch(leg).remember(leg, "refer_held")
    elif header == "Subscription-State" and message.startswith("NOTIFY ") and _is_final(value):
        # of a NOTIFY without a body, or of another kind, nothing else is told
        due = clock.now() + SAYS_NOTHING_S
        ctx.timers.at(f"transfer {leg.id}", "nothing", due, reported, ctx, leg, Report(0, "", True))


def _is_final(state: str) -> bool:
    return state.partition(";")[0].strip().lower() == "terminated"


def _answered(ctx: Context, leg: Leg, answer: Report) -> None:
    """The response to a REFER of ours."""
    transfer = ctx.get(Transfers).of(leg)
    if transfer is None or answer.status < 200:
        return
    said = f"REFER rejected: {answer.status} {answer.reason}".rstrip()
    if answer.status < 300:
        _await_word(ctx, transfer)
    elif answer.status in CHALLENGES:
        # with credentials another REFER goes out; with none for it the call ends; without a challenge neither
        transfer.challenge = said
        ctx.timers.at(transfer.timers, "word", clock.now() + SILENT_S, _no_answer, ctx, transfer)
    else:
        _failed(ctx, transfer, error=said)


def reported(ctx: Context, leg: Leg, report: Report) -> None:
    """The peer reports how far its call to the target is, or that there will be no more reports."""
    transfer = ctx.get(Transfers).of(leg)
    if not report.final:
        if transfer is not None:
            ctx.emit(LegTransferProgress.of(leg, **report.members))
            _await_word(ctx, transfer)
        return
    ctx.timers.cancel(f"transfer {leg.id}")
    if transfer is None:
        gevent.spawn(_end, ctx, leg, DIALOG_ENDED)
    elif 200 <= report.status < 300:
        _completed(ctx, leg, transfer, report)
    else:
        _failed(ctx, transfer, leg, **(report.members if report.status else {}))


def _completed(ctx: Context, leg: Leg, transfer: Transfer, report: Report) -> None:
    """Both calls are the peers' now."""
    ctx.emit(LegTransferCompleted.of(leg, **report.members))
    if transfer.replaces and ctx.legs.find(transfer.replaces) is not None:
        ctx.get(Transfers).replaced.add(transfer.replaces)
    _over(ctx, transfer, COMPLETED)
    gevent.spawn(_end_both, ctx, leg, transfer)


def _end_both(ctx: Context, leg: Leg, transfer: Transfer) -> None:
    _end(ctx, leg, COMPLETED)
    other = ctx.legs.find(transfer.replaces)
    if other is not None:
        _end(ctx, other, COMPLETED)
    ctx.state.forget_item(KIND, transfer.id)


def _end(ctx: Context, leg: Leg, reason: str) -> None:
    if ctx.legs.find(leg.id) is leg:
        endings.hang_up(ctx, leg, reason)


def _failed(ctx: Context, transfer: Transfer, lost: Leg | None = None, **members: Any) -> None:
    """`lost` is the leg when the report has ended its dialog."""
    if not ctx.get(Transfers).has(transfer):
        return
    ctx.emit(LegTransferFailed(leg_id=transfer.leg_id, app_id=transfer.app_id or None, **members))
    _over(ctx, transfer, "")
    if lost is None:
        ctx.state.forget_item(KIND, transfer.id)
    else:
        gevent.spawn(_end_lost, ctx, lost, transfer)


def _end_lost(ctx: Context, leg: Leg, transfer: Transfer) -> None:
    _end(ctx, leg, DIALOG_ENDED)
    ctx.state.forget_item(KIND, transfer.id)


def _over(ctx: Context, transfer: Transfer, reason: str) -> None:
    """Nothing more comes of it."""
    del ctx.get(Transfers).running[transfer.leg_id]
    ctx.timers.cancel(transfer.timers)
    transfer.held_back.set(reason)


def ended(ctx: Context, leg: Leg, room_id: str) -> Iterable[Awaited]:
    """A leg has ended. The end of one that is being replaced is told with the transfer's: the peer that takes
    its call over hangs up, before or after that is reported."""
    transfers = ctx.get(Transfers)
    ctx.timers.cancel(f"transfer {leg.id}")
    transfer = transfers.of(leg)
    if transfer is not None:
        if transfer.recalled and leg.ending == COMPLETED:  # the process before could not forget it
            _over(ctx, transfer, COMPLETED)
            ctx.state.forget_item(KIND, transfer.id)
        else:
            _failed(ctx, transfer, error=transfer.challenge or "no result: the leg has ended")
    if leg.id in transfers.replaced:
        transfers.replaced.discard(leg.id)
        known: AsyncResult[str] = AsyncResult()
        known.set(COMPLETED)
        return [Awaited(known, 0.0, instead_of=DIALOG_ENDED)]
    limit = ctx.config.section(TransferSettings).timeout or NEVER_S
    return [Awaited(one.held_back, limit, instead_of=DIALOG_ENDED) for one in transfers.replacing(leg.id)]


def restore(ctx: Context) -> None:
    """At start: those of the process before."""
    for body in ctx.state.items(KIND):
        transfer = Transfer(**body, recalled=True)
        ctx.get(Transfers).running[transfer.leg_id] = transfer


def readopt(ctx: Context, node: Node, snapshot: Snapshot) -> None:
    """After each connect to a switch: what came of those there while nobody watched.

    Of a leg that is not there any more its end tells.
    """
    for transfer in list(ctx.get(Transfers).running.values()):
        leg = ctx.legs.find(transfer.leg_id)
        if ctx.node(transfer) is not node or not (transfer.told or transfer.recalled):
            continue
        if leg is None and transfer.recalled:  # its end has been told, and that of the transfer before
            _over(ctx, transfer, "")
            ctx.state.forget_item(KIND, transfer.id)
        elif leg is not None and leg.id in snapshot.channels:
            _await_word(ctx, transfer)
            ctx.workers.submit(leg.id, _catch_up, ctx, leg, transfer)


def _catch_up(ctx: Context, leg: Leg, transfer: Transfer) -> None:
    try:
        status, last = ctx.node(leg).refers.noted(leg.id)
        if not ctx.get(Transfers).has(transfer):
            return
        report = Report.of(last, True)
        if 200 <= report.status < 300:
            _completed(ctx, leg, transfer, report)
            return
        if report.status >= 300:
            _failed(ctx, transfer, **report.members)
        elif not status:
            _failed(ctx, transfer, error="REFER not sent: the connection to the switch was lost")
        elif status.isascii() and status.isdigit() and int(status) >= 300:
            _failed(ctx, transfer, error=f"REFER rejected: {status}")
    except VsiError as error:
        log.warning("a transfer is not looked at", leg_id=leg.id, error=error.message)
        return
    gevent.spawn(_has_dialog, ctx, leg)


def _has_dialog(ctx: Context, leg: Leg) -> None:
    """End a leg that lost its dialog while nobody watched."""
    try:
        if ctx.node(leg).refers.asks(leg, SILENT_S) or ctx.legs.find(leg.id) is not leg:
            return
    except VsiError as error:
        log.warning("not known whether a leg has its dialog", leg_id=leg.id, error=error.message)
        return
    log.warning("a leg has lost its dialog; it is ended", leg_id=leg.id)
    transfer = ctx.get(Transfers).running.get(leg.id)
    if transfer is not None:
        _failed(ctx, transfer, leg)
    else:
        _end(ctx, leg, DIALOG_ENDED)


def released(ctx: Context, node: Node) -> None:
    """The switch is another service's now, which tells the ends of its transfers."""
    transfers = ctx.get(Transfers)
    for transfer in list(transfers.running.values()):
        if ctx.node(transfer) is node:
            del transfers.running[transfer.leg_id]
            transfers.replaced.discard(transfer.replaces)
            ctx.timers.cancel(transfer.timers)
