"""NOTIFYs that the switch sends within a call, as mod_sofia makes them of events (measured): what reports on
a REFER, and what only uses up a number.

`sendevent NOTIFY` with a `uuid` goes out in the dialog, with the next CSeq, and ends the subscription. The
application `event` has it sent from beside the dialog, with the CSeq that it names and one more.
"""

from __future__ import annotations

import re

from . import quoting
from .channels import Channel

OVER = "terminated;reason=noresource"
NUMBER = re.compile(r"CSeq: ([0-9]+) NOTIFY")
STATE = re.compile(r"Subscription-State: ([^\r\n]+)")
TAG = re.compile(r";tag=([^;>]+)\Z")


def of_application(channel: Channel, argument: str) -> None:
    """The application `event`: its arguments end with commas."""
    given = {}
    for piece in quoting.separate(argument, ","):
        name, _, value = piece.partition("=")
        given[name.lower()] = value
    number, state = (re.search(one, given.get("extra-headers", "")) for one in (NUMBER, STATE))
    sides = [TAG.search(given.get(name, "")) for name in ("from-uri", "to-uri")]
    if given.get("event-name") != "NOTIFY" or number is None or state is None or None in sides:
        return
    tags = [side[1] for side in sides if side is not None]
    if (given.get("call-id"), *tags) != (channel.variables["sip_call_id"], channel.own_tag, channel.far_tag):
        channel.far.wrongs.append(f"NOTIFY: no such dialog: {given.get('call-id')}, {tags}")
        return
    received(channel, int(number[1]) + 1, given.get("event-string", ""), given.get("_body", ""), state[1])
    if channel.far.bye_at_report:
        # the handle from which it was sent takes the BYE as well, as long as it is there, and knows no call
        channel.far.seen.append("481 BYE")
        channel.far.gone = True
        channel.count_rtp(False)


def received(channel: Channel, number: int, event: str, body: str, state: str) -> int:
    """What the peer makes of it: it is strict about numbers (RFC 3261, 12.2.2)."""
    far = channel.far
    far.seen.append(f"NOTIFY {event} {body.strip()}".rstrip())
    if far.gone:
        return 481
    if number <= far.highest_cseq:
        if event != "keep-alive":
            far.wrongs.append(f"NOTIFY: CSeq {number} after {far.highest_cseq}")
        return 500
    far.highest_cseq = number
    if not event.startswith("refer"):
        return 200
    far.reports.append(f"{body.strip()} {state}")
    return far.report_code
