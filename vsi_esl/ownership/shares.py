"""How many switches are whose: as even as whole numbers allow, by the weights of the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..cluster.leases import Peer


def shares(switches: int, peers: Iterable[Peer]) -> dict[str, int]:
    """For each service that stays, by name, how many of so many switches. Everybody who asks at the same time
    is told the same: what is left over goes to the largest remainders, and of equals to the first by name."""
    staying = sorted((peer for peer in peers if not peer.leaving), key=lambda peer: peer.name)
    total = sum(peer.weight for peer in staying)
    if not total:
        return {}
    found = {peer.name: switches * peer.weight // total for peer in staying}
    rest = switches - sum(found.values())
    by_remainder = sorted(staying, key=lambda peer: -(switches * peer.weight % total))
    for peer in by_remainder[:rest]:
        found[peer.name] += 1
    return found


def evens_out(name: str, peers: Iterable[Peer], held: Mapping[str, int]) -> bool:
    """Whether the services would share more evenly if another had one that this one has. Not so where it
    would only be another who has more, as of an odd number."""
    staying = {peer.name: peer.weight for peer in peers if not peer.leaving}
    mine = held.get(name, 0) / staying.get(name, 1)
    return any((held.get(one, 0) + 1) / weight < mine for one, weight in staying.items() if one != name)


def too_many(name: str, share: Mapping[str, int], held: Mapping[str, int]) -> int:
    """How many the service has above its share, as far as others have less than theirs."""
    above = held.get(name, 0) - share.get(name, 0)
    wanting = sum(max(0, share[one] - held.get(one, 0)) for one in share if one != name)
    return max(0, min(above, wanting))
