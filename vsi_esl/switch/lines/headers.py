"""SIP headers of an outbound INVITE: which of the client's go out, and which are the switch's own.

A header's name has no case (RFC 3261, 7.3.1), and some have a short form as well (7.3.3, and IANA's registry
of header fields). The stack takes both, so a header is known here by its long name in lower case. What each
does to an INVITE as `sip_h_<name>` was seen on the wire (FreeSWITCH 1.11.3-dev, sofia-sip 1.13.17).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ...errors import BadArgument

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
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

REFUSED = frozenset(
    "via from to contact call-id cseq max-forwards route record-route "
    "content-type content-length content-encoding content-disposition "
    "authorization proxy-authorization require proxy-require".split()
)
"""They make the dialog, its way through the network, its body and what must be understood of it: another
value breaks the call, or makes it somebody else's. (Content-Encoding has the stack compress the offer.)"""

DROPPED = frozenset("allow allow-events min-se session-expires supported".split())
"""What the switch says of its own abilities. A client's text would claim others."""

OWN_EXTENSIONS = frozenset(("timer", "path", "replaces"))
"""The option tags in the switch's own Supported."""

SESSION_TIMEOUT = "sofia_session_timeout"
"""Interval in seconds of the session timer (RFC 4028) that an INVITE or its answer offers. With 0 the switch
offers none, takes the peer's, and keeps it in re-INVITEs; without it the SIP profile's is forced on every
peer, and into the re-INVITEs of calls that have agreed on another."""

LONGEST_SESSION_S = (1 << 31) - 1
"""The switch reads a signed number of 32 bits. What is below 90 it raises to that, the smallest Min-SE."""


def long_name(name: str) -> str:
    """The header that is meant, by its long name in lower case."""
    name = name.strip().lower()
    return SHORT_FORMS.get(name, name)


@dataclass(slots=True)
class InviteHeaders:
    """The client's headers as channel variables, and the names of those that do not go out as they are."""

    variables: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    privacy: bool = False
    """A Privacy header is among them."""


def of_invite(headers: Iterable[tuple[str, str]]) -> InviteHeaders:
    """Sort the headers of a request. Raises BadArgument for those that the switch writes itself, and for a
    header that is there twice."""
    found = InviteHeaders({SESSION_TIMEOUT: "0"})
    seen: dict[str, str] = {}
    for name, value in headers:
        known = long_name(name)
        if known in REFUSED:
            raise BadArgument(f'headers: "{name}" is written by the switch')
        if known in seen:
            raise BadArgument(f'headers: "{seen[known]}" and "{name}" are the same header')
        seen[known] = name
        if known == "session-expires":
            seconds, plain = _session_expires(value)
            if seconds:
                found.variables[SESSION_TIMEOUT] = seconds
            if not plain:
                found.dropped.append(name)
        elif known == "supported" and _options(value) <= OWN_EXTENSIONS:
            continue  # the switch says so itself
        elif known in DROPPED:
            found.dropped.append(name)
        else:
            found.variables[f"sip_h_{name}"] = value
    found.privacy = "privacy" in seen
    return found


def _session_expires(value: str) -> tuple[str, bool]:
    """The seconds, empty when they are no number or too large; and whether the header says nothing else, or
    only what the switch says too."""
    text, _, parameters = value.partition(";")
    digits = text.strip().lstrip("0")
    good = digits.isascii() and digits.isdigit() and len(digits) <= 10 and int(digits) <= LONGEST_SESSION_S
    return (digits if good else ""), good and parameters.replace(" ", "").lower() in ("", "refresher=uac")


def _options(value: str) -> set[str]:
    return {option for part in value.split(",") if (option := part.strip().lower())}
