"""Where an outbound call goes: what is dialled, and the variables that the way there needs.

mod_sofia decides from the URI that is dialled by which transport it sends, and what its Contact says. So
that is made for the first hop, and where the Request-URI has to be another, it is given beside it: a `sips:`
URI is dialled as one over TLS and goes out as it is; so does one behind a proxy that is reached otherwise.
(`sofia/vsi/sips:...` alone is sent as `sip:`, and not over TLS.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ...errors import BadArgument
from ...model.sipuri import SipUri

GATEWAY = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
NUMBER = re.compile(r"[A-Za-z0-9_.!~*+$%#-]{1,128}\Z")
"""What may be dialled at a gateway without a host: it becomes the user part at the gateway's proxy."""
REQUEST_URI = "sip_invite_req_uri"


@dataclass(slots=True, frozen=True)
class Target:
    """A dial string, quoted already, and the variables that belong to it, which are not yet."""

    dial_string: str
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Profiles:
    """The SIP profiles of a switch: of calls to anywhere, and of calls to an IPv6 address."""

    ipv4: str
    ipv6: str

    def towards(self, hop: SipUri) -> str:
        """The profile that reaches this host."""
        return self.ipv6 if hop.ipv6 else self.ipv4


def at_profile(uri: SipUri, proxy: SipUri | None, profiles: Profiles) -> Target:
    """Dial a URI, through a proxy if there is one (a loose Route, RFC 3261, 16.12.1)."""
    hop = proxy or uri
    dialled = uri.over(hop.transport)
    variables = {}
    if proxy is not None:
        variables["sip_invite_route_uri"] = f"<{proxy.hop()}>"
    if dialled != str(uri):
        variables[REQUEST_URI] = str(uri)
    return Target(f"sofia/{_name(profiles.towards(hop), 'profile')}/{_dialled(dialled)}", variables)


def at_gateway(to: SipUri | str, gateway: str, transport: str, proxy: SipUri | None) -> Target:
    """Dial a URI, or a number at the gateway's own proxy, with the gateway's credentials. It has one
    transport, which the URI and the proxy have to share if they name one."""
    start = f"sofia/gateway/{_name(gateway, 'trunk')}/"
    for one in (to, proxy):
        if isinstance(one, SipUri) and one.transport not in ("", transport):
            raise BadArgument(f"trunk {gateway} sends by {transport}, not by {one.transport}")
    variables = {} if proxy is None else {"sip_invite_route_uri": f"<{proxy.hop()}>"}
    if isinstance(to, SipUri):
        if not to.user:
            raise BadArgument(f"a URI that is dialled by trunk {gateway} needs a user")
        # parameters would get into the gateway's Contact
        bare = SipUri("sip", to.user, to.host, to.port, ())
        if str(bare) != str(to):
            variables[REQUEST_URI] = str(to)
        return Target(start + _dialled(str(bare))[4:], variables)
    if not NUMBER.match(to):
        raise BadArgument(f"invalid SIP URI or number: {to[:120]!r}")
    return Target(start + to.replace("#", "%23"), variables)


def _dialled(uri: str) -> str:
    return uri.replace(",", "%2C")


def _name(name: str, what: str) -> str:
    if not GATEWAY.match(name):
        raise BadArgument(f"invalid {what}: {name[:80]!r}")
    return name
