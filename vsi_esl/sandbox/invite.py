"""The headers of an INVITE that the switch sends, as far as variables decide them (mod_sofia, as measured).

A variable `sip_h_<name>` becomes a header of that name. The stack reads short forms, and takes some of its
own headers from there.
"""

from __future__ import annotations

import re

from .channels import Channel

SHORT_FORMS = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}
KEPT = frozenset("from to content-type content-length min-se privacy".split())
"""Headers of the switch's own that a variable does not change; Privacy as long as the switch writes one."""
PROFILE_SESSION_TIMEOUT = 1800
SMALLEST_MIN_SE = 90
INT_DIGITS = re.compile(r"[0-9]{1,10}\Z")


def headers(channel: Channel) -> dict[str, str]:
    """What the callee reads; names in lower case."""
    variables = channel.variables
    number = variables.get("origination_caller_id_number", "0000000000")
    name = variables.get("origination_caller_id_name", "")
    uri = variables.get("sip_from_uri") or f"sip:{number}@127.0.0.1"
    gateway = channel.dialled.gateway if channel.dialled else None
    if gateway is not None and "sip_from_uri" not in variables:
        uri = f"sip:{gateway.user}@{gateway.host}"
    identity = f'"{name}" <{uri}>' if name else f"<{uri}>"
    transport = channel.dialled.transport if channel.dialled else "udp"
    by = "" if transport == "udp" else f";transport={transport}"
    found = {
        "via": f"SIP/2.0/{transport.upper()} 127.0.0.1",
        "from": f"{identity};tag={variables.get('sip_from_tag', '')}",
        "to": variables.get("sip_full_to", ""),
        "call-id": variables.get("sip_call_id", ""),
        "cseq": f"{channel.cseq} INVITE",
        "contact": f"<sip:mod_sofia@127.0.0.1{by}>",
        "supported": "timer, path, replaces",
        "allow-events": "talk, hold, conference, refer",
        "content-type": "application/sdp",
    }
    if variables.get("sip_cid_type") == "pid":
        found |= {"p-asserted-identity": identity, "privacy": "none"}
    if "sip_invite_route_uri" in variables:
        found["route"] = variables["sip_invite_route_uri"]
    seconds = _session_timeout(variables.get("sofia_session_timeout", ""))
    if seconds:
        found["session-expires"] = f"{max(seconds, SMALLEST_MIN_SE)};refresher=uac"
        found["min-se"] = str(SMALLEST_MIN_SE)
    for key, value in variables.items():
        if key.startswith("sip_h_"):
            written = key[6:].lower()
            written = SHORT_FORMS.get(written, written)
            if not (written in found and (written in KEPT or written == "session-expires")):
                found[written] = value
    return found


def _session_timeout(given: str) -> int:
    """The profile's, unless the variable has a number of its own; the switch reads 32 bits."""
    if not INT_DIGITS.match(given):
        return PROFILE_SESSION_TIMEOUT
    seconds = int(given) & 0xFFFFFFFF
    return seconds if seconds < 1 << 31 else PROFILE_SESSION_TIMEOUT
