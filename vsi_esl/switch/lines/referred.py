"""Text for the switch about a peer's REFER: the response, and the NOTIFYs that report on it (RFC 3515)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ...errors import BadArgument
from . import builder

PHRASE = re.compile(r"[^\x00-\x1f\x7f]{1,128}\Z")
SIPFRAG = "message/sipfrag;version=2.0"
ADDRESS = re.compile(r"[A-Za-z0-9_.!~*()&=+$/%;:@\[\]-]{1,512}\Z")
"""What may stand in an argument of `event`, where a comma ends it."""
TAG = re.compile(r"[A-Za-z0-9_.!~*+%-]{1,256}\Z")
CALL_ID = re.compile(r"[A-Za-z0-9_.!~*+%@:/()\[\]-]{1,256}\Z")
EXTRA, BODY = "vsi_notify_headers", "vsi_notify_body"
"""Channel variables that an interim report takes along: there alone line ends can be written."""
HIGHEST_CSEQ = (1 << 31) - 2


class Status(NamedTuple):
    """A SIP status."""

    code: int
    reason: str

    @property
    def line(self) -> str:
        """As it is written. Raises BadArgument for a reason that cannot be."""
        return f"{int(self.code):03d} {phrase(self.reason)}"


def phrase(text: str) -> str:
    """A reason phrase. Raises BadArgument for control characters, and for what the switch would expand."""
    if not PHRASE.match(text) or "${" in text:
        raise BadArgument(f"invalid reason: {text[:80]!r}")
    return text


def final_headers(channel: str, refer_id: int) -> dict[str, str]:
    """`sendevent NOTIFY` of the last report; its body is `fragment`."""
    return {
        "uuid": builder.uuid(channel),
        "event-string": _event(refer_id),
        "content-type": SIPFRAG,
    }


def fragment(status: Status) -> str:
    """The body of a report: a status line."""
    return f"SIP/2.0 {status.line}\r\n"


def interim_variables(channel: str, cseq: int, status: Status) -> list[str]:
    """What `interim` takes from the channel: the request is sent with this CSeq."""
    headers = rf"Subscription-State: active;expires=60\r\nCSeq: {int(cseq) - 1} NOTIFY"
    # an argument of `event` ends with a comma, and quotes vanish from it
    line = re.sub(r"[,'\"\\]", " ", status.line)
    return [
        f"uuid_setvar {builder.uuid(channel)} {EXTRA} {headers}",
        rf"uuid_setvar {builder.uuid(channel)} {BODY} SIP/2.0 {line}\r\n",
    ]


def interim(profile: str, dialog: Mapping[str, str], refer_id: int) -> str:
    """The argument of `event` that sends a NOTIFY, after which the subscription stays active, in a dialog of
    which `call_id`, `contact`, `own`, `own_tag`, `peer` and `peer_tag` are given (URIs and tags).

    Raises BadArgument for a dialog that cannot be written here.
    """
    for name, pattern in (("contact", ADDRESS), ("own", ADDRESS), ("peer", ADDRESS), ("call_id", CALL_ID)):
        if not pattern.match(dialog[name]):
            raise BadArgument(f"invalid {name}: {dialog[name][:80]!r}")
    for name in ("own_tag", "peer_tag"):
        if not TAG.match(dialog[name]):
            raise BadArgument(f"invalid {name}: {dialog[name][:80]!r}")
    arguments = {
        "Event-Name": "NOTIFY",
        "profile": builder.name(profile),
        "contact-uri": f"sip:{dialog['contact']}",
        "from-uri": f"<sip:{dialog['own']}>;tag={dialog['own_tag']}",
        "to-uri": f"<sip:{dialog['peer']}>;tag={dialog['peer_tag']}",
        "call-id": dialog["call_id"],
        "event-string": _event(refer_id),
        "content-type": SIPFRAG,
        "no-sub-state": "true",
        "extra-headers": f"${{{EXTRA}}}",
        "_body": f"${{{BODY}}}",
    }
    return ",".join(f"{name}={value}" for name, value in arguments.items())


def _event(refer_id: int) -> str:
    return f"refer;id={int(refer_id)}" if refer_id else "refer"
