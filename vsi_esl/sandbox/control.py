"""`api sandbox {...}`: playing the people at the other end. For demonstrations and tests.

{"do": "call", "from": .., "to": .., "display": .., "headers": {..}, "codecs": [..], "talk": bool}
{"do": "answer" | "reject" | "hangup" | "far" | "list", "uuid": .., "code": ..}
{"do": "dtmf", "uuid": .., "digits": ..}     {"do": "talk" | "rtp", "uuid": .., "on": bool}
{"do": "hold", "uuid": .., "flow": "sendonly" | "inactive"}    {"do": "unhold", "uuid": ..}
{"do": "hold_reject", "uuid": .., "code": 488}    {"do": "refer", "uuid": .., "to": .., "referred_by": ..}
{"do": "burst", "uuid": .., "events": n}     n DTMF events as fast as they are taken
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
import orjson

from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch

BURST_STEP = 200
MAX_BURST = 1_000_000


def control(switch: SandboxSwitch, text: str) -> str:
    """Carry out one verb; `+OK ...`, JSON, or `-ERR what is wrong`."""
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"-ERR not JSON: {error}"
    if not isinstance(request, dict):
        return "-ERR must be a JSON object"
    verb = request.get("do")
    if verb == "call":
        try:
            return f"+OK {switch.far_ends.call(request).uuid}"
        except (ValueError, TypeError) as error:
            return f"-ERR {error}"
    if verb == "list":
        return switch.json([_seen(channel) for channel in switch.channels.values()])
    wanted = str(request.get("uuid", ""))
    channel = switch.channels.get(wanted) or (switch.buried.get(wanted) if verb == "far" else None)
    if channel is None:
        return "-ERR No such channel!"
    action = VERBS.get(str(verb))
    if action is None:
        return f"-ERR unknown verb; known: call, list, {', '.join(VERBS)}"
    try:
        return action(switch, channel, request) or "+OK"
    except (ValueError, TypeError) as error:
        return f"-ERR {error}"


def _seen(channel: Channel) -> dict[str, Any]:
    return {
        "uuid": channel.uuid,
        "direction": channel.direction,
        "state": channel.answer_state,
        "caller": channel.caller_number,
        "called": channel.destination,
        "codec": channel.codec,
        "held": channel.held,
        "conference": channel.member.conference.name if channel.member else "",
        "seen": channel.far.seen,
        "digits": channel.far.digits,
    }


def _far(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> str:
    return switch.json(_seen(channel))


def _dtmf(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    for digit in str(request.get("digits", "")):
        switch.calls.fire("DTMF", channel, DTMF_Digit=digit, DTMF_Duration="2240", DTMF_Source="RTP")


def _hangup(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    switch.far_ends.hang_up(channel)


def _answer(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    switch.far_ends.answer(channel)


def _reject(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    switch.far_ends.reject(channel, int(request.get("code", 486)))


def _hold(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    flow = str(request.get("flow", "sendonly"))
    if flow not in ("sendonly", "inactive"):
        raise ValueError("flow must be sendonly or inactive")
    switch.calls.peer_hold(channel, flow)


def _unhold(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    switch.calls.peer_hold(channel, "sendrecv")


def _talk(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    switch.conferences.set_talking(channel, bool(request.get("on", True)))


def _rtp(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    channel.count_rtp(bool(request.get("on", True)))
    switch.calls.watch_media(channel)


def _hold_reject(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    channel.far.hold_code = int(request.get("code", 488))


def _refer(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    switch.far_ends.refer(channel, str(request.get("to", "")), str(request.get("referred_by", "")))


def _burst(switch: SandboxSwitch, channel: Channel, request: dict[str, Any]) -> None:
    count = int(request.get("events", 1000))
    if not 0 < count <= MAX_BURST:
        raise ValueError(f"events must be 1 to {MAX_BURST}")
    gevent.spawn(_fire_burst, switch, channel, count)


def _fire_burst(switch: SandboxSwitch, channel: Channel, count: int) -> None:
    for number in range(count):
        switch.calls.fire("DTMF", channel, DTMF_Digit=str(number % 10), DTMF_Source="RTP")
        if number % BURST_STEP == BURST_STEP - 1:
            switch.flush()
            gevent.sleep(0)
    switch.flush()


VERBS: dict[str, Callable[[SandboxSwitch, Channel, dict[str, Any]], str | None]] = {
    "answer": _answer,
    "burst": _burst,
    "dtmf": _dtmf,
    "far": _far,
    "hangup": _hangup,
    "hold": _hold,
    "hold_reject": _hold_reject,
    "refer": _refer,
    "reject": _reject,
    "rtp": _rtp,
    "talk": _talk,
    "unhold": _unhold,
}
