"""`originate {variables}endpoint &park()`: the dial string is taken apart and the call begins.

Failures before there is a channel are answered at once; all else is the outcome of the call.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from . import dialplan, loopback, meta, quoting, tethers
from .calls import STEP_S
from .channels import Channel, FarEnd, Outcome
from .sofia import PROFILE_TETHER, PROFILE_WHATSAPP

if TYPE_CHECKING:
    from .server import SandboxSwitch

APPLICATION = re.compile(r"&([a-z_]+)(?:\((.*)\))?")
HERE = ("127.0.0.1", "localhost", "sandbox", "[::1]")
CLOSED_PORT = "1"
DEFAULT_TIMEOUT_S = 60
NULL_RATE = 8000


def originate(switch: SandboxSwitch, text: str) -> str | Outcome:
    """Start a call."""
    try:
        dial_string, extension = quoting.originate_words(text)
        variables, target = quoting.braces(dial_string)
    except quoting.ParseError as error:
        return f"{error}\n"
    applications = _applications(extension)
    if applications is None:
        return "-ERR DESTINATION_OUT_OF_ORDER\n"
    channel_id = variables.get("origination_uuid") or str(uuid.uuid4())
    if channel_id in switch.channels or switch.full:
        return "-ERR DESTINATION_OUT_OF_ORDER\n"
    if target.startswith("null/"):
        channel = _channel(target, channel_id, variables, applications, internal=True)
        channel.start_internal_media(_positive(variables.get("rate", "")) or NULL_RATE)
        _begin(switch, channel)
        switch.calls.answered(channel)
        channel.timers.later(STEP_S, switch.calls.usable, channel)
        return channel.outcome
    if target.startswith(loopback.PREFIX):
        running = loopback.applications(target)
        if not running:
            return "-ERR NO_ROUTE_DESTINATION\n"
        channel = _channel(f"loopback/{running[0][0]}-a", channel_id, variables, applications, internal=True)
        loopback.begin(switch, channel, running)
        channel.timers.later(_patience(variables), _give_up, switch, channel)
        return channel.outcome
    dialled = switch.sofia.dial(target, variables)
    if dialled is None or dialled.error:
        return f"-ERR {dialled.error if dialled else 'DESTINATION_OUT_OF_ORDER'}\n"
    user, host, port = dialled.user, dialled.host, dialled.port
    if target.startswith(f"sofia/{PROFILE_TETHER}/"):
        channel = _channel(f"sofia/{PROFILE_TETHER}/{user}@{host}", channel_id, variables, applications, True)
        _begin(switch, channel)
        channel.timers.later(_patience(variables), _give_up, switch, channel)
        tethers.dial(switch, channel, f"{host}:{port}")
        return channel.outcome
    channel = _channel(f"{target[: target.rfind('/')]}/{user}@{host}", channel_id, variables, applications)
    channel.destination, channel.dialled = user, dialled
    channel.variables |= {
        "sip_call_id": f"{channel_id}@sandbox",
        "sip_from_tag": channel_id[:8],
        "sip_to_user": user,
        "sip_full_to": f"<{target[target.rfind('/') + 1 :]}>",
        "sip_contact_uri": f"{user}@{host}",
        "sip_full_from": f"<sip:{channel.caller_number}@127.0.0.1>;tag={channel_id[:8]}",
    }
    channel.dialling = True
    _begin(switch, channel)
    switch.calls.fire("CHANNEL_ORIGINATE", channel)
    channel.timers.later(_patience(variables), _give_up, switch, channel)
    reachable = host in HERE and port != CLOSED_PORT
    if target.startswith(f"sofia/{PROFILE_WHATSAPP}/"):
        meta.dialled(switch, channel, user, reachable)
    else:
        switch.far_ends.dialled(channel, user, reachable)
    return channel.outcome


def _applications(extension: str) -> list[tuple[str, str]] | None:
    application = APPLICATION.fullmatch(extension)
    if application is not None:
        return [(application[1], application[2] or "")]
    text, _, kind = extension.rpartition(" ")
    return dialplan.parse(text) if kind == "inline" else None


def _patience(variables: dict[str, str]) -> int:
    """Seconds until the originate gives up."""
    return _positive(variables.get("originate_timeout", "")) or DEFAULT_TIMEOUT_S


def _positive(text: str) -> int:
    """0 if it is no number."""
    return int(text[:9]) if text.isascii() and text.isdigit() else 0


def _channel(
    name: str,
    channel_id: str,
    variables: dict[str, str],
    applications: list[tuple[str, str]],
    internal: bool = False,
) -> Channel:
    # an empty variable is none
    kept = {key: value for key, value in variables.items() if value}
    far = FarEnd(sends_rtp=not internal)
    channel = Channel(name, "outbound", far, channel_id, kept, remaining=applications, internal=internal)
    channel.variables |= {"uuid": channel_id, "direction": "outbound"}
    channel.caller_number = variables.get("origination_caller_id_number", "0000000000")
    channel.caller_name = variables.get("origination_caller_id_name", "")
    return channel


def _begin(switch: SandboxSwitch, channel: Channel) -> None:
    switch.add(channel)
    switch.calls.fire("CHANNEL_CREATE", channel)


def _give_up(switch: SandboxSwitch, channel: Channel) -> None:
    """originate_timeout; it does not count any more once the originate has returned."""
    if not channel.application and channel.answer_state != "answered":
        switch.calls.hangup(channel, "NO_ANSWER")
