"""Whether the switch can send where a call is to go: TLS and IPv6 are there where they are configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NotSupported
from ..model.sipuri import SipUri
from ..switch.lines import builder

if TYPE_CHECKING:
    from .nodes import Node


def require(node: Node, profile: str, hop: SipUri) -> None:
    """NotSupported, naming the profile, when it does not run, or speaks no TLS to a hop that demands it."""
    status = node.command(builder.sofia_profile_status(profile))
    if "<profile-info>" not in status:
        raise NotSupported(f"{hop.host} needs the SIP profile {profile}, which the switch does not run")
    if hop.transport == "tls" and "<tls-url>" not in status:
        raise NotSupported(f"TLS is not configured in the SIP profile {profile} of the switch")
