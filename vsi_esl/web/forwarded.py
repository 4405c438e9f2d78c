"""Whose request it is that a reverse proxy passes on.

Every proxy on the way puts the address that it was asked from at the end of X-Forwarded-For, behind whatever
its client has written there. So only what proxies of ours have written can be believed: the entries from the
right, as long as the one who wrote them is such a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from ..net.guard import Address, Network

MOST_HOPS = 32


def address_of(text: str) -> Address | None:
    """An IP address without its zone, IPv4 also where it is mapped into IPv6; None for what is none."""
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of them."""
    return address is not None and any(address in network for network in networks)


def client_of(peer: str, forwarded: str, proxies: Sequence[Network]) -> str:
    """The rightmost address that is no trusted proxy's; the leftmost when all are, as for a request by one.

    `peer` is who is connected to us, `forwarded` the header. An entry that is no address ends the search: it
    is what counts then, and is on no list of addresses.
    """
    client = peer
    for entry in reversed(forwarded.split(",")[-MOST_HOPS:]):
        if not within(address_of(client), proxies) or not entry.strip():
            break
        client = entry.strip()
    return client
