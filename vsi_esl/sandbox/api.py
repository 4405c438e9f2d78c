"""The sandbox's api commands: a table from name to function. Answers are the switch's, to the letter."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import gevent

from .. import __version__
from . import quoting
from .calls import STEP_S
from .channels import Channel, FarEnd, now_us
from .control import control

if TYPE_CHECKING:
    from .server import SandboxSwitch

Api = Callable[["SandboxSwitch", str], str]
TABLE: dict[str, Api] = {}

MAX_CHANNELS = 20_000
DTMF = re.compile(r"[0-9*#A-Da-d]+\Z")


def api(name: str) -> Callable[[Api], Api]:
    """Register the function of an api command; it gets the rest of the line."""

    def register(function: Api) -> Api:
        TABLE[name] = function
        return function

    return register


def run(switch: SandboxSwitch, line: str) -> str:
    """Run one api command and return its answer."""
    name, _, rest = line.partition(" ")
    function = TABLE.get(name)
    if function is None:
        return f"-ERR {name} Command not found!"
    return function(switch, rest.strip())


@api("version")
def version(switch: SandboxSwitch, rest: str) -> str:
    return f"FreeSWITCH Version sandbox (vsi_esl {__version__})"


@api("status")
def status(switch: SandboxSwitch, rest: str) -> str:
    return (
        f"FreeSWITCH (Version sandbox) is ready\n{len(switch.channels)} session(s) - peak 0\n"
        "0 session(s) per Sec out of max 1000, peak 0\n1000 session(s) max"
    )


@api("module_exists")
def module_exists(switch: SandboxSwitch, rest: str) -> str:
    known = ("conference", "commands", "dptools", "event_socket", "loopback", "sofia", "dialplan_xml")
    return "true" if rest.removeprefix("mod_") in known else "false"


@api("global_getvar")
def global_getvar(switch: SandboxSwitch, rest: str) -> str:
    return switch.globals.get(rest, "")


@api("sofia")
def sofia(switch: SandboxSwitch, rest: str) -> str:
    if rest.startswith("xmlstatus profile vsi"):
        return "<profile><profile-info><name>vsi</name></profile-info></profile>"
    return "Invalid Profile!"


@api("show")
def show(switch: SandboxSwitch, rest: str) -> str:
    if rest != "channels as json":
        return '-USAGE: "show channels as json" is all the sandbox shows'
    rows = [
        {
            "uuid": channel.uuid,
            "direction": channel.direction,
            "created_epoch": str(channel.created // 1_000_000),
            "name": channel.name,
            "state": "CS_EXECUTE",
            "application": channel.application,
            "application_data": channel.application_data,
        }
        for channel in switch.channels.values()
        if channel.alive
    ]
    return switch.json({"row_count": len(rows), "rows": rows} if rows else {"row_count": 0})


@api("uuid_exists")
def uuid_exists(switch: SandboxSwitch, rest: str) -> str:
    return "true" if rest in switch.channels else "false"


@api("uuid_dump")
def uuid_dump(switch: SandboxSwitch, rest: str) -> str:
    channel = switch.channels.get(rest.split(" ", maxsplit=1)[0])
    if channel is None or not channel.alive:
        return "-ERR No such channel!"
    return switch.json({"Event-Name": "CHANNEL_DATA", **switch.stamp(), **channel.with_variables()})


@api("uuid_getvar")
def uuid_getvar(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, name = rest.partition(" ")
    channel = switch.channels.get(channel_id)
    if channel is None:
        return "-ERR No such channel!"
    return channel.variables.get(name, "_undef_")


@api("uuid_setvar")
def uuid_setvar(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, assignment = rest.partition(" ")
    name, _, value = assignment.partition(" ")
    channel = switch.channels.get(channel_id)
    if channel is None:
        return "-ERR No such channel!"
    if value:
        channel.variables[name] = quoting.unquote_once(value)
    else:
        channel.variables.pop(name, None)
    return "+OK"


@api("uuid_ring_ready")
def uuid_ring_ready(switch: SandboxSwitch, rest: str) -> str:
    return _done(switch, rest, switch.calls.ring_ready)


@api("uuid_pre_answer")
def uuid_pre_answer(switch: SandboxSwitch, rest: str) -> str:
    return _done(switch, rest, switch.calls.pre_answer)


@api("uuid_answer")
def uuid_answer(switch: SandboxSwitch, rest: str) -> str:
    return _done(switch, rest, switch.calls.answer)


def _done(switch: SandboxSwitch, channel_id: str, action: Callable[[Channel], bool]) -> str:
    channel = switch.channels.get(channel_id)
    return "+OK" if channel is not None and action(channel) else "-ERROR"


@api("uuid_kill")
def uuid_kill(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, cause = rest.partition(" ")
    channel = switch.channels.get(channel_id)
    if channel is None or not channel.alive:
        return "-ERR No such channel!"
    switch.calls.hangup(channel, cause or "NORMAL_CLEARING")
    return "+OK"


@api("uuid_hold")
def uuid_hold(switch: SandboxSwitch, rest: str) -> str:
    off = rest.startswith("off ")
    channel = switch.channels.get(rest.removeprefix("off ").strip())
    return switch.calls.hold(channel, not off) if channel is not None else "+OK Success"


@api("uuid_send_dtmf")
def uuid_send_dtmf(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, digits = rest.partition(" ")
    channel = switch.channels.get(channel_id)
    if channel is None:
        return "-ERR Cannot locate session!"
    if not DTMF.match(digits):
        return "-ERR Operation failed"
    channel.far.digits += digits
    return f"+OK {channel_id} sent DTMF {digits}"


@api("uuid_recv_dtmf")
def uuid_recv_dtmf(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, digits = rest.partition(" ")
    channel = switch.channels.get(channel_id)
    if channel is None:
        return "-ERR Cannot locate session!"
    for digit in digits:
        switch.calls.fire("DTMF", channel, DTMF_Digit=digit, DTMF_Duration="2000", DTMF_Source="APP")
    return "+OK"


@api("sched_del")
def sched_del(switch: SandboxSwitch, rest: str) -> str:
    channel = switch.channels.get(rest)
    if channel is None or channel.scheduled is None:
        return "+OK Deleted: 0"
    channel.scheduled.kill(block=False)
    channel.scheduled = None
    return "+OK Deleted: 1"


@api("uuid_transfer")
def uuid_transfer(switch: SandboxSwitch, rest: str) -> str:
    match = re.fullmatch(r"(\S+) '?(.*?)'? inline", rest)
    channel = switch.channels.get(match[1]) if match else None
    if match is None or channel is None or not channel.alive:
        return "-ERR No such channel!"
    applications = []
    for part in match[2].split(","):
        name, _, argument = part.partition(":")
        applications.append((name, argument))

    def act() -> None:
        switch.calls.transfer(channel, applications)
        switch.flush()

    gevent.spawn_later(STEP_S, act)
    return "+OK"


@api("conference")
def conference(switch: SandboxSwitch, rest: str) -> str:
    return switch.conferences.command(rest.split())


@api("originate")
def originate(switch: SandboxSwitch, rest: str) -> str:
    """Start a call; None-like: the answer comes later, when media or the end of the call does."""
    try:
        dial_string, _ = quoting.originate_words(rest)
        variables, target = quoting.braces(dial_string)
    except quoting.ParseError as error:
        return str(error)
    channel_id = variables.get("origination_uuid") or str(uuid.uuid4())
    if channel_id in switch.channels or len(switch.channels) >= MAX_CHANNELS:
        return "-ERR DESTINATION_OUT_OF_ORDER"
    if target.startswith("null/"):
        channel = Channel(target, "outbound", FarEnd("null"), channel_id, dict(variables))
        channel.answer_state, channel.call_state, channel.answered = "answered", "ACTIVE", now_us()
        channel.application = "park"
        switch.add(channel)
        switch.calls.fire("CHANNEL_PARK", channel)
        return f"+OK {channel_id}"
    match = re.fullmatch(r"sofia/([A-Za-z0-9_.-]+)/sip:(?:([^@]*)@)?([^@:;]+)(?::(\d+))?(;.*)?", target)
    if match is None:
        return "-ERR USER_NOT_REGISTERED"
    if match[1] != "vsi":
        return "-ERR INVALID_PROFILE"
    channel = Channel(f"sofia/vsi/{match[2]}@{match[3]}", "outbound", FarEnd(), channel_id, dict(variables))
    channel.variables |= {"uuid": channel_id, "sip_call_id": f"{channel_id}@sandbox"}
    channel.caller_number = variables.get("origination_caller_id_number", "0000000000")
    channel.destination = match[2] or ""
    switch.add(channel)
    switch.calls.fire("CHANNEL_CREATE", channel)
    reachable = match[3] in ("127.0.0.1", "localhost", "sandbox") and match[4] != "1"
    switch.far_ends.dialled(channel, match[2] or "", reachable)
    return switch.PENDING


@api("sandbox")
def sandbox(switch: SandboxSwitch, rest: str) -> str:
    return control(switch, rest)
