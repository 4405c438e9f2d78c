"""What a Refer-To says: whom to call, and which call that replaces (RFC 3515, RFC 3891)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"\x00-\x1f\x7f]+\Z")
QUOTED_NAME = re.compile(r'\A\s*"(?:[^"\\]|\\.)*"')
"""What stands before an address may have angle brackets of its own."""
HOST = re.compile(r"[A-Za-z0-9\[]")
"""How the host of a SIP URI begins."""
SAFE = re.compile(r"[A-Za-z0-9.!%*_+`'~()<>:\\\"/\[\]?{}@-]{1,255}\Z")
"""A Call-ID or a tag (RFC 3261, 25.1)."""


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog of a call. The tags are as its other party, who gets the INVITE, sees them."""

    call_id: str
    to_tag: str = ""
    from_tag: str = ""

    @property
    def header(self) -> str:
        """As the header of an INVITE."""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}"

    @property
    def complete(self) -> bool:
        """Whether an INVITE can have it."""
        return all(SAFE.match(part) for part in (self.call_id, self.to_tag, self.from_tag))

    def names(self, call_id: str, *tags: str) -> bool:
        """Whether it is this dialog."""
        return self.call_id == call_id and {self.to_tag, self.from_tag} == set(tags) and "" not in tags


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Whom to call. The URI is without the headers that it may name."""

    target: str
    replaces: Replaces | None = None

    @property
    def replaced_call(self) -> str:
        """The Call-ID of the call that it replaces; empty for none."""
        return self.replaces.call_id if self.replaces is not None else ""

    @property
    def kind(self) -> str:
        return "attended" if self.replaces else "blind"


def parse(header: str) -> ReferTo | None:
    """A Refer-To as it was on the wire; None when it names nobody."""
    address = _without_name(header).strip()
    if is_cut(header):
        return None
    if "<" in address:
        address = address.partition("<")[2].partition(">")[0].strip()
    target, _, headers = address.partition("?")
    if not URI.match(target):
        return None
    scheme, _, rest = target.partition(":")
    if scheme.lower() in ("sip", "sips") and not HOST.match(rest.rpartition("@")[2]):
        return None
    for pair in headers.split("&"):
        name, _, value = pair.partition("=")
        if name.lower() == "replaces":
            replaces = _replaces(unquote(value))
            return ReferTo(target, replaces) if replaces.call_id else None
    return ReferTo(target)


def is_cut(header: str) -> bool:
    """Whether the switch has shown less than there was: of more than 511 bytes it writes what fits, over what
    it has shown before, which is the CSeq. What is there then may look like an address."""
    address = _without_name(header)
    return "<" in address and ">" not in address


def _without_name(header: str) -> str:
    return QUOTED_NAME.sub("", header)


def _replaces(text: str) -> Replaces:
    call_id, *parameters = text.split(";")
    named = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        named[name.strip().lower()] = value.strip()
    return Replaces(call_id.strip(), named.get("to-tag", ""), named.get("from-tag", ""))
