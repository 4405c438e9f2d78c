"""What the service has a switch do with a REFER that waits on a leg: answer it, and report on it.

A REFER waits as long as the leg has its partner (`switch.bond`). It is answered once, and only then: without
one that waits, the same answer would end the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import orjson
import structlog

from ...errors import BadArgument, LegGone
from ...later import Within
from ...model.leg import Leg
from ..lines import builder, referred, refers
from ..lines.referred import Status
from ..sending import Sending

log = structlog.get_logger(__name__)

FATAL = frozenset((404, 410, 416, 482, 485, 502, 604))
"""Codes with which the stack ends the dialog along with the REFER."""
TAKEN_TIMEOUT_S = 1.0
"""For the leg's thread to take what it was told; it takes 20 ms."""
POLL_S = 0.02
SENT_S = 0.1
"""From there until the report is on the wire: 20 ms for 99 in 100 on a busy machine. One thread for each of
the switch's profiles takes such work from one queue, so that what is asked next might overtake it, and take
its number; a strict peer refuses whichever comes second."""


def respond(node: Sending, leg: Leg, status: Status) -> int:
    """Answer the REFER that waits on this leg; the code that was sent, 603 for one that would end the call.

    Raises BadArgument, SwitchUnavailable, and LegGone when there is no such channel.
    """
    sent = Status(603 if status.code in FATAL else status.code, status.reason)
    answer = node.execute(leg.id, "respond", sent.line)
    if not answer.startswith("+OK"):
        raise LegGone(f"leg {leg.id} has been hung up")
    return sent.code


def conclude(node: Sending, leg: Leg, refer_id: int, status: Status) -> None:
    """The last report on a REFER that was accepted. Raises BadArgument or SwitchUnavailable."""
    node.notify(referred.final_headers(leg.id, refer_id), referred.fragment(status))
    leg.own_cseq = -1  # until its answer shows it


def report(
    node: Sending,
    leg: Leg,
    refer_id: int,
    status: Status,
    *,
    profile: str,
    cseq: int,
    answered: Callable[[int], None],
) -> int:
    """An interim report; the CSeq that it had, or 0 when none was sent: the dialog is not known well enough
    for the peer to take a request that the switch sends beside it, and it does without.

    `profile` is where the call is when the switch does not say, `cseq` that of the last one, 0 for none.
    Where the switch has numbers of its own in the dialog, it is made to pass over the one that was used;
    `answered` waits for that. Raises BadArgument or SwitchUnavailable.
    """
    dialog = _dialog(node, leg)
    number = max(leg.own_cseq, cseq, 1) + 1
    if dialog is None or leg.own_cseq < 0 or number > referred.HIGHEST_CSEQ:
        return 0
    try:
        text = referred.interim(dialog["profile"] or profile, dialog, refer_id)
    except BadArgument as error:
        log.debug("no interim report on a REFER", leg_id=leg.id, error=error.message)
        return 0
    node.post(*referred.interim_variables(leg.id, number, status))
    node.execute(leg.id, "event", text)
    for name in (referred.EXTRA, referred.BODY):
        node.execute(leg.id, "unset", name)
    _wait_until_taken(node, leg)
    gevent.sleep(SENT_S)
    if leg.own_cseq > 0:
        node.notify(refers.keep_alive(leg.id))
        answered(number)
    return number


def _dialog(node: Sending, leg: Leg) -> dict[str, str] | None:
    """The dialog as `referred.interim` wants it; None when it is not known."""
    dump = node.command(builder.dump(leg.id))
    if not dump.startswith("{") or not (leg.call_id and leg.local_tag and leg.remote_tag):
        return None
    channel: dict[str, Any] = orjson.loads(dump)
    contact, of_from, of_to, from_tag = (
        str(channel.get(f"variable_sip_{name}", ""))
        for name in ("contact_uri", "full_from", "full_to", "from_tag")
    )
    own, peer = (of_from, of_to) if from_tag == leg.local_tag else (of_to, of_from)
    return {
        "profile": str(channel.get("variable_sofia_profile_name", "")),
        "call_id": leg.call_id,
        "contact": contact,
        "own": _uri(own),
        "own_tag": leg.local_tag,
        "peer": _uri(peer),
        "peer_tag": leg.remote_tag,
    }


def _uri(address: str) -> str:
    """Of a From or To, without its scheme."""
    return address.rpartition("<")[2].partition(">")[0].removeprefix("sip:")


def _wait_until_taken(node: Sending, leg: Leg) -> None:
    with Within(TAKEN_TIMEOUT_S, False):
        while node.command(builder.getvar(leg.id, referred.BODY)) not in ("_undef_", ""):
            gevent.sleep(POLL_S)
