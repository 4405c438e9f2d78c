"""The SIP URIs that are dialled, or sent through."""

from __future__ import annotations

import re
from urllib.parse import unquote

from ..errors import BadArgument

SIP_URI = re.compile(
    r"(?i:sip):(?:[A-Za-z0-9_.!~*()&=+$/%;:-]{1,256}@)?"
    r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
    r"(?:;[A-Za-z0-9_.!~*+$%-]{1,64}(?:=[A-Za-z0-9_.!~*+$%:\[\]-]{1,128})?){0,16}\Z"
)


def sip_uri(value: str) -> str:
    """A dialable SIP URI, its scheme in lower case, with everything refused that `originate` would take for
    syntax.

    A comma, `|` or `:_:` dials a second destination, `fs_path` sends the INVITE elsewhere, and from any other
    `fs_` on the URI is cut off; `?` adds headers, `^` rewrites To. A comma may be written `%2C`. Raises
    BadArgument.
    """
    if not SIP_URI.match(value) or ":_:" in value:
        raise BadArgument(f"invalid SIP URI: {value[:120]!r}")
    for parameter in unquote(value).lower().split(";")[1:]:
        if parameter.strip().startswith("fs_"):
            raise BadArgument("invalid SIP URI: parameters fs_... are the switch's own")
    port = re.search(r":(\d{1,5})(?:;|\Z)", value.rpartition("@")[2] if "@" in value else value[4:])
    if port and not 0 < int(port[1]) < 65536:
        raise BadArgument(f"invalid SIP URI: port {port[1]}")
    return f"sip:{value[4:]}"
