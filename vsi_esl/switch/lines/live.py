"""Commands for live audio: forks of what a leg says, and pairs of internal channels whose near end brings raw
audio to a UDP port of ours and takes it from there. Quoted or refused like all others.
"""

from __future__ import annotations

import re

from ...errors import BadArgument
from .audio import FAR_END_REST_MS, LOOPBACK, loopback
from .builder import member_flags, name, originate_variables, uuid

FORK_URL = re.compile(r"ws://127\.0\.0\.1:[0-9]{1,5}/[A-Za-z0-9_/-]{1,200}\Z")
FORK_RATE = 16000

WHISPER = {"eavesdrop_whisper_bleg": "true"}
"""What is said goes into what the leg hears."""
LISTEN = {"eavesdrop_bridge_aleg": "true", "eavesdrop_bridge_bleg": "false"}
"""What the leg says is heard, and nothing of what it hears."""


PEER = {**LOOPBACK, "ignore_early_media": "false"}
del PEER["vsi_internal"]


def fork(leg: str, url: str, bug: str) -> str:
    """Have the switch send what a leg says to a WebSocket, from now on. `bug` names it, once per leg.

    All arguments are there: without the rate the module ends the switch (a null pointer), and a URL that it
    cannot read leads to whatever server the one before named.
    """
    if not FORK_URL.match(url):
        raise BadArgument(f"a URL that the switch cannot be given: {url[:40]!r}")
    return f"uuid_audio_fork {uuid(leg)} start {url} mono {FORK_RATE} {name(bug)}"


def stop_fork(leg: str, bug: str) -> str:
    """End a fork whose connection was made, or has failed; before that it would be made and stay."""
    return f"uuid_audio_fork {uuid(leg)} stop {name(bug)}"


def room_pair(channel: str, conference: str, rate: int, *, speaks: bool, hears: bool) -> str:
    """A pair whose far end is an ordinary member of a room's conference; the near end waits parked."""
    flags = member_flags(not speaks, not hears)
    room = f"conference:{name(conference)}@vsi{int(rate)}" + (f"+flags{{{flags}}}" if flags else "")
    return loopback(channel, room, "park")


def leg_pair(channel: str, leg: str, purpose: dict[str, str]) -> str:
    """A pair whose far end listens or whispers to one leg; the near end waits parked. Its rate must be that
    of the leg's codec."""
    settings = {"eavesdrop_enable_dtmf": "false", **purpose}
    # unlike a conference, it does not answer
    return loopback(channel, f"answer^eavesdrop:{uuid(leg)}", "park", settings)


def leg_as_pair(leg: str, variables: dict[str, str]) -> str:
    """A pair whose near end is a leg, parked, of which the far end is the peer: that has media before it is
    answered, and waits parked. What is set on the leg is not on the far end, but for its variables, of which
    that it is internal counts there."""
    settings = {"origination_uuid": uuid(leg), **PEER, **variables}
    far = f"m:^:sleep:{FAR_END_REST_MS}^set:vsi_internal=true^pre_answer^park"
    near = "set:send_silence_when_idle=-1,park"
    return f"originate {originate_variables(settings)}loopback/{far}/default/inline '{near}' inline"


def park_again(half: str) -> str:
    """Have the half of a pair that waits parked do so anew: of what it was told of `unicast` nothing is left,
    and it is reported as parked once more."""
    return f"uuid_transfer {uuid(half)} 'park' inline"


def into_room(channel: str, conference: str, rate: int, *, speaks: bool) -> str:
    """A pair whose near end, `channel`, is an ordinary member of a room's conference; the far end waits
    parked."""
    flags = member_flags(not speaks, False)
    room = f"conference:{name(conference)}@vsi{int(rate)}" + (f"+flags{{{flags}}}" if flags else "")
    return loopback(channel, "answer^park", room)


def unicast(port: int) -> dict[str, str]:
    """What a parked channel is told (`sendmsg`) so that its audio goes to and comes from a UDP port of this
    machine: samples of 16 bit in this machine's order, at its codec's rate, 20 ms a datagram."""
    if not 0 < port < 65536:
        raise BadArgument(f"invalid port: {port}")
    return {
        "call-command": "unicast",
        "local-ip": "127.0.0.1",
        "local-port": "0",
        "remote-ip": "127.0.0.1",
        "remote-port": str(int(port)),
        "transport": "udp",
    }
