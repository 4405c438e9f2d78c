"""Headers of WebSocket upgrades: which of a client's go out with ours, and which of a caller's are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import Invalid

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")
UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
MAX_HEADERS = 64
MAX_BYTES = 16 * 1024
"""Of all of them together: what servers take."""
OURS = frozenset(
    (
        "host upgrade connection content-length transfer-encoding te trailer keep-alive expect"
        " proxy-connection"
    ).split()
)
"""What makes the request, or the connection it goes over (RFC 9110, 7.6.1)."""
HANDSHAKE = "sec-websocket-"
SHOWN = ("x-", "p-")
AUTHORIZATION = "authorization"
CREDENTIALS = frozenset((AUTHORIZATION, "proxy-authorization", "cookie"))
"""Of a client for the other end, and for nobody else."""
NEVER_SHOWN = "x-webhook-secret"


def outgoing(headers: Mapping[str, str]) -> dict[str, str]:
    """A client's headers for an upgrade of ours. Invalid for those that are ours to write, for what no header
    can hold, and for a header that is there twice."""
    if (
        len(headers) > MAX_HEADERS
        or sum(len(name) + len(value) for name, value in headers.items()) > MAX_BYTES
    ):
        raise Invalid(f"headers: more than {MAX_HEADERS}, or {MAX_BYTES} bytes")
    seen: set[str] = set()
    for name, value in headers.items():
        known = name.lower()
        if not NAME.match(name):
            raise Invalid(f"headers: invalid name {name[:80]!r}")
        if known in OURS or known.startswith(HANDSHAKE):
            raise Invalid(f'headers: "{name}" is written by the server')
        if known in seen:
            raise Invalid(f'headers: "{name}" is there twice')
        if UNFIT.search(value) or not _is_text(value):
            raise Invalid(f'headers: "{name}" holds what no header can')
        seen.add(known)
    return dict(headers)


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of a client's own that other clients may see."""
    return {name: value for name, value in headers.items() if name.lower() not in CREDENTIALS}


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(headers: Mapping[str, str], *, with_authorization: bool) -> dict[str, str]:
    """Those of a caller that clients see. `with_authorization` when that is not how it got in here."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        known = name.lower()
        authorization = known == AUTHORIZATION and with_authorization
        if (known.startswith(SHOWN) or authorization) and known != NEVER_SHOWN and len(found) < MAX_HEADERS:
            found[name] = value
    return found
