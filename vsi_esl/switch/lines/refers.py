"""The text of transfers: REFERs, and NOTIFYs within a call."""

from __future__ import annotations

import re
from urllib.parse import quote

from ...errors import BadArgument, NotSupported
from ...model.sipuri import sip_uri
from .builder import setvar, uuid

CONTINUE = "sip_refer_continue_after_reply"
"""Without it uuid_deflect waits for the outcome, and ends the call whatever that is."""
STATUS, REPLY = "sip_refer_status_code", "sip_refer_reply"
"""What the switch notes of the last REFER of a channel: its answer, and the report that was not interim."""
OF_THE_INVITE = ("sip_h_Replaces", "sip_h_Require", "sip_h_Referred-By")
FROM_TAG, TO_TAG = "sip_from_tag", "sip_to_tag"
"""Those of the last INVITE, whoever sent it."""
MAX_REFER_TO = 1000
"""In bytes. The switch cuts off what is longer than 1023."""
REFER_TO = re.compile(r"sip:[!-+\--:<-~]{1,1000}\Z")
PART = re.compile(r"[!-:<-~]{1,256}\Z")
"""Of a dialog's identity: visible characters but the semicolon. It is percent-encoded."""


def refer_to(target: str, replaced: str = "") -> str:
    """What a REFER refers to: a SIP URI, and the dialog that the call to it replaces (`replaces`).

    The switch takes it for a URI without brackets, which ends at a semicolon; that of a user part is written
    otherwise, and decoded on the wire. Raises NotSupported for a URI with parameters, BadArgument for all
    else that cannot be sent.
    """
    uri = sip_uri(target)
    if uri.startswith("sips:"):
        raise NotSupported("a sips: target: the switch wraps it into a sip: one")
    user, at, host = uri.rpartition("@")
    if ";" in host:
        raise NotSupported("a target with URI parameters: the switch sends them outside the URI")
    uri = user.replace(";", "%3B") + at + host
    if replaced:
        uri += f"?Replaces={quote(replaced, safe='')}"
    if len(uri) > MAX_REFER_TO:
        raise BadArgument(f"invalid SIP URI: longer than {MAX_REFER_TO} bytes with what it replaces")
    return uri


def prepare(channel: str) -> list[str]:
    """Have the channel ready for a REFER, and forget what came of the last one. The switch adds all headers
    of the call's INVITE to it; those that took the place of another call then would ask for that again."""
    forgotten = [setvar(channel, name, "") for name in (STATUS, REPLY, *OF_THE_INVITE)]
    return [setvar(channel, CONTINUE, "true"), *forgotten]


def refer(channel: str, what: str) -> str:
    """Send a REFER for what `refer_to` made."""
    if not REFER_TO.match(what):
        raise BadArgument(f"invalid Refer-To: {what[:80]!r}")
    return f"uuid_deflect {uuid(channel)} {what}"


def replaces(call_id: str, to_tag: str, from_tag: str) -> str:
    """The value of Replaces (RFC 3891), tags as the one who is to be called has them. Empty when one of them
    is not known, or cannot stand there."""
    if not all(PART.match(one) for one in (call_id, to_tag, from_tag)):
        return ""
    return f"{call_id};to-tag={to_tag};from-tag={from_tag}"


NOTIFY = "sendevent NOTIFY"
"""The line before the headers of a NOTIFY."""


def keep_alive(channel: str) -> dict[str, str]:
    """The headers of a NOTIFY that says nothing: a peer that has the call answers it somehow."""
    return {"uuid": uuid(channel), "event-string": "keep-alive", "content-type": "text/plain"}


def info(channel: str) -> list[str]:
    """Send an INFO that says nothing, which the switch does for others only when it is told to."""
    allowed = "fs_send_unsupported_info"
    return [
        setvar(channel, allowed, "true"),
        f"uuid_send_info {uuid(channel)}",
        setvar(channel, allowed, ""),
    ]
