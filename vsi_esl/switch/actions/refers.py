"""What the service has a switch do for transfers: one typed method each.

As in `calls.py`, nothing here decides or reports anything.
"""

from __future__ import annotations

import gevent
import structlog

from ...errors import Internal, LegGone
from ...later import Within, heard
from ...model.leg import Leg
from ...work.waits import Waits
from ..lines import builder, refers
from ..sending import Sending

log = structlog.get_logger(__name__)

BOND_GONE_S = 1.0
"""For the bond channel to end that was told to."""
TAKEN_NOTE_S = 0.02
"""From the report of a response until the switch has dealt with it."""
ACKNOWLEDGED_S = 1.0
"""For a peer to acknowledge the answer (ACK)."""
ACK_POLL_S = 0.02
UNSET = "_undef_"


class SwitchRefers:
    """REFERs of ours on one switch, and what they need of it."""

    def __init__(self, node: Sending, waits: Waits) -> None:
        self._node = node
        self._waits = waits

    def learn_tag(self, leg: Leg) -> None:
        """Have the switch's tag of the dialog, which it shows when the peer has acknowledged the answer.
        SwitchUnavailable."""
        lines = [builder.getvar(leg.id, name) for name in (refers.FROM_TAG, refers.TO_TAG)]
        with Within(ACKNOWLEDGED_S, False):
            while not leg.local_tag:
                tags = self._node.command_many(lines)
                if leg.remote_tag not in tags:
                    return
                tags.remove(leg.remote_tag)
                if tags[0] != UNSET:
                    leg.local_tag = tags[0]
                    return
                gevent.sleep(ACK_POLL_S)

    def prepare(self, leg: Leg) -> None:
        """Have the leg's channel ready for a REFER. LegGone when there is none."""
        if self._node.command_many(refers.prepare(leg.id))[0].startswith("-ERR"):
            raise LegGone(f"leg {leg.id} has been hung up")

    def refer(self, leg: Leg, refer_to: str) -> None:
        """Send a REFER for what `lines.refers.refer_to` made. What comes of it is told by events. Raises
        Internal or SwitchUnavailable."""
        answer = self._node.command(refers.refer(leg.id, refer_to))
        if not answer.startswith("+OK"):
            raise Internal(f"the switch sent no REFER: {answer[:80]}")

    def noted(self, leg_id: str) -> tuple[str, str]:
        """What the switch has noted of the leg's last REFER: the status of its answer, and the last report
        of its outcome that was not interim, a status line; each empty for none."""
        names = (refers.STATUS, refers.REPLY)
        answers = self._node.command_many([builder.getvar(leg_id, name) for name in names])
        status, reply = ("" if one == UNSET or one.startswith("-ERR") else one for one in answers)
        return status, reply

    def asks(self, leg: Leg, patience: float) -> bool:
        """Whether the leg still has its dialog: a NOTIFY is answered, by the peer or, after 32 s in which it
        is not, by the switch's own stack. A channel that has lost it stays silent."""
        with self._waits.expect("notified", leg.id) as notified:
            self._node.notify(refers.keep_alive(leg.id))
            return bool(heard(notified, patience))

    def ask_for_call(self, leg: Leg) -> None:
        """Send the leg's peer an INFO that says nothing. Its answer is told by events. SwitchUnavailable."""
        self._node.command_many(refers.info(leg.id))

    def forget_referrer(self, leg: Leg, patience: float) -> None:
        """Have the switch tell us again of what comes of our REFERs.

        Once a REFER of the peer has waited on the leg, its bond is told instead, by its id, until a response
        within the call comes while there is no channel of that id (sofia.c, proxy_refer_uuid). So there is
        none for a moment, in which the switch refuses other peers' REFERs by itself.
        """
        with self._node.without_bond(BOND_GONE_S):
            if not self.asks(leg, patience):
                log.warning("the peer does not answer; the outcome may not be told", leg_id=leg.id)
            gevent.sleep(TAKEN_NOTE_S)
