"""The SIP URIs that are dialled, or sent through (RFC 3261, 19.1)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

from ..errors import BadArgument

SIP_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[A-Za-z0-9_.!~*()&=+$/%;:-]{1,256})@)?"
    r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<parameters>(?:;[A-Za-z0-9_.!~*+$%-]{1,64}(?:=[A-Za-z0-9_.!~*+$%:\[\]-]{1,128})?){0,16})\Z",
    re.IGNORECASE,
)
TRANSPORTS = ("udp", "tcp", "tls")
"""What a SIP profile can speak to a peer. (With `ws` the switch would take the peer for a browser.)"""
OTHER_PORT = re.compile(r"(?i)port=")
"""mod_sofia takes what stands behind the first of these in a URI for the transport."""


@dataclass(slots=True, frozen=True)
class SipUri:
    """A URI taken apart. `host` is as written, an IPv6 address in brackets; `parameters` are raw."""

    scheme: str
    user: str
    host: str
    port: str
    parameters: tuple[str, ...]

    @property
    def transport(self) -> str:
        """udp, tcp or tls when the URI demands one; `sips:` demands TLS."""
        if self.scheme == "sips":
            return "tls"
        return next((one[10:].lower() for one in self.parameters if _names_transport(one)), "")

    @property
    def ipv6(self) -> bool:
        """The host is an IPv6 address."""
        return self.host.startswith("[")

    def over(self, transport: str) -> str:
        """As a `sip:` URI that demands this transport, or none."""
        others = [one for one in self.parameters if not _names_transport(one)]
        wanted = [f"transport={transport}"] if transport else []
        return self._text("sip", [*wanted, *others])

    def hop(self) -> str:
        """As a loose hop of a Route: a hop is a proxy, not a user at it."""
        names = [one.partition("=")[0].lower() for one in self.parameters]
        loose = [] if "lr" in names else ["lr"]
        return SipUri(self.scheme, "", self.host, self.port, (*self.parameters, *loose)).__str__()

    def _text(self, scheme: str, parameters: list[str]) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{scheme}:{user}{self.host}{port}" + "".join(f";{one}" for one in parameters)

    def __str__(self) -> str:
        return self._text(self.scheme, list(self.parameters))


def _names_transport(parameter: str) -> bool:
    return parameter.lower().startswith("transport=")


def parse(value: str) -> SipUri:
    """Take a dialable URI apart, its scheme in lower case. What `originate` would take for syntax is refused.

    A comma, `|` or `:_:` dials a second destination, `fs_path` sends the INVITE elsewhere, and from any other
    `fs_` on the URI is cut off; `received` makes the peer one behind NAT; `?` adds headers, `^` rewrites To.
    A comma may be written `%2C`. Raises BadArgument.
    """
    match = SIP_URI.match(value)
    if match is None or ":_:" in value:
        raise BadArgument(f"invalid SIP URI: {value[:120]!r}")
    uri = SipUri(
        match["scheme"].lower(),
        match["user"] or "",
        match["host"],
        match["port"] or "",
        tuple(match["parameters"].split(";")[1:]),
    )
    for parameter in unquote(value).lower().split(";")[1:]:
        if parameter.strip().startswith(("fs_", "received")):
            raise BadArgument("invalid SIP URI: parameters fs_... and received are the switch's own")
    if uri.port and not 0 < int(uri.port) < 65536:
        raise BadArgument(f"invalid SIP URI: port {uri.port}")
    if uri.ipv6:
        try:
            ipaddress.IPv6Address(uri.host[1:-1])
        except ValueError:
            raise BadArgument(f"invalid SIP URI: {uri.host} is no IPv6 address") from None
    _check_transport(uri)
    return uri


def _check_transport(uri: SipUri) -> None:
    named = [one[10:].lower() for one in uri.parameters if _names_transport(one)]
    if len(named) > 1 or (named and named[0] not in TRANSPORTS) or (uri.scheme == "sips" and "udp" in named):
        raise BadArgument("invalid SIP URI: the transport is udp, tcp or tls, and not udp with sips:")
    others = [uri.user, *[one for one in uri.parameters if not _names_transport(one)]]
    if any(OTHER_PORT.search(unquote(one)) for one in others):
        raise BadArgument('invalid SIP URI: "port=" in it is the transport to the switch')


def sip_uri(value: str) -> str:
    """The URI with its scheme in lower case; refused as by `parse`."""
    return str(parse(value))
