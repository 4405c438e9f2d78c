"""Calls between sandboxes by the profile for tethers (dialplan/vsi.xml, context vsi_tether), and
`uuid_bridge`.

The sandboxes are of one process, and know each other by the address that each was given. Both ends of a
call have one id. There is no SIP: what ends here ends there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .calls import STEP_S
from .channels import Channel, FarEnd, Outcome
from .sofia import PROFILE_TETHER

if TYPE_CHECKING:
    from .server import SandboxSwitch

NO_SESSION = "-ERR Invalid uuid\n"
TOKEN = re.compile(r"[0-9a-f]{32}\Z")
PATIENCE_S = 5.0
CODEC = re.compile(r"L16@([0-9]+)h|G722|OPUS")
RATES = {"G722": 16000, "OPUS": 48000}
MEDIA_TIMEOUT_MS = 3000
"""What the dialplan sets of a call that comes in."""

_switches: dict[str, SandboxSwitch] = {}


class Remote(NamedTuple):
    """The other end of a call between two sandboxes."""

    switch: SandboxSwitch
    channel: Channel


def listen(switch: SandboxSwitch) -> None:
    """Take calls at the address that the sandbox was given, if it was given one."""
    if switch.tether:
        _switches[switch.tether] = switch


def close(switch: SandboxSwitch) -> None:
    """Take none any more."""
    if _switches.get(switch.tether) is switch:
        del _switches[switch.tether]


def dial(switch: SandboxSwitch, channel: Channel, address: str) -> None:
    """The part of the switch that is called by this channel."""
    there = _switches.get(address)
    if there is None:
        channel.timers.later(STEP_S, switch.calls.hangup, channel, "NORMAL_TEMPORARY_FAILURE")
        return
    channel.timers.later(STEP_S, _called, there, switch, channel)


def _called(there: SandboxSwitch, switch: SandboxSwitch, caller: Channel) -> None:
    if not caller.alive or caller.uuid in there.channels or there.full:
        switch.calls.hangup(caller, "NORMAL_TEMPORARY_FAILURE")
        return
    channel = Channel(
        f"sofia/{PROFILE_TETHER}/tether@127.0.0.1",
        "inbound",
        FarEnd(sends_rtp=False),
        caller.uuid,
        internal=True,
    )
    channel.remote, caller.remote = Remote(switch, caller), Remote(there, channel)
    token = caller.variables.get("sip_h_X-VSI-Tether", "")
    channel.variables |= {
        "uuid": channel.uuid,
        "direction": "inbound",
        "sip_network_ip": switch.tether.rpartition(":")[0],
        "sip_h_X-VSI-Tether": token,
    }
    found = CODEC.match(caller.variables.get("absolute_codec_string", ""))
    rate = int(found[1]) if found and found[1] else RATES[found[0]] if found else 8000
    for end in (channel, caller):
        end.start_internal_media(rate)
    channel.media_timeout_ms = MEDIA_TIMEOUT_MS
    there.add(channel)
    there.calls.fire("CHANNEL_CREATE", channel)
    if not TOKEN.match(token):
        there.calls.hangup(channel, "INCOMING_CALL_BARRED")
        return
    channel.variables |= {"vsi_internal": "true", "vsi_tether": "asks"}
    there.calls.schedule_hangup(channel, PATIENCE_S, "INCOMING_CALL_BARRED")
    there.dialplan.park(channel)


def uuid_media_reneg(switch: SandboxSwitch, rest: str) -> str:
    """A re-INVITE to the other end, which looks at how long it waits for audio."""
    channel = switch.channels.get(rest.strip())
    if channel is None:
        return NO_SESSION
    if channel.remote is not None:
        far = channel.remote.channel
        limit = far.variables.get("media_timeout", "")
        far.media_timeout_ms = int(limit) if limit.isascii() and limit.isdigit() else far.media_timeout_ms
    if channel.bridged is not None:
        watch_media(channel.bridged)
    return "+OK Success\n"


def watch_media(leg: Channel) -> None:
    """The other end of the call that a leg is connected with ends it when no audio has come for long: while
    the switch holds the leg, and when its peer sends nothing and nothing is to be generated for it."""
    remote = leg.bridged.remote if leg.bridged is not None else None
    if remote is None:
        return
    end = remote.channel
    if end.media_timer is not None:
        end.media_timer.kill(block=False)
        end.media_timer = None
    generated = "bridge_generate_comfort_noise" in leg.variables
    if leg.held == "us" or not (leg.receives_rtp or generated):
        limit = end.media_timeout_ms / 1000
        end.media_timer = end.timers.later(limit, remote.switch.calls.hangup, end, "MEDIA_TIMEOUT")


def answered(channel: Channel) -> None:
    """One end is answered: so is the other, which has dialled."""
    remote = channel.remote
    if remote is None or channel.direction != "inbound":
        return
    caller = remote.channel
    if caller.alive and caller.answer_state != "answered":
        remote.switch.calls.answered(caller)
        caller.timers.later(STEP_S, remote.switch.calls.usable, caller)


def ended(channel: Channel, cause: str) -> None:
    """One end is over, and the other with it."""
    remote, channel.remote = channel.remote, None
    if remote is not None and remote.switch.channels.get(channel.uuid) is remote.channel:
        remote.switch.calls.hangup(remote.channel, cause)


def crashed(switch: SandboxSwitch) -> None:
    """The sandbox is gone without a word: the others notice that nothing comes any more."""
    for channel in switch.channels.values():
        if channel.remote is not None:
            other, end = channel.remote
            other.timers.later(MEDIA_TIMEOUT_MS / 1000, other.calls.hangup, end, "MEDIA_TIMEOUT")


# -- uuid_bridge -------------------------------------------------------------------------------------------


def uuid_bridge(switch: SandboxSwitch, rest: str) -> str | Outcome:
    """Connect two channels, in the place of what they are in."""
    ids = rest.split(" ")
    one, other = (switch.channels.get(id) for id in (*ids, "")[:2])
    if one is None or other is None or not (one.alive and other.alive):
        return NO_SESSION
    switch.calls.forget_hold(one)
    one.variables |= {"bridge_uuid": other.uuid, "signal_bond": other.uuid}
    other.variables |= {"bridge_uuid": one.uuid, "signal_bond": one.uuid}
    one.timers.later(STEP_S, _bridge, switch, one, other)
    return f"+OK {other.uuid}\n"


def _bridge(switch: SandboxSwitch, one: Channel, other: Channel) -> None:
    if not other.alive:
        switch.calls.hangup(one, "DESTINATION_OUT_OF_ORDER")
        return
    for channel in (one, other):
        switch.dialplan.leave(channel)
        channel.application, channel.remaining = "bridge", []
    one.bridged, other.bridged = other, one
    headers = {"Bridge_A_Unique_ID": one.uuid, "Bridge_B_Unique_ID": other.uuid}
    switch.calls.fire("CHANNEL_BRIDGE", one, **headers)
    watch_media(one)


def unbridge(switch: SandboxSwitch, channel: Channel) -> None:
    """A channel is not connected with its partner any more, which parks if it was told to, or ends."""
    partner, channel.bridged = channel.bridged, None
    if partner is None:
        return
    partner.bridged, partner.application = None, ""
    switch.calls.fire("CHANNEL_UNBRIDGE", channel)
    if partner.variables.get("park_after_bridge") == "true":
        partner.timers.later(STEP_S, _park, switch, partner)
    else:
        switch.calls.hangup(partner, "NORMAL_CLEARING")


def _park(switch: SandboxSwitch, channel: Channel) -> None:
    if channel.alive and not channel.application:
        switch.dialplan.park(channel)
