"""Settings of media over WebSockets."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import values
from ..config.declare import setting
from ..config.sections import section
from ..net.guard import AddressGuard, Network


@section("streams")
@dataclass(frozen=True, slots=True)
class StreamSettings:
    """WebSockets with media: those that are opened to URLs of clients, and their deadlines."""

    allow_private_urls: bool = setting(
        "VSI_ESL_STREAMS_ALLOW_PRIVATE_URLS",
        values.boolean,
        False,
        "Open WebSockets to private and loopback addresses too, which a client could use to look around.",
        live=True,
    )
    allowed_networks: tuple[Network, ...] = setting(
        "VSI_ESL_STREAMS_ALLOWED_NETWORKS",
        values.networks,
        (),
        "Private networks (CIDR) to which WebSockets may be opened nevertheless.",
        live=True,
    )
    read_timeout: float = setting(
        "VSI_ESL_STREAMS_READ_TIMEOUT",
        values.duration,
        60.0,
        "End a WebSocket that sends nothing for so long.",
        live=True,
    )
    write_timeout: float = setting(
        "VSI_ESL_STREAMS_WRITE_TIMEOUT",
        values.duration,
        5.0,
        "End a WebSocket that takes nothing for so long of what is sent.",
        live=True,
    )

    @property
    def guard(self) -> AddressGuard:
        """What refuses an address."""
        return AddressGuard(self.allow_private_urls, self.allowed_networks)
