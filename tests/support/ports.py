"""Ports for servers that have to be told theirs: nobody gets them between the choice and the server's start.

They are below those that the system gives to sockets, the tests' own among them, and each is claimed by a TCP
socket that does not listen. Where Linux is, which lets a server that reuses addresses listen there all the
same, the claim is held.
"""

from __future__ import annotations

import random
import socket
import sys

RTP_BLOCKS = range(10_000, 28_000, 1_500)
PORTS = range(28_000, 32_768)
_claims: list[socket.socket] = []
"""Held until the process ends: whoever was told the port may start its server again."""


def claim_rtp_block() -> tuple[socket.socket, int]:
    """RTP ports of this switch alone, as several may run on a machine: the first one, and the socket that
    claims the block for as long as it is open."""
    for start in RTP_BLOCKS:
        if claim := _claimed(start):
            return claim, start
    raise AssertionError("no free block of RTP ports for another switch")


def free_port() -> int:
    """A port of loopback at which nobody listens, TCP or UDP, and that nobody else is told."""
    for port in random.sample(PORTS, 100):
        if _udp_is_free(port) and (claim := _claimed(port)):
            if sys.platform == "linux":
                claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                _claims.append(claim)
            else:
                claim.close()
            return port
    raise AssertionError("no free port for another server")


def _claimed(port: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        claim.bind(("127.0.0.1", port))  # it reuses no address yet, as another claim is not to be shared
    except OSError:
        claim.close()
        return None
    return claim


def _udp_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def ipv6_loopback() -> bool:
    """Whether this machine has ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True
