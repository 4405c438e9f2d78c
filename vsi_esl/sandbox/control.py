"""`api sandbox {...}`: playing the people at the other end. For demonstrations and tests.

{"do": "call", "from": .., "to": .., "display": .., "headers": {..}, "codecs": [..], "talk": bool,
 "say": {..}}  +OK <uuid>
{"do": "answer", "uuid": ..}     {"do": "reject", "uuid": .., "code": 486}     {"do": "hangup", "uuid": ..}
{"do": "cancel", "uuid": ..}  a CANCEL, which may cross the answer
{"do": "connect", "uuid": ..}  a browser has the answer to its offer
{"do": "dtmf", "uuid": .., "digits": .., "by": "rtp" | "info" | "tone"}
{"do": "talk" | "rtp", "uuid": .., "on": bool}
{"do": "say", "uuid": .., "frequency": Hz | "file": a WAV | "text": ..}  once there is media; or silence
{"do": "hold", "uuid": .., "flow": "sendonly" | "inactive"}    {"do": "unhold", "uuid": ..}
{"do": "hold_reject", "uuid": .., "code": 488}    {"do": "refer", "uuid": .., "to": ..}
{"do": "answer_refer", "uuid": .., "code": 202, "challenge": bool}  how REFERs are answered; 0 for not at all
{"do": "notify", "uuid": .., "line": "SIP/2.0 200 OK", "state": "terminated;reason=noresource"}
{"do": "far", "uuid": ..}  what the other end has been sent     {"do": "list"}  the same for all
{"do": "text", "uuid": .., "text": ..}  typed there; with "rtt": true in `call` text is offered
{"do": "burst", "uuid": .., "events": n, "event": "DTMF"}       n events as fast as they are taken
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
import orjson

from . import invite, meta, speech
from .channels import Channel

if TYPE_CHECKING:
    from .server import SandboxSwitch

Request = dict[str, Any]

BURST_STEP = 200
BURST_UNSENT_BYTES = 2 * 1024 * 1024
BURST_PATIENCE_S = 5.0
BURST_EVENTS = ("DTMF", "CHANNEL_PROGRESS", "CHANNEL_HOLD", "CHANNEL_UNHOLD")
MAX_BURST = 1_000_000
MAX_DIGITS = 1000
DIGITS = frozenset("0123456789*#ABCD")
SOURCES = {"rtp": "RTP", "info": "ENDPOINT", "tone": "INBAND_AUDIO"}
"""How a digit is sent -> what the switch calls it."""


def control(switch: SandboxSwitch, text: str) -> str:
    """Carry out one verb; `+OK ...`, JSON, or `-ERR what is wrong`."""
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f"-ERR not JSON: {error}\n"
    if not isinstance(request, dict):
        return "-ERR must be a JSON object\n"
    try:
        return (_carry_out(switch, request) or "+OK") + "\n"
    except (ValueError, TypeError, OverflowError) as error:
        return f"-ERR {error}\n"


def _carry_out(switch: SandboxSwitch, request: Request) -> str | None:
    verb = str(request.get("do", ""))
    if verb == "call":
        caller = meta.calls(switch, request) if request.get("whatsapp") else switch.far_ends.call(request)
        return f"+OK {caller.uuid}"
    if verb == "list":
        return switch.json([_seen(channel) for channel in switch.channels.values()])
    action = VERBS.get(verb)
    if action is None:
        raise ValueError(f"unknown verb; known: call, list, far, {', '.join(VERBS)}")
    wanted = str(request.get("uuid", ""))
    channel = switch.channels.get(wanted) or (switch.buried.get(wanted) if action is _far else None)
    if channel is None or not (channel.alive or action is _far):
        raise ValueError("No such channel!")
    return action(switch, channel, request)


def _seen(channel: Channel) -> Request:
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
        "reinvites": [one[7:] for one in channel.far.seen if one.startswith("INVITE s")],
        "reports": channel.far.reports,
        "reason": channel.far.reason,
        "digits": channel.far.digits,
        "talking": channel.far.talking,
        "texts": channel.far.texts,
        "referred": channel.far.referred,
        "invite": invite.headers(channel) if channel.direction == "outbound" else {},
    }


def _far(switch: SandboxSwitch, channel: Channel, request: Request) -> str:
    return switch.json(_seen(channel))


def _dtmf(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    digits = str(request.get("digits", ""))
    if not digits or len(digits) > MAX_DIGITS or not DIGITS.issuperset(digits):
        raise ValueError(f"digits must be 1 to {MAX_DIGITS} of 0-9 * # A-D")
    if not channel.media:
        raise ValueError("the call has no media yet")
    by = str(request.get("by", "rtp"))
    if by not in SOURCES:
        raise ValueError(f"by must be one of {', '.join(SOURCES)}")
    switch.calls.dtmf(channel, digits, SOURCES[by])


def _text(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    typed = str(request.get("text", ""))
    if not typed:
        raise ValueError("text is missing")
    if not channel.text_possible:
        raise ValueError("the call has no real-time text")
    switch.calls.text(channel, typed.encode("utf-8", "replace").decode())


def _hangup(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    switch.far_ends.hang_up(channel)


def _connect(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    if not channel.verto or "rtp_ice_ufrag" not in channel.variables:
        raise ValueError("not a browser that was answered")
    switch.verto.connect(channel)


def _cancel(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    if channel.direction != "inbound":
        raise ValueError("only a caller can cancel")
    switch.far_ends.cancel(channel)


def _answer(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    _require_ringing_there(channel)
    switch.far_ends.answer(channel)


def _reject(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    _require_ringing_there(channel)
    switch.far_ends.reject(channel, _code(request, 486))


def _require_ringing_there(channel: Channel) -> None:
    if channel.direction != "outbound" or channel.answer_state not in ("ringing", "early"):
        raise ValueError("the call does not wait for this end's answer")


def _hold(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    flow = str(request.get("flow", "sendonly"))
    if flow not in ("sendonly", "inactive"):
        raise ValueError("flow must be sendonly or inactive")
    _require_answered(channel)
    switch.calls.peer_hold(channel, flow)


def _unhold(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    _require_answered(channel)
    switch.calls.peer_hold(channel, "sendrecv")


def _require_answered(channel: Channel) -> None:
    if channel.answer_state != "answered":
        raise ValueError("the call is not answered")


def _talk(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    channel.far.voice = None
    switch.conferences.set_talking(channel, _on(request))


def _say(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    switch.far_ends.say(channel, speech.voice(request))


def _rtp(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    channel.count_rtp(_on(request))
    switch.calls.watch_media(channel)


def _hold_reject(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    channel.far.hold_code = _code(request, 488)


def _refer(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    target = str(request.get("to", ""))
    if not target:
        raise ValueError("to is missing")
    switch.far_ends.refer(channel, target)


def _answer_refer(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    code = int(request.get("code", 202))
    if code and not 200 <= code <= 699:
        raise ValueError("code must be 0, or 200 to 699")
    channel.far.refer_code, channel.far.refer_challenge = code, bool(request.get("challenge", False))


def _notify(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    _require_answered(channel)
    line, state = str(request.get("line", "")), str(request.get("state", ""))
    switch.refers.notify(channel, line, state, str(request.get("event", "refer")))


def _burst(switch: SandboxSwitch, channel: Channel, request: Request) -> None:
    count, name = int(request.get("events", 1000)), str(request.get("event", "DTMF"))
    if not 0 < count <= MAX_BURST:
        raise ValueError(f"events must be 1 to {MAX_BURST}")
    if name not in BURST_EVENTS:
        raise ValueError(f"event must be of {', '.join(BURST_EVENTS)}")
    channel.timers.later(0, _fire_burst, switch, channel, name, count)


def _fire_burst(switch: SandboxSwitch, channel: Channel, name: str, count: int) -> None:
    headers = channel.with_variables()
    for number in range(count):
        digit = {"DTMF-Digit": str(number % 10), "DTMF-Duration": "2240", "DTMF-Source": "RTP"}
        switch.fire(name, headers | digit if name == "DTMF" else headers)
        if number % BURST_STEP == BURST_STEP - 1:
            switch.flush()
            gevent.sleep(0)
            _wait_for_room(switch)


def _wait_for_room(switch: SandboxSwitch) -> None:
    # one who does not read at all is left to the bound of his queue
    with gevent.Timeout(BURST_PATIENCE_S, False):
        while switch.unsent_bytes > BURST_UNSENT_BYTES:
            gevent.sleep(0.001)


def _on(request: Request) -> bool:
    on = request.get("on", True)
    if not isinstance(on, bool):
        raise ValueError("on must be true or false")
    return on


def _code(request: Request, default: int) -> int:
    code = int(request.get("code", default))
    if not 300 <= code <= 699:
        raise ValueError("code must be 300 to 699")
    return code


VERBS: dict[str, Callable[[SandboxSwitch, Channel, Request], str | None]] = {
    "answer": _answer,
    "answer_refer": _answer_refer,
    "burst": _burst,
    "cancel": _cancel,
    "connect": _connect,
    "dtmf": _dtmf,
    "far": _far,
    "hangup": _hangup,
    "hold": _hold,
    "hold_reject": _hold_reject,
    "notify": _notify,
    "refer": _refer,
    "reject": _reject,
    "rtp": _rtp,
    "say": _say,
    "talk": _talk,
    "text": _text,
    "unhold": _unhold,
}
