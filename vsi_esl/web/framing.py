"""The head of an HTTP/1 request, read to the letter (RFC 9112), without I/O.

Whatever another server in front could understand differently is refused: where a request ends must not be a
matter of opinion.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

MAX_LINE = 8192
MAX_HEAD = 64 * 1024
MAX_FIELDS = 100
MAX_LENGTH_DIGITS = 18

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(%s) ([\x21-\x7e\x80-\xff]+) (HTTP/1\.[0-9])\r\n" % TOKEN)
FIELD = re.compile(rb"(%s):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*\r\n" % TOKEN)
DIGITS = re.compile(r"[0-9]+\Z")
HOST = re.compile(r"([A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.%A-Za-z]+\])(:[0-9]*)?\Z")

BAD_REQUEST = "400 Bad Request"
TIMED_OUT = "408 Request Timeout"
LINE_TOO_LONG = "414 URI Too Long"
HEAD_TOO_LARGE = "431 Request Header Fields Too Large"


class BadHead(ValueError):
    """The request cannot be read; `status` is the answer, after which the connection ends."""

    def __init__(self, reason: str, status: str = BAD_REQUEST) -> None:
        super().__init__(reason)
        self.status = status


class Head(NamedTuple):
    """`target` is a path with its query, or `*`. At most one of `length` and `chunked` says that a body
    follows."""

    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    length: int | None
    chunked: bool
    keep_alive: bool


def parse(lines: list[bytes]) -> Head:
    """A head from its lines, line ends included, without the empty one at the end."""
    found = REQUEST_LINE.fullmatch(lines[0])
    if found is None:
        raise BadHead("request line")
    method, target, version = (part.decode("latin-1") for part in found.groups())
    if len(lines) > MAX_FIELDS + 1:
        raise BadHead("too many header fields", HEAD_TOO_LARGE)
    fields = [_field(line) for line in lines[1:]]
    named: dict[str, list[str]] = {}
    for name, value in fields:
        named.setdefault(name.lower(), []).append(value)
    target, authority = _target(method, target)
    hosts = named.get("host", [])
    if len(hosts) > 1 or (not hosts and version != "HTTP/1.0"):
        raise BadHead("there must be one Host")
    if not all(HOST.match(host) for host in (*hosts, authority or "")):
        raise BadHead("Host is none")
    if authority is not None:  # it is the host that is asked for, whatever the field says (3.2.2)
        fields = [("Host", authority), *(field for field in fields if field[0].lower() != "host")]
    length, chunked = _body(version, named)
    options = {word.strip().lower() for value in named.get("connection", []) for word in value.split(",")}
    keep_alive = "close" not in options and (version != "HTTP/1.0" or "keep-alive" in options)
    return Head(method, target, version, fields, length, chunked, keep_alive)


def _field(line: bytes) -> tuple[str, str]:
    found = FIELD.fullmatch(line)
    if found is None:
        raise BadHead("header field")
    return found[1].decode("latin-1"), found[2].decode("latin-1")


def _target(method: str, target: str) -> tuple[str, str | None]:
    """Path and query, and the host if the target is of the absolute form."""
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return target, None
    try:
        parts = urlsplit(target)
    except ValueError:
        raise BadHead("request target") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise BadHead("request target")
    behind = target.partition("://")[2][len(parts.netloc) :].partition("#")[0]
    return behind if behind.startswith("/") else f"/{behind}", parts.netloc


def _body(version: str, named: dict[str, list[str]]) -> tuple[int | None, bool]:
    lengths, codings = named.get("content-length", []), named.get("transfer-encoding", [])
    if codings:
        if lengths or version == "HTTP/1.0" or [coding.lower() for coding in codings] != ["chunked"]:
            raise BadHead("Transfer-Encoding")
        return None, True
    if not lengths:
        return None, False
    if len(lengths) > 1 or not DIGITS.match(lengths[0]) or len(lengths[0]) > MAX_LENGTH_DIGITS:
        raise BadHead("Content-Length")
    return int(lengths[0]), False
