"""Whom a load generator may call: this machine, and what its operator says is theirs."""

from __future__ import annotations

import ipaddress
import socket

from ...errors import BadArgument
from ...model.sipuri import parse


def is_own(uri: str) -> bool:
    """Whether a SIP URI leads to loopback, or to an address of this machine. A name may lead anywhere, and
    the switch may read it otherwise, so only `localhost` is known. Raises BadArgument for what is none."""
    found = parse(uri)
    if any(one.lower().startswith("maddr=") for one in found.parameters):
        return False  # that is where it leads
    host = found.host.strip("[]")
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or (not address.is_unspecified and _is_here(str(address)))


def _is_here(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))  # only what is this machine's can be had
    except OSError:
        return False
    return True


def refusal(uri: str, called: str) -> str:
    """Why this URI is not called without being asked for; empty when it is. `called` is the option's name."""
    try:
        own = is_own(uri)
    except BadArgument as error:
        return f"{called}: {error.message}"
    if own:
        return ""
    return (
        f"{called} {uri} is not on this machine: calls to others are only made with --yes-i-own-this-target"
    )
