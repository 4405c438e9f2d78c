"""What a call detail record says. docs/cdr.md is for those who read them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..model.legtypes import SIP_OUTBOUND, WEBSOCKET_OUT, WHATSAPP_OUT
from ..work import clock
from .accounts import Account

INBOUND, OUTBOUND = "inbound", "outbound"
WE_CALLED = frozenset({SIP_OUTBOUND, WHATSAPP_OUT, WEBSOCKET_OUT})

ANSWERED, BUSY, NO_ANSWER = "answered", "busy", "no_answer"
CANCELLED, REJECTED, FAILED = "cancelled", "rejected", "failed"
OUTCOMES = (ANSWERED, BUSY, NO_ANSWER, CANCELLED, REJECTED, FAILED)

_OF_REASON = {
    BUSY: "busy",
    NO_ANSWER: "ring_timeout timeout unavailable",
    CANCELLED: "caller_cancel cancelled api_hangup hangup room_deleted remote_bye",
    REJECTED: "declined rejected forbidden unauthorized challenged not_found not_acceptable",
}
_OUTCOME = {reason: outcome for outcome, reasons in _OF_REASON.items() for reason in reasons.split()}

COLUMNS = {
    "leg_id": "Id of the leg; unique.",
    "event_id": "Id of its `leg.disconnected`.",
    "instance_id": "`instance_id` of the service that has written the record.",
    "switch": "Name of the switch the leg was on.",
    "app_id": "The application it belonged to.",
    "type": "Type of the leg, such as `sip_inbound`.",
    "direction": "`inbound`, or `outbound` for a leg that the service called.",
    "from": "The caller, as in From.",
    "to": "Who was called: a user part, a number or a URI.",
    "trunk": "The gateway it went or came by.",
    "call_id": "Call-ID of the SIP dialog.",
    "started_at": "When the INVITE came, or was asked for.",
    "ringing_at": "When it first rang, or had early media.",
    "answered_at": "When it was answered.",
    "ended_at": "When it ended; of one that ended unobserved, when that was noticed.",
    "ring_seconds": "From ringing to answer, or to the end.",
    "talk_seconds": "From answer to end (`duration_answered` of the event).",
    "total_seconds": "From start to end (`duration_total` of the event).",
    "outcome": f"One of {', '.join(f'`{one}`' for one in OUTCOMES)}.",
    "reason": "Why it ended (`reason` of the event).",
    "sip_status": "Final status of the INVITE, or of what ended the call.",
    "hangup_cause": "The switch's cause, such as `NORMAL_CLEARING`.",
    "rooms": "Ids of the rooms it was in, each once, in the order of joining; 32 at most.",
    "recordings": "How many recordings of the leg were begun.",
    "codec": "Codec of its audio.",
    "mos": "Mean opinion score of what was received, 1 to 5.",
    "rtp_packets_received": "RTP packets received.",
    "rtp_packets_lost": "RTP packets lost, as far as known.",
    "rtp_jitter_ms": "Jitter in ms.",
}
"""Every column, in order, and what it means. New ones come last."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """What is known of a leg beside its account when it has ended."""

    type: str
    app_id: str
    node: str
    started_at: float
    answered_at: float


def outcome(reason: str, answered: bool) -> str:
    """What became of a call, in a handful of words: for counting."""
    if answered:
        return ANSWERED
    if reason.startswith("sip_"):
        return REJECTED if reason[4:5] in ("4", "6") else FAILED
    return _OUTCOME.get(reason, FAILED)


def direction(leg_type: str) -> str:
    """Who called whom."""
    return OUTBOUND if leg_type in WE_CALLED else INBOUND


def record_of(
    account: Account,
    leg: Ended,
    cdr: dict[str, Any],
    quality: dict[str, Any] | None,
    *,
    event_id: str,
    instance_id: str,
) -> Record:
    """The record of a leg; `cdr` and `quality` are those of its last event."""
    end = leg.started_at + cdr["duration_total"]
    rang = account.rang_at
    quality = quality or {}
    return {
        "leg_id": account.id,
        "event_id": event_id,
        "instance_id": instance_id,
        "switch": leg.node,
        "app_id": leg.app_id or None,
        "type": leg.type,
        "direction": direction(leg.type),
        "from": account.from_ or None,
        "to": account.to or None,
        "trunk": account.trunk or None,
        "call_id": account.call_id or None,
        "started_at": shown(leg.started_at),
        "ringing_at": shown(rang),
        "answered_at": shown(leg.answered_at),
        "ended_at": shown(end),
        "ring_seconds": round(max(0.0, (leg.answered_at or end) - rang), 2) if rang else None,
        "talk_seconds": cdr["duration_answered"],
        "total_seconds": cdr["duration_total"],
        "outcome": outcome(cdr["reason"], bool(leg.answered_at)),
        "reason": cdr["reason"],
        "sip_status": account.sip_status or None,
        "hangup_cause": account.cause or None,
        "rooms": account.rooms,
        "recordings": account.recordings,
        "codec": account.codec or None,
        "mos": quality.get("mos_score"),
        "rtp_packets_received": quality.get("rtp_packets_received"),
        "rtp_packets_lost": quality.get("rtp_packets_lost"),
        "rtp_jitter_ms": quality.get("rtp_jitter_ms"),
    }


def shown(at: float) -> str | None:
    """A time of `clock` as the wall clock has it, ISO 8601 in UTC with milliseconds; None for 0."""
    if not at:
        return None
    seconds, milliseconds = divmod(int((at + time.time() - clock.now()) * 1000), 1000)
    return f"{clock.second(seconds)}.{milliseconds:03d}Z"
