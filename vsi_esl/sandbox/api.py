"""The sandbox's api commands: a table from name to function. Answers are the switch's, to the letter."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .. import __version__
from . import dialplan, meta, quoting, sip
from .calls import STEP_S
from .channels import Channel, Outcome, now_us
from .control import control
from .fork import uuid_audio_fork, uuid_buglist
from .originate import originate
from .recording import uuid_record
from .tethers import uuid_bridge, uuid_media_reneg
from .text import uuid_send_text

if TYPE_CHECKING:
    from .server import SandboxSwitch

Api = Callable[["SandboxSwitch", str], "str | Outcome"]
TABLE: dict[str, Api] = {
    "originate": originate,
    "sandbox": control,
    "uuid_audio_fork": uuid_audio_fork,
    "uuid_bridge": uuid_bridge,
    "uuid_buglist": uuid_buglist,
    "uuid_media_reneg": uuid_media_reneg,
    "uuid_record": uuid_record,
    "uuid_send_text": uuid_send_text,
}

DTMF = re.compile(r"[0-9*#A-Da-dFfWw, ]+(@[0-9]+)?\Z")
MODULES = frozenset(
    "audio_fork commands conference console dialplan_xml dptools event_socket loopback opus sndfile sofia "
    "spandsp tone_stream local_stream rtc verto".split()
)
"""What can be loaded, unless a sandbox is told to be without it."""
LISTED_AFTER_US = 120_000
"""The switch's list of channels is a database that is written now and then."""
MODULE_OF = {"uuid_audio_fork": "audio_fork"}
"""Commands that there are only while their module is loaded."""
NO_CHANNEL = "-ERR No such channel!\n"
NO_SESSION = "-ERR Cannot locate session!\n"


def api(name: str) -> Callable[[Api], Api]:
    """Register the function of an api command; it gets the rest of the line."""

    def register(function: Api) -> Api:
        TABLE[name] = function
        return function

    return register


def start(switch: SandboxSwitch, line: str) -> str | Outcome:
    """Run one api command: its answer, or the outcome to wait for."""
    name, _, rest = line.strip(" ").partition(" ")
    function = TABLE.get(name)
    module = MODULE_OF.get(name)
    if function is None or (module is not None and module not in switch.modules):
        return f"-ERR {name} Command not found!\n"
    return function(switch, rest.strip(" "))


def run(switch: SandboxSwitch, line: str) -> str:
    """Run one api command that answers at once."""
    answer = start(switch, line)
    return answer if isinstance(answer, str) else ""


# -- the switch ---------------------------------------------------------------------------------------


@api("version")
def version(switch: SandboxSwitch, rest: str) -> str:
    return f"FreeSWITCH Version sandbox (vsi_esl {__version__})\n"


@api("status")
def status(switch: SandboxSwitch, rest: str) -> str:
    seconds = int(time.monotonic() - switch.began)
    return (
        f"UP 0 years, {seconds // 86400} days, {seconds // 3600 % 24} hours, {seconds // 60 % 60} minutes, "
        f"{seconds % 60} seconds\nFreeSWITCH (Version sandbox) is ready\n"
        f"{switch.created} session(s) since startup\n{len(switch.channels)} session(s) - peak {switch.peak}\n"
        f"{switch.max_channels} session(s) max\n"
    )


@api("module_exists")
def module_exists(switch: SandboxSwitch, rest: str) -> str:
    return "true" if rest.removeprefix("mod_") in switch.modules else "false"


@api("load")
def load(switch: SandboxSwitch, rest: str) -> str:
    name = rest.removeprefix("mod_")
    if name not in switch.installed:
        return "+OK Reloading XML\n-ERR [module load file routine returned an error]\n"
    if name in switch.modules:
        return "+OK Reloading XML\n-ERR [Module already loaded]\n"
    switch.modules.add(name)
    switch.fire("MODULE_LOAD", {"type": "generic", "name": name, "key": f"mod_{name}"})
    return "+OK Reloading XML\n+OK\n"


@api("unload")
def unload(switch: SandboxSwitch, rest: str) -> str:
    name = rest.removeprefix("mod_")
    if name not in switch.modules:
        return "-ERR unloading module [No such module!]\n"
    switch.modules.remove(name)
    switch.fire("MODULE_UNLOAD", {"type": "generic", "name": name, "key": f"mod_{name}"})
    return "+OK\n"


@api("global_getvar")
def global_getvar(switch: SandboxSwitch, rest: str) -> str:
    return switch.globals.get(rest, "")


@api("global_setvar")
def global_setvar(switch: SandboxSwitch, rest: str) -> str:
    words = quoting.separate(rest, "=", 3)
    if not words or not words[0]:
        return "-USAGE: <var>=<value> [=<value2>]\n"
    name, value, before = [*words, "", ""][:3]
    # with a third word it is set only if it has that value now
    if not before or switch.globals.get(name, "") == before:
        if value:
            switch.globals[name] = value
        else:
            switch.globals.pop(name, None)
    return "+OK"


@api("fsctl")
def fsctl(switch: SandboxSwitch, rest: str) -> str:
    return "+OK\n" if rest else "-USAGE: fsctl <command>\n"


@api("sofia")
def sofia(switch: SandboxSwitch, rest: str) -> str:
    return switch.sofia.command(rest)


@api("show")
def show(switch: SandboxSwitch, rest: str) -> str:
    if rest == "modules":
        listed = [f"api,{name},mod_{name}" for name in sorted(switch.modules)]
        return "\n".join(["type,name,ikey", *listed, "", f"{len(listed)} total.\n"])
    if rest != "channels as json":
        return "-USAGE: the sandbox shows `channels as json` and `modules`\n"
    rows = [
        {
            "uuid": channel.uuid,
            "direction": channel.direction,
            "created_epoch": str(channel.created // 1_000_000),
            "name": channel.name,
            "state": channel.state,
            "callstate": channel.call_state,
            "cid_name": channel.caller_name,
            "cid_num": channel.caller_number,
            "dest": channel.destination,
            "context": "vsi",
            "application": channel.application,
            "application_data": channel.application_data,
            "read_codec": channel.variables.get("read_codec", ""),
        }
        for channel in switch.channels.values()
        if channel.alive and abs(now_us() - channel.created) > LISTED_AFTER_US
    ]
    return switch.json({"row_count": len(rows), "rows": rows} if rows else {"row_count": 0}) + "\n"


@api("conference")
def conference(switch: SandboxSwitch, rest: str) -> str:
    return switch.conferences.command(rest) + "\n"


@api("sched_del")
def sched_del(switch: SandboxSwitch, rest: str) -> str:
    channel = switch.channels.get(rest)
    if channel is None or channel.scheduled is None:
        return "+OK Deleted: 0\n"
    channel.scheduled.kill(block=False)
    channel.scheduled = None
    return "+OK Deleted: 1\n"


# -- one channel --------------------------------------------------------------------------------------


@api("uuid_exists")
def uuid_exists(switch: SandboxSwitch, rest: str) -> str:
    return "true" if rest in switch.channels else "false"


@api("uuid_dump")
def uuid_dump(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, form = rest.partition(" ")
    channel = switch.channels.get(channel_id)
    if channel is None:
        return NO_CHANNEL
    if form != "json":
        return "-ERR the sandbox dumps as json only\n"
    return switch.json({"Event-Name": "CHANNEL_DATA", **switch.stamp(), **channel.with_variables()})


@api("uuid_getvar")
def uuid_getvar(switch: SandboxSwitch, rest: str) -> str:
    words = rest.split(" ")
    channel = switch.channels.get(words[0])
    if len(words) < 2:
        return "-USAGE: <uuid> <var>\n"
    return NO_CHANNEL if channel is None else channel.variables.get(words[1], "_undef_")


@api("uuid_setvar")
def uuid_setvar(switch: SandboxSwitch, rest: str) -> str:
    words = quoting.separate(rest, " ", 3)
    if len(words) < 2:
        return "-USAGE: <uuid> <var> [value]\n"
    channel = switch.channels.get(words[0])
    if channel is None:
        return NO_CHANNEL
    if len(words) == 3 and words[2]:
        channel.variables[words[1]] = words[2]
    else:
        channel.variables.pop(words[1], None)
    return "+OK\n"


@api("uuid_ring_ready")
def uuid_ring_ready(switch: SandboxSwitch, rest: str) -> str:
    return _done(switch, rest, switch.calls.ring_ready)


@api("uuid_pre_answer")
def uuid_pre_answer(switch: SandboxSwitch, rest: str) -> str:
    return _done(switch, rest, switch.calls.pre_answer)


@api("uuid_answer")
def uuid_answer(switch: SandboxSwitch, rest: str) -> str | Outcome:
    channel = switch.channels.get(rest.partition(" ")[0])
    if channel is not None and channel.alive and (channel.far.no_media or channel.far.lite):
        return meta.answered(switch, channel)
    return _done(switch, rest, switch.calls.answer)


def _done(switch: SandboxSwitch, rest: str, action: Callable[[Channel], bool]) -> str:
    channel = switch.channels.get(rest.partition(" ")[0])
    return "+OK\n" if channel is not None and action(channel) else "-ERROR\n"


@api("uuid_kill")
def uuid_kill(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, cause = rest.partition(" ")
    channel = switch.channels.get(channel_id)
    if channel is None:
        return NO_CHANNEL
    switch.calls.hangup(channel, sip.hangup_cause(cause))
    return "+OK\n"


@api("uuid_hold")
def uuid_hold(switch: SandboxSwitch, rest: str) -> str:
    words = rest.split(" ")
    on = words[0] != "off"
    channel = switch.channels.get(words[0] if on else words[-1])
    # an unknown channel is a success to the switch
    return (switch.calls.hold(channel, on) if channel is not None else "+OK Success") + "\n"


@api("uuid_send_dtmf")
def uuid_send_dtmf(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, digits = rest.partition(" ")
    if not digits:
        return "-USAGE: <uuid> <dtmf_data>\n"
    channel = switch.channels.get(channel_id)
    if channel is None:
        return NO_SESSION
    if not DTMF.match(digits):
        return "-ERR Operation failed\n"
    channel.far.digits += digits.partition("@")[0]
    if not channel.far.rfc4733:
        channel.far.seen += ["INFO"] * len(digits.partition("@")[0])
    return f"+OK {channel_id} sent DTMF {digits}.\n"


@api("uuid_recv_dtmf")
def uuid_recv_dtmf(switch: SandboxSwitch, rest: str) -> str:
    channel_id, _, digits = rest.partition(" ")
    if not digits:
        return "-USAGE: <uuid> <dtmf_data>\n"
    channel = switch.channels.get(channel_id)
    if channel is None:
        return NO_SESSION
    switch.calls.dtmf(channel, digits.partition("@")[0], "APP")
    return f"+OK {channel_id} received DTMF {digits}.\n"


@api("uuid_send_info")
def uuid_send_info(switch: SandboxSwitch, rest: str) -> str:
    channel = switch.channels.get(rest)
    return switch.refers.inform_peer(channel) if channel is not None else "-ERR Operation Failed\n"


@api("uuid_deflect")
def uuid_deflect(switch: SandboxSwitch, rest: str) -> str:
    words = quoting.separate(rest, " ", 2)
    if len(words) < 2:
        return "-USAGE: <uuid> <uri>\n"
    channel = switch.channels.get(words[0])
    if channel is None:
        return f"-ERR No such channel {words[0]}!\n"
    return switch.refers.deflect(channel, words[1])


@api("uuid_transfer")
def uuid_transfer(switch: SandboxSwitch, rest: str) -> str:
    words = quoting.separate(rest, " ", 5)
    if len(words) < 2:
        return "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n"
    channel = switch.channels.get(words[0])
    if channel is None:
        return NO_CHANNEL
    if words[2:3] != ["inline"]:
        return "-ERR the sandbox transfers inline only\n"
    if not switch.dialplan.may_transfer(channel):
        return "-ERR\n"
    switch.calls.forget_hold(channel)
    # the answer goes first; the channel moves when its thread comes to it
    channel.timers.later(STEP_S, switch.dialplan.transfer, channel, dialplan.parse(words[1]))
    return "+OK\n"
