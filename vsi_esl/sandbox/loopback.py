"""Pairs of channels that hear each other (mod_loopback): A is originated, B runs applications of its own.

There is no far end and no SIP. The A side is answered when the B side is, and each ends with the other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import dialplan
from .calls import STEP_S
from .channels import Channel, FarEnd

if TYPE_CHECKING:
    from .server import SandboxSwitch

PREFIX = "loopback/"
APPLICATION = "app="
INLINE = "/inline"
INITIAL_CODEC = re.compile(r"L16@([0-9]{4,5})h")
DEFAULT_RATE = 8000


def applications(target: str) -> list[tuple[str, str]]:
    """What the B side of `loopback/app=NAME:ARGUMENT` or `loopback/APPLICATIONS/CONTEXT/inline` runs. There
    is no other dialplan here."""
    # what stands behind a | would be dialled if this failed
    extension = target.removeprefix(PREFIX).partition("|")[0]
    if extension.startswith(APPLICATION):
        name, _, argument = extension.removeprefix(APPLICATION).partition(":")
        return [(name, argument)]
    if not extension.endswith(INLINE):
        return []
    return dialplan.parse(extension.removesuffix(INLINE).rpartition("/")[0])


def begin(switch: SandboxSwitch, a_side: Channel, running: list[tuple[str, str]]) -> None:
    """Give an originated channel its other side, which runs these applications."""
    name, argument = running[0]
    b_side = Channel(f"loopback/{name}-b", "inbound", FarEnd(sends_rtp=False), internal=True)
    a_side.other, b_side.other = b_side, a_side
    a_side.variables |= {"loopback_app": name, "loopback_app_arg": argument}
    b_side.variables = dict(a_side.variables) | {"uuid": b_side.uuid, "direction": "inbound"}
    b_side.destination = a_side.destination = name
    b_side.caller_number = a_side.caller_number
    # `loopback_initial_codec` counts as a global variable only: in the braces it is read too late
    wanted = INITIAL_CODEC.match(switch.globals.get("loopback_initial_codec", ""))
    for leg, side in (("A", a_side), ("B", b_side)):
        side.variables |= {"loopback_leg": leg, "is_loopback": "1"}
        side.start_internal_media(int(wanted[1]) if wanted else DEFAULT_RATE)
    a_side.variables["other_loopback_leg_uuid"] = b_side.uuid
    b_side.variables["other_loopback_leg_uuid"] = a_side.uuid
    switch.add(a_side)
    switch.add(b_side)
    switch.calls.fire("CHANNEL_CREATE", a_side)
    switch.calls.fire("CHANNEL_ORIGINATE", a_side)
    switch.calls.fire("CHANNEL_CREATE", b_side)
    b_side.timers.later(STEP_S, _run, switch, b_side, running)


def _run(switch: SandboxSwitch, b_side: Channel, running: list[tuple[str, str]]) -> None:
    switch.dialplan.execute(b_side, "pre_answer", "")
    b_side.remaining = list(running)
    switch.dialplan.proceed(b_side)
