"""Who calls: the From and P-Asserted-Identity of an outbound INVITE (RFC 3261 8.1.1.3, RFC 3325)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from ...errors import BadArgument
from ...model.sipuri import sip_uri

NAME_ADDR = re.compile(r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"\s*|(?P<plain>[^"<>]*))<(?P<uri>[^<>]*)>[^<>]*\Z')
SCHEME = re.compile(r"(?i)sips?:")
TEL = re.compile(r"(?i)tel:([^;]*)")
PORT_AND_MORE = re.compile(r":[0-9]+(?=[;?]|\Z)|[;?]")
USER_SAFE = "!~*()&=+$;:,/-_.%"
"""Beside letters and digits: what stands in a user part as it is."""
NOBODY = "vsi"


@dataclass(slots=True, frozen=True)
class Caller:
    """The parts of a `from`. Without `host` it is the service's own domain, or the switch's address."""

    user: str
    host: str = ""
    display: str = ""


def caller(text: str) -> Caller:
    """A user part, a SIP URI of any case, or a name-addr.

    As in the reference, a sips: URI makes a sip: From, the host is written in lower case, and port, password
    and parameters are left out. Raises BadArgument for a URI without a user or a host.
    """
    address = text.strip()
    form = NAME_ADDR.match(address)
    display = ""
    if form:
        written = form["quoted"] if form["quoted"] is not None else form["plain"]
        # the switch cannot carry quotes in a name
        display = re.sub(r'["\\]', "", written).strip()
        address = form["uri"].strip()
    tel = TEL.match(address)
    if tel:
        return Caller(tel[1], display=display)
    scheme = SCHEME.match(address)
    rest = address[scheme.end() :] if scheme else address
    if not scheme and "@" not in rest:
        return Caller(rest, display=display)
    before, _, after = rest.partition("@")
    user = before.partition(":")[0]
    host = PORT_AND_MORE.split(after, maxsplit=1)[0].lower()
    if not (user and host):
        raise BadArgument(f"from: needs a user and a host, not {text[:120]!r}")
    return Caller(user, host, display)


def variables(from_: str, privacy: bool, domain: str) -> dict[str, str]:
    """The channel variables for it. With `privacy` the identity header is left out, because the switch would
    add a `Privacy: none` to the one it makes."""
    who = caller(from_)
    found = {
        "origination_caller_id_number": who.user or NOBODY,
        "origination_caller_id_name": who.display or who.user or NOBODY,
        "sip_cid_type": "pid" if who.user and not privacy else "none",
    }
    host = who.host or domain
    if who.user and host:
        found["sip_from_uri"] = sip_uri(f"sip:{quote(who.user, safe=USER_SAFE)}@{host}")
    return found
