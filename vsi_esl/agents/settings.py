"""Settings of agents. Keys and addresses of providers are in the section `providers`."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.declare import setting
from ..config.sections import section
from ..net.guard import AddressGuard, Network


@section("agents")
@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Agents whose addresses clients name (Pipecat bots)."""

    allow_private_urls: bool = setting(
        "VSI_ESL_AGENTS_ALLOW_PRIVATE_URLS",
        values.boolean,
        False,
        "Connect to private and loopback addresses too, which a client could use to look around inside.",
        live=True,
    )
    allowed_networks: tuple[Network, ...] = setting(
        "VSI_ESL_AGENTS_ALLOWED_NETWORKS",
        values.networks,
        (),
        "Private networks (CIDR) with bots that may be connected to nevertheless.",
        live=True,
    )

    @property
    def guard(self) -> AddressGuard:
        """What refuses an address."""
        return AddressGuard(self.allow_private_urls, self.allowed_networks)
