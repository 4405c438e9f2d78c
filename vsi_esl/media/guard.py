"""Which addresses the service may be sent to by a URL of a client.

Without this a client could read what only this machine can reach: its own ports, the neighbours, the
metadata service of a cloud.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from . import MediaError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
COMPATIBLE = ipaddress.IPv6Network("::/96")


class AddressGuard:
    """Refuses private addresses unless `allow_private`, or they are in one of the `allowed` networks."""

    def __init__(self, allow_private: bool, allowed: Sequence[Network] = ()) -> None:
        self.allow_private = allow_private
        self.allowed = tuple(allowed)

    def check(self, host: str, ip: str, what: str = "fetch audio") -> None:
        """Raise MediaError, beginning with `what`, if `ip`, to which `host` resolved, must not be used."""
        if self.allow_private:
            return
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            raise MediaError(f"{what}: {host} has no usable address") from None
        meant = (address, *_embedded(address))
        if any(one in network for one in meant for network in self.allowed):
            return
        if any(is_private(one) for one in meant):
            raise MediaError(f"{what}: {host} has a private address ({ip}), which is not allowed")


def is_private(address: Address) -> bool:
    """Whether an address is not one of the public Internet. Embedded IPv4 addresses are not looked at."""
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local:
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return not address.is_global
    if address.ipv4_mapped is not None or address in NAT64:
        return False  # the address inside counts
    # stricter than is_global, which calls ranges public that nobody has given out
    return address not in GLOBAL_UNICAST or address.is_private


def _embedded(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses to which an IPv6 address leads."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address in NAT64 or address in COMPATIBLE:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def is_address(text: str, networks: Sequence[Network] = ()) -> bool:
    """Whether a text is an IP address; with `networks`, one in any of them."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not networks or any(address in network for network in networks)
