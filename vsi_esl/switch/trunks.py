"""The trunks of a switch: the gateways of our SIP profiles, which the operator has put there.

Gateways of other profiles are somebody else's: their calls would lack what our profiles have, and their
credentials are not for the service's clients.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

GATEWAY = re.compile(r"<gateway>(.*?)</gateway>", re.DOTALL)
ELEMENT = re.compile(r"<([a-z-]+)>([^<]*)</\1>")
ADDRESS = re.compile(r"sips?:(?:([^@;>]*)@)?(\[[^\]]*\]|[^:;>]*)")
TRANSPORT = re.compile(r";transport=(\w+)")
MAX_TRUNKS = 10_000
REGISTERED = "REGED"
NO_REGISTRATION = "NOREG"


@dataclass(slots=True, frozen=True)
class Trunk:
    """A gateway: the user and host of the address that it speaks for, its transport, and how it stands."""

    name: str
    profile: str
    user: str
    host: str
    transport: str
    state: str
    """REGED, NOREG (which needs none), or what the registration is at."""
    up: bool
    """Calls can be sent to it; without pings it always is."""


def read(status: str, profiles: Collection[str]) -> list[Trunk]:
    """The gateways of these profiles in what `sofia xmlstatus gateway` says, of one or of all."""
    found = []
    for block in GATEWAY.finditer(status):
        told = {name: html.unescape(value) for name, value in ELEMENT.findall(block[1])}
        if told.get("profile") not in profiles or not told.get("name"):
            continue
        address = ADDRESS.search(told.get("from", ""))
        user, host = (address[1] or "", address[2].lower()) if address else ("", "")
        transport = TRANSPORT.search(told.get("contact", ""))
        found.append(
            Trunk(
                told["name"],
                told["profile"],
                user,
                host,
                transport[1].lower() if transport else "udp",
                told.get("state", ""),
                told.get("status") == "UP",
            )
        )
        if len(found) >= MAX_TRUNKS:
            break
    return found


def speaking_for(trunks: Iterable[Trunk], user: str, host: str) -> Trunk | None:
    """The trunk of a caller: that of the address; of several for its host none, unless it is the only one.

    A caller who names no host gets the only one with that user, and one with another host never does: it is
    another identity, which must not borrow credentials because of its user part.
    """
    if not user:
        return None
    same_host = [one for one in trunks if one.host == host] if host else []
    fitting = [one for one in (same_host if host else trunks) if one.user == user] or same_host
    return fitting[0] if len(fitting) == 1 else None
