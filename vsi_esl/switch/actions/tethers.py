"""What the service has a switch do for tethers: one typed method each.

As in `calls.py`, nothing here decides or reports anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import LegGone, SwitchUnavailable
from ...model.leg import Leg
from ..lines import builder, tethers
from ..sending import Sending

ANSWER_LIMIT_S = 4
"""For the other switch to answer; it takes 60 ms."""
JOB_MARGIN_S = 2.0


class SwitchTethers:
    """Calls between this switch and others."""

    def __init__(self, node: Sending) -> None:
        self._node = node

    def call(self, wanted: tethers.Call) -> None:
        """Call another switch, whose service lets the call in. Returns when it has answered.
        SwitchUnavailable, with the switch's word for it, when it has not."""
        line = tethers.call(wanted, ANSWER_LIMIT_S)
        answer = self._node.job(line, ANSWER_LIMIT_S + JOB_MARGIN_S)
        if not answer.startswith("+OK"):
            raise SwitchUnavailable(answer.strip()[:80].removeprefix("-ERR ") or "failed")

    def let_in(self, lines: Sequence[str]) -> None:
        """Have a call where it is to be. Does not fail."""
        self._node.post(*lines)

    def refuse(self, channel: str) -> None:
        """Refuse a call that nobody has expected: 403. Does not fail."""
        self._node.post(builder.kill(channel, tethers.REFUSAL))

    def connect(self, leg: Leg, channel: str) -> None:
        """Connect a leg with a call. CHANNEL_BRIDGE tells when it is. LegGone when one of the two is gone."""
        answer = self._node.command_many(tethers.connect(leg.id, channel))[-1]
        if not answer.startswith("+OK"):
            raise LegGone(f"leg {leg.id} has been hung up")

    def connected(self, leg: Leg) -> None:
        """Have a leg that was connected keep what it has of every leg: the switch has made the call its
        partner, to which a REFER of its peer would go. Does not fail."""
        self._node.post(
            builder.setvar(leg.id, "signal_bond", self._node.bond), builder.cancel_schedule(leg.id)
        )

    def wait_for_audio(self, channel: str, *, patiently: bool) -> None:
        """How long this end of a call waits for audio, from when the other end renegotiates. Raises
        SwitchUnavailable."""
        limit = tethers.PATIENT_TIMEOUT_MS if patiently else tethers.MEDIA_TIMEOUT_MS
        self._node.command(tethers.wait_for_audio(channel, limit))

    def renegotiate(self, channel: str) -> None:
        """Have the other end look at its settings again. Does not fail."""
        self._node.post(tethers.renegotiate(channel))
