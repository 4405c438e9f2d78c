"""The end of a channel: why it ended, in VSI's words, and how good it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..calls import endings, internal, lifecycle
from ..model.leg import CONNECTED, Leg
from ..model.legtypes import WEBRTC, WHATSAPP_IN, WHATSAPP_OUT
from ..switch.actions.calls import hangup_cause
from ..work import clock
from . import SwitchEvent, on_event, tethers, text_of
from .legs import learn_ringing

if TYPE_CHECKING:
    from ..calls.context import Context
    from ..calls.nodes import Node

SIP_REASONS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    407: "unauthorized",
    408: "timeout",
    480: "unavailable",
    486: "busy",
    487: "cancelled",
    488: "not_acceptable",
    503: "service_unavailable",
    603: "declined",
    # two challenges in a row: the switch's own code for credentials that do not fit
    904: "unauthorized",
}
"""Final status of an outbound INVITE -> reason; other codes from 400 up are `sip_<code>`."""

CANCELLED = "ORIGINATOR_CANCEL"
BROWSER_GONE = ("MEDIA_TIMEOUT", "DESTINATION_OUT_OF_ORDER", "RECOVERY_ON_TIMER_EXPIRE")
"""Nothing came of it any more; its DTLS was not that of its offer; the connection to mod_verto is gone."""
PTIME_MS = 20.0


@on_event("CHANNEL_HANGUP_COMPLETE")
def channel_hangup_complete(ctx: Context, node: Node, event: SwitchEvent) -> None:
    leg = ctx.legs.find(event.get("Unique-ID", ""))
    if leg is None:
        channel = event.get("Unique-ID", "")
        internal.ended(node, channel)
        tethers.ended(ctx, channel)
        endings.confirmed(ctx, channel)
        ctx.moments.channel_ended(ctx, channel)
        return
    ended_at = node.clock.time_of(event, "Caller-Channel-Hangup-Time") or clock.now()
    if _cancelled(leg, event):
        leg.answered_at = 0.0  # its answer never reached the caller
    learn_ringing(node, leg, event)
    leg.hangup_cause, leg.sip_status = text_of(event, "Hangup-Cause")[:64], sip_status(event)
    ours = leg.ending and not leg.outrun and text_of(event, "Hangup-Cause") == hangup_cause(leg.ending)
    why = leg.ending if ours else reason(leg, event)
    lifecycle.disconnected(ctx, leg, why, ended_at, quality(event) if leg.kind.plain else None)


def _cancelled(leg: Leg, event: SwitchEvent) -> bool:
    """The caller gave up. Its CANCEL may cross our answer, which the switch has reported by then: what was
    sent to the caller is the 487."""
    disposition = text_of(event, "variable_sip_hangup_disposition")
    return leg.inbound and (disposition == "recv_cancel" or text_of(event, "Hangup-Cause") == CANCELLED)


def reason(leg: Leg, event: SwitchEvent) -> str:
    """Why a leg ended that we did not hang up. What the switch says of it comes before the state we believe.

    The SIP status comes before the hangup cause, which folds many codes into one.
    """
    cause = text_of(event, "Hangup-Cause")
    disposition = text_of(event, "variable_sip_hangup_disposition")
    if leg.type == WEBRTC:
        return "ice_failure" if cause in BROWSER_GONE else "api_hangup"
    if cause == "MEDIA_TIMEOUT":
        return "ice_disconnected" if leg.type == WHATSAPP_IN else "rtp_timeout"
    if leg.peer_is_ours:
        return "api_hangup"  # its peer's end is ours to see; the switch ends it for an operator
    if cause == "DESTINATION_OUT_OF_ORDER" and leg.kind.whatsapp and disposition == "send_bye":
        return "ice_failed"  # DTLS: not with the certificate of the description
    if _cancelled(leg, event):
        return "caller_cancel"
    if leg.inbound and cause == "NORMAL_UNSPECIFIED" and not (disposition or _status(event)):
        return "connect_failed"  # no ACK to our 200
    if leg.state == CONNECTED:
        if disposition == "" and _status(event) == "200":
            return "session_expired"
        # an operator's hangup at the switch has no VSI reason of its own
        return "api_hangup" if disposition == "send_bye" else "remote_bye"
    if leg.inbound and disposition == "recv_bye":
        return "remote_bye"  # answered, for the caller; not for us, who waited for its media
    if leg.inbound:
        return "connect_failed" if cause == "INCOMPATIBLE_DESTINATION" else "api_hangup"
    if leg.type == WHATSAPP_OUT:
        # answered, but not with opus over DTLS; of all else the protocol tells no more
        refused = cause == "INCOMPATIBLE_DESTINATION" and disposition == "send_bye"
        return "bad_answer" if refused else "invite_failed"
    return _outbound_failure(cause, disposition, event)


def _status(event: SwitchEvent) -> str:
    """The final status of the INVITE, or of what ended the call."""
    return text_of(event, "variable_sip_term_status")


def sip_status(event: SwitchEvent) -> int:
    """The final status of the call, wherever the switch tells it; 0 for none, and for codes of its own."""
    specific = text_of(event, "variable_proto_specific_hangup_cause").removeprefix("sip:")
    for text in (_status(event), text_of(event, "variable_sip_invite_failure_status"), specific):
        if len(text) == 3 and text.isascii() and text.isdigit() and "200" <= text <= "699":
            return int(text)
    return 0


def _outbound_failure(cause: str, disposition: str, event: SwitchEvent) -> str:
    if cause == "INCOMPATIBLE_DESTINATION" and disposition == "send_bye":
        return "connect_failed"  # answered, but with no codec of ours
    if cause == "MANDATORY_IE_MISSING":
        return "unauthorized"  # challenged, and no credentials were given
    specific = text_of(event, "variable_proto_specific_hangup_cause").removeprefix("sip:")
    if cause == "REQUESTED_CHAN_UNAVAIL" and specific.startswith("3"):
        return f"sip_{specific[:3]}"  # a redirect, which is never followed
    if disposition == "send_cancel" and cause != "NORMAL_UNSPECIFIED":
        return "ring_timeout" if cause == "NO_ANSWER" else "api_hangup"
    status = _status(event)
    if not (status.isascii() and status.isdigit()):
        return "invite_failed"
    code = int(status[:4])
    heard = text_of(event, "variable_sip_network_ip") or text_of(event, "variable_sip_reply_host")
    if (code == 503 and not heard) or code < 300:
        return "invite_failed"  # made up by the switch: the peer never said anything
    return SIP_REASONS.get(code) or f"sip_{code}"


def quality(event: SwitchEvent) -> dict[str, Any] | None:
    """CallQuality from the channel's RTP figures; None when (almost) nothing was received.

    The switch does not count lost packets: they follow from the mean packet interval. Its own MOS ignores
    jitter, so it is computed anew by the protocol's formula (an E-model, ITU-T G.107, simplified).
    """
    packets = int(_number(event, "variable_rtp_audio_in_packet_count"))
    if packets < 2:
        return None
    mean_interval = _number(event, "variable_rtp_audio_in_mean_interval")
    lost = max(0, round(packets * (mean_interval / PTIME_MS - 1))) if mean_interval else 0
    jitter = math.sqrt(max(0.0, _number(event, "variable_rtp_audio_in_jitter_max_variance")))
    return {
        "mos_score": mos(jitter, lost / (packets + lost)),
        "rtp_packets_received": packets,
        "rtp_packets_lost": lost,
        "rtp_jitter_ms": round(jitter, 2),
    }


def mos(jitter_ms: float, loss: float) -> float:
    """Mean opinion score 1..5 from jitter in ms and loss as a fraction."""
    latency = 2 * jitter_ms + 10
    rating = 93.2 - latency / 40
    if latency >= 160:
        rating -= 10
    rating = min(100.0, max(0.0, rating - 250 * loss))
    score = 1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating)
    return round(min(5.0, max(1.0, score)), 2)


def _number(event: SwitchEvent, header: str) -> float:
    try:
        value = float(text_of(event, header))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
