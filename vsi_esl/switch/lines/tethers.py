"""Commands for tethers: calls between two switches of the service."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import BadArgument
from . import builder
from .builder import name, uuid

HEADER = "X-VSI-Tether"
"""Has the token. The dialplan looks at it as well."""
OWNER = "vsi_tether"
"""The variable that says at each end whose the call is: the leg's id (or that of a bridge), and the name of
the switch at the other end. Of a call that nobody has let in, the dialplan has set it to ASKS."""
ASKS = "asks"
REFUSAL = "INCOMING_CALL_BARRED"
"""Sent as 403."""
MEDIA_TIMEOUT_MS = 3000
"""No audio for so long, and the other switch is gone: a conference sends silence too, and so does a leg's
switch for a peer that sends nothing (`connect`). The dialplan has it as well."""
PATIENT_TIMEOUT_MS = 24 * 3600 * 1000
"""While we hold the leg: then its switch lets nothing through, and generates nothing either (CF_HOLD in
audio_bridge_thread)."""
SILENCE = "-1s"
"""Not noise but zeros: atoi() makes -1 of it, and switch_true(), which means 1400, does not take it for a
number."""
TRIAL_REFUSED = f"-ERR {REFUSAL}"
"""The answer to `trial` from a switch that takes tethers from here: its dialplan has looked at the call."""
TRIAL_LIMIT_S = 3
ADDRESS = re.compile(r"(?:[0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}\Z")
TOKEN = re.compile(r"[0-9a-f]{32}\Z")
CODECS = {"l16": "L16@{rate}h@{ptime}i", "g722": "G722@8000h@20i", "opus": "OPUS@48000h@20i"}
SHORT_PTIME_MS = 10
"""Of rooms of 48 kHz: 20 ms of L16 are more than a packet of an Ethernet."""


def owner(id: str, node: str) -> str:
    """What OWNER says."""
    return f"{uuid(id)}/{name(node)}"


def owned(text: str) -> tuple[str, str]:
    """Leg and switch that OWNER says; empty ones when it does not."""
    id, _, node = text.partition("/")
    return (id, node) if id and node else ("", "")


def codec(which: str, rate: int) -> str:
    """The codec of a call into a room of this rate, by the switch's name."""
    return CODECS[which].format(rate=int(rate), ptime=SHORT_PTIME_MS if rate > 16000 else 20)


PARKED = "&park()"


@dataclass(slots=True, frozen=True, kw_only=True)
class Call:
    """A call to another switch. `then` is what becomes of this end when that one has answered."""

    channel: str
    profile: str
    address: str
    token: str
    codec: str
    owner: str
    then: str = PARKED


def call(wanted: Call, limit: int) -> str:
    """Call another switch. `limit` is in seconds."""
    if not ADDRESS.match(wanted.address):
        raise BadArgument(f"invalid address: {wanted.address[:80]!r}")
    if wanted.token and not TOKEN.match(wanted.token):
        raise BadArgument("invalid token")
    settings = {
        "origination_uuid": uuid(wanted.channel),
        "origination_caller_id_number": "tether",
        "origination_caller_id_name": "tether",
        "sip_cid_type": "none",
        **({f"sip_h_{HEADER}": wanted.token} if wanted.token else {}),
        "absolute_codec_string": wanted.codec,
        "originate_timeout": str(int(limit)),
        "media_timeout": str(MEDIA_TIMEOUT_MS),
        "sip_watch_headers": "none",
        "vsi_internal": "true",
        **({OWNER: wanted.owner} if wanted.owner else {}),
        # where the leg goes when this end is gone in the moment that they are connected
        "rdnis": "park",
    }
    target = f"sofia/{name(wanted.profile)}/sip:tether@{wanted.address}"
    return f"originate {builder.originate_variables(settings)}{target} {wanted.then}"


def trial(channel: str, profile: str, address: str) -> str:
    """A call without a token, which is refused: how, says whether it could be one (TRIAL_REFUSED)."""
    wanted = Call(channel=channel, profile=profile, address=address, token="", codec="PCMU", owner="")
    return call(wanted, TRIAL_LIMIT_S)


def then_into(conference: str, rate: int, *, mute: bool, deaf: bool) -> str:
    """Of this end of a call: into a room's conference."""
    return f"'{_member(conference, rate, mute=mute, deaf=deaf)}' inline"


def let_in(
    channel: str, conference: str, rate: int, whose: str, *, mute: bool = False, deaf: bool = False
) -> list[str]:
    """Have a call that has asked in a room's conference, which answers it, until that ends."""
    member = _member(conference, rate, mute=mute, deaf=deaf)
    return [
        builder.cancel_schedule(channel),
        f"uuid_transfer {uuid(channel)} 'set:{OWNER}={whose},{member}' inline",
    ]


def _member(conference: str, rate: int, *, mute: bool, deaf: bool) -> str:
    flags = builder.member_flags(mute, deaf)
    return f"conference:{name(conference)}@vsi{int(rate)}" + (f"+flags{{{flags}}}" if flags else "")


def connect(leg: str, channel: str) -> list[str]:
    """Connect a leg with a call, in the place of what it is in. When the call ends it waits parked; its
    digits are no matter of the room's switch."""
    return [
        builder.setvar(leg, "park_after_bridge", "true"),
        builder.setvar(leg, "bridge_filter_dtmf", "true"),
        builder.setvar(leg, "bridge_generate_comfort_noise", SILENCE),
        f"uuid_bridge {uuid(leg)} {uuid(channel)}",
    ]


def wait_for_audio(channel: str, milliseconds: int) -> str:
    """How long the end of a call waits for audio, from the next re-INVITE on: see `renegotiate`."""
    return builder.setvar(channel, "media_timeout", str(int(milliseconds)))


def renegotiate(channel: str) -> str:
    """Have the other end look at its settings again, by a re-INVITE."""
    return f"uuid_media_reneg {uuid(channel)}"
