"""http and https URLs of others, and what of them goes out: the request's target as it was written.

A library that "normalises" a URL changes what it says: the signature of a presigned URL covers its text, and
`%2f` in a path is not `%2F` to everybody, let alone `/`. So only what cannot stand in a request line is
encoded, once (RFC 3986 section 2), and everything else stays.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from . import NetError

PARTS = re.compile(r"(https?)://([^/?#\\]*)(/[^?#]*)?(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})|[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(slots=True, frozen=True)
class WebUrl:
    """An http or https URL in the parts that a request needs.

    `host` is without the brackets of an IPv6 address, and in ASCII (IDNA 2008); `host_header` is what the
    Host header says; `target` is path and query; `authorization` is the header that the user name and
    password in the URL ask for, or empty; `text` is the URL as it was given.
    """

    scheme: str
    host: str
    port: int
    host_header: str
    target: str
    authorization: str
    text: str

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


def parsed(url: str, what: str) -> WebUrl:
    """The parts of an http or https URL. Raises NetError, beginning with `what`."""
    text = url.strip()
    if not re.match("https?:", text, re.IGNORECASE):
        raise NetError(f"{what}: only http and https URLs are supported")
    parts = PARTS.fullmatch(text)
    if parts is None:
        raise NetError(f"{what}: invalid URL")
    scheme, authority, path, query = (part or "" for part in parts.groups())
    scheme = scheme.lower()
    try:
        found = parse_url(f"{scheme}://{authority}")
        target = ENCODED.sub(_encoded, (path or "/") + query)
        authorization = basic(authority.rpartition("@")[0]) if "@" in authority else ""
    except (LocationParseError, UnicodeError):
        raise NetError(f"{what}: invalid URL") from None
    if not found.host or found.port == 0:
        raise NetError(f"{what}: invalid URL")
    named = found.host if found.port is None else f"{found.host}:{found.port}"
    port = found.port or DEFAULT_PORTS[scheme]
    return WebUrl(scheme, found.host.strip("[]"), port, named, target, authorization, text)


def joined(base: WebUrl, location: str, what: str) -> WebUrl:
    """Where a Location header (decoded as ISO 8859-1, as http.client does) leads. Raises NetError."""
    raw = location.encode("latin-1", "replace")
    try:
        text = raw.decode()  # UTF-8 that nobody encoded; RFC 9110 wants it encoded, and nobody minds
    except UnicodeDecodeError:
        text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
    text = text.strip()
    # urljoin takes a URL apart and puts it together again: one that is whole needs none of that
    return parsed(text if ABSOLUTE.match(text) else urljoin(base.text, text), what)


def basic(userinfo: str) -> str:
    """The Authorization header of a URL's `user:password`, each percent-decoded (RFC 7617, in UTF-8)."""
    user, _, password = userinfo.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return "Basic " + base64.b64encode(pair).decode()


def _encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())
