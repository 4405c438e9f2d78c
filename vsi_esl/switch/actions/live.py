"""What the service has a switch do for live audio: one typed method each.

As in `calls.py`, nothing here decides or reports anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Conflict, Internal
from ...model.leg import Leg
from .. import memory
from ..lines import audio, builder, live
from ..sending import Sending

PEER_SETTINGS = {"playback_terminators": "none"}


class SwitchLive:
    """Forks, and pairs of internal channels with raw audio, on one switch."""

    def __init__(self, node: Sending) -> None:
        self._node = node

    def fork(self, leg: Leg, url: str, bug: str) -> None:
        """Have what a leg says sent to a WebSocket. Whether it connects is not told."""
        answer = self._node.command(live.fork(leg.id, url, bug))
        if not answer.startswith("+OK"):
            raise Internal(f"the switch does not fork the leg's audio: {answer[:80]}")

    def stop_fork(self, leg_id: str, bug: str) -> None:
        """End a fork that has connected, or has failed to. Does not fail."""
        self._node.post(live.stop_fork(leg_id, bug))

    def room_pair(self, channel: str, conference: str, rate: int, *, speaks: bool, hears: bool) -> None:
        """A pair into a room's conference, whose near end, `channel`, waits parked."""
        self._pair(live.room_pair(channel, conference, rate, speaks=speaks, hears=hears), rate)

    def whisper_pair(self, channel: str, leg: Leg, rate: int) -> None:
        """A pair that only this leg hears, wherever it is; `rate` is that of the leg's codec."""
        self._pair(live.leg_pair(channel, leg.id, live.WHISPER), rate)

    def listen_pair(self, channel: str, leg: Leg, rate: int) -> None:
        """A pair that hears what this leg says; `rate` is that of the leg's codec."""
        self._pair(live.leg_pair(channel, leg.id, live.LISTEN), rate)

    def leg_as_pair(self, leg: Leg, rate: int) -> None:
        """Make a leg's channel, unanswered and parked, with another in the place of its peer."""
        settings = {
            memory.LEG: "outbound",
            "signal_bond": self._node.bond,
            **PEER_SETTINGS,
            # its URL may be long, and with the process that has the connection the leg ends
            **{key: value for key, value in memory.first_variables(leg).items() if key != memory.URI},
        }
        self._pair(live.leg_as_pair(leg.id, settings), rate)

    def park_peer_again(self, leg: Leg) -> None:
        """Have what is in the place of the leg's peer wait parked anew, which is reported. Conflict when
        there is none."""
        other = self._node.command(builder.getvar(leg.id, "other_loopback_leg_uuid"))
        answer = self._node.command(live.park_again(other)) if builder.UUID.match(other) else other
        if not answer.startswith("+OK"):
            raise Conflict(f"the leg's channel is gone: {answer[:80]}")

    def answer_as_peer(self, channel: str) -> None:
        """The peer of such a leg answers: `channel` is the one in its place. Conflict when it is gone."""
        answer = self._node.command(builder.answer(channel))
        if not answer.startswith("+OK"):
            raise Conflict(f"the leg's channel is gone: {answer[:80]}")

    def into_room(self, channel: str, conference: str, rate: int, *, speaks: bool) -> None:
        """A pair in a room's conference with `channel` itself, whose other half waits parked."""
        self._pair(live.into_room(channel, conference, rate, speaks=speaks), rate)

    def speak(self, conference: str, member_id: str) -> None:
        """Let a member be heard that came silent."""
        self._node.command(builder.conference_member(conference, "unmute", member_id))

    def unicast(self, channel: str, port: int) -> None:
        """Connect a parked channel's audio with a UDP port of this machine."""
        answer = self._node.message(channel, live.unicast(port))
        if not answer.startswith("+OK"):
            raise Internal(f"the switch does not bring the channel's audio: {answer[:80]}")

    def exist(self, channels: Sequence[str]) -> list[bool]:
        """Which of these channels there are."""
        return [
            answer == "true" for answer in self._node.command_many([builder.exists(one) for one in channels])
        ]

    def _pair(self, originate: str, rate: int) -> None:
        # on one connection, in order: see `loopback_rate`
        answer = self._node.set_up([audio.loopback_rate(rate), originate])[1][0]
        if not answer.startswith("+OK"):
            raise Internal(f"the switch made no internal channel: {answer[:80]}")
