"""The types of legs: who called whom, and which commands a type does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import Conflict, Internal, Invalid, VsiError

SIP_INBOUND = "sip_inbound"
SIP_OUTBOUND = "sip_outbound"
WHATSAPP_IN = "whatsapp_in"
WHATSAPP_OUT = "whatsapp_out"
WEBSOCKET_IN = "websocket_in"
WEBSOCKET_OUT = "websocket_out"
WEBRTC = "webrtc"

Refusal = tuple[type[VsiError], str]


@dataclass(frozen=True, slots=True)
class LegType:
    """What is to be known of a leg by its type alone."""

    inbound: bool
    """Its peer called, and waits for our answer."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """Commands that legs of this type do not have, and how each is refused."""
    peer_is_ours: bool = False
    """The connection with its peer is the service's; what the switch has of it is between the two."""
    plain: bool = False
    """SIP with RTP as it is: codecs are chosen, and the quality of what was received is told."""
    whatsapp: bool = False
    """A call of Meta's WhatsApp gateways: opus over ICE and DTLS, ringing at once, in its room first and
    connected then."""
    unanswered: str = "ring_timeout"
    """Why an outbound leg ended that nobody answered in time."""


SIP_ONLY: dict[str, Refusal] = {
    "answer_leg": (Invalid, "only SIP and WhatsApp inbound legs can be answered"),
    "leg_ring": (Invalid, "only SIP inbound legs can be rung"),
    "leg_early_media": (Invalid, "only SIP inbound legs support early media"),
    "hold_leg": (Invalid, "only SIP legs support hold"),
    "unhold_leg": (Invalid, "only SIP legs support hold"),
    "leg_transfer": (Conflict, "transfer is supported only on SIP legs"),
    "leg_amd_start": (Invalid, "AMD is only supported on SIP legs"),
}
"""How legs of all other types refuse what takes SIP, unless the type has words of its own."""

_NO_HOLD: Refusal = (Conflict, "hold is not supported for WhatsApp legs (Meta disallows re-INVITE)")
_WHATSAPP: dict[str, Refusal] = {
    **SIP_ONLY,
    "hold_leg": _NO_HOLD,
    "unhold_leg": _NO_HOLD,
    "leg_transfer": (Conflict, "transfer is not supported for WhatsApp legs (Meta disallows REFER)"),
    "send_leg_dtmf": (Internal, "DTMF send over WhatsApp not yet implemented"),
}
del _WHATSAPP["answer_leg"]
_WEBSOCKET: dict[str, Refusal] = {
    **SIP_ONLY,
    "send_leg_dtmf": (Internal, "DTMF over WebSocket not supported"),
}

LEG_TYPES = {
    SIP_INBOUND: LegType(inbound=True, plain=True),
    SIP_OUTBOUND: LegType(inbound=False, plain=True),
    WHATSAPP_IN: LegType(inbound=True, refusals=_WHATSAPP, whatsapp=True),
    WHATSAPP_OUT: LegType(
        inbound=False,
        refusals={**_WHATSAPP, "answer_leg": (Conflict, "outbound leg: nothing to answer")},
        whatsapp=True,
        unanswered="invite_failed",
    ),
    WEBSOCKET_IN: LegType(inbound=False, refusals=_WEBSOCKET, peer_is_ours=True),
    WEBSOCKET_OUT: LegType(inbound=False, refusals=_WEBSOCKET, peer_is_ours=True),
    WEBRTC: LegType(
        inbound=False,
        refusals={
            **SIP_ONLY,
            "send_leg_dtmf": (Internal, "DTMF send over WebRTC not yet implemented"),
        },
    ),
}
"""All that there are, by the name that clients see."""


def may(leg_type: str, command: str) -> bool:
    """Whether legs of this type have the command."""
    return command not in LEG_TYPES[leg_type].refusals


def require(leg_type: str, command: str) -> None:
    """Raise the error that the type refuses the command with, if it does."""
    if refusal := LEG_TYPES[leg_type].refusals.get(command):
        kind, message = refusal
        raise kind(message)
