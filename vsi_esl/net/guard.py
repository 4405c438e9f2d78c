"""Which addresses the service may be sent to by a URL of a client.

Without this a client could read what only this machine can reach: its own ports, the neighbours, the
metadata service of a cloud.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Sequence

from . import NetError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(word) for word in text.split())


# The IANA special-purpose registries (RFC 6890) as of 2025, written out: `ipaddress.is_global` and its like
# change their mind with every other version of Python.
NOT_PUBLIC_V4 = _networks(
    """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    """
)
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Of IPv6 only this has been given out; loopback, link-local, unique local and the rest are outside."""
NOT_PUBLIC_V6 = _networks("2001::/23 2001:db8::/32 3fff::/20")
"""Of GLOBAL_UNICAST: protocol assignments with Teredo, ORCHID and benchmarking; documentation."""

MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
COMPATIBLE = ipaddress.IPv6Network("::/96")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")

LOCAL = _networks("127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 ::1 fc00::/7 fe80::/10")
"""Loopback, private (RFC 1918, RFC 4193) and link-local: what is sent there stays in the house."""


class Forbidden(NetError):
    """A host whose address must not be used."""


class AddressGuard:
    """Refuses private addresses unless `allow_private`, or they are in one of the `allowed` networks."""

    def __init__(self, allow_private: bool, allowed: Sequence[Network] = ()) -> None:
        self.allow(allow_private, allowed)

    def allow(self, allow_private: bool, allowed: Sequence[Network] = ()) -> None:
        """What it lets through from now on."""
        self.allow_private = allow_private
        self.allowed = tuple(allowed)

    def check(self, host: str, ip: str, what: str = "fetch audio") -> None:
        """Raise Forbidden, beginning with `what`, if `ip`, to which `host` resolved, must not be used."""
        if self.allow_private:
            return
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            raise Forbidden(f"{what}: {host} has no usable address") from None
        meant = (address, *_embedded(address))
        if any(one in network for one in meant for network in self.allowed):
            return
        if any(is_private(one) for one in meant):
            raise Forbidden(f"{what}: {host} has a private address ({ip}), which is not allowed")

    def check_name(self, host: str, what: str) -> None:
        """Check what can be checked without asking a name server. Raises Forbidden, beginning with `what`."""
        address = literal(host)
        if address is not None:
            self.check(host, host if is_address(host) else str(address), what)
        elif f".{host.lower().rstrip('.')}".endswith(".localhost") and not self._may_be_loopback():
            raise Forbidden(f"{what}: {host} is this machine, which is not allowed")

    def _may_be_loopback(self) -> bool:
        return self.allow_private or any(
            one in network
            for one in map(ipaddress.ip_address, ("127.0.0.1", "::1"))
            for network in self.allowed
        )


def literal(host: str) -> Address | None:
    """The address that a host written as one stands for, also in the forms only the C library takes."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        # 134744072 and 0x8080808 look like names without a dot, and are 8.8.8.8
        return ipaddress.IPv4Address(socket.inet_aton(host.removesuffix(".")))
    except (OSError, UnicodeError):
        return None


def is_private(address: Address) -> bool:
    """Whether an address is not one of the public Internet. Embedded IPv4 addresses are not looked at."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in NOT_PUBLIC_V4)
    if address in MAPPED or address in NAT64:
        return False  # the address inside counts
    return address not in GLOBAL_UNICAST or any(address in network for network in NOT_PUBLIC_V6)


def is_local(address: Address) -> bool:
    """Whether what is sent to an address stays on this machine or in a private network."""
    meant = _last_32_bits(address) if address in MAPPED else address
    return any(meant in network for network in LOCAL)


def _embedded(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses to which an IPv6 address leads."""
    if any(address in network for network in (MAPPED, COMPATIBLE, NAT64)):
        yield _last_32_bits(address)
    if address in SIX_TO_FOUR:
        yield ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)


def _last_32_bits(address: Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def is_address(text: str, networks: Sequence[Network] = ()) -> bool:
    """Whether a text is an IP address; with `networks`, one in any of them."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not networks or any(address in network for network in networks)
