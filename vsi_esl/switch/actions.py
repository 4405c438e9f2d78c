"""What the service has a switch do with a leg: one typed method each.

Nothing here emits events or decides anything; what really happened is what the switch's events say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gevent
import structlog

from ..errors import Conflict, Internal, SwitchUnavailable
from ..model.codecs import SWITCH_NAMES
from ..model.leg import Leg
from ..waits import Waits
from . import commands, memory
from .node import SwitchNode

log = structlog.get_logger(__name__)

JOIN_TIMEOUT_S = 5.0
REINVITE_TIMEOUT_S = 10.0

HANGUP_CAUSES = {
    "busy": "USER_BUSY",  # 486
    "declined": "CALL_REJECTED",  # 603
    "rejected": "CALL_REJECTED",
    "unavailable": "NO_ANSWER",  # 480
    "not_found": "UNALLOCATED_NUMBER",  # 404
    "forbidden": "INCOMING_CALL_BARRED",  # 403
    "server_error": "NORMAL_TEMPORARY_FAILURE",  # 503, made 500 below
    "ring_timeout": "NO_ANSWER",
    "max_duration": "ALLOTTED_TIMEOUT",
    "rtp_timeout": "MEDIA_TIMEOUT",
}
"""VSI reason -> hangup cause; every other reason hangs up with NORMAL_CLEARING."""


class Switch:
    """Actions on one switch. `media_timeout` in seconds, 0 for none."""

    def __init__(self, node: SwitchNode, waits: Waits, media_timeout: float) -> None:
        self._node = node
        self._waits = waits
        self._media_timeout_ms = round(media_timeout * 1000)

    def adopt(self, leg: Leg) -> None:
        """Take over an inbound channel from the dialplan: bond it, and keep it past the dialplan's limit."""
        bonded = commands.setvar(leg.id, "signal_bond", self._node.bond)
        self._node.post(bonded, commands.cancel_schedule(leg.id))

    def remember(self, leg: Leg, *names: str) -> None:
        """Keep these attributes of the leg on its channel."""
        self._node.post(*self._setvars(leg, *names))

    def refresh(self, leg: Leg, dump: Mapping[str, Any]) -> None:
        """Set again what the channel should remember and, by its dump, does not."""
        wanted = memory.variables(leg)
        stale = {key: value for key, value in wanted.items() if dump.get(f"variable_{key}") != value}
        self._node.post(*[commands.setvar(leg.id, key, value) for key, value in stale.items()])

    def ring(self, leg: Leg) -> None:
        """180 Ringing. The switch sends only one per call; more are accepted and not sent."""
        self._succeed(commands.ring_ready(leg.id), "send 180")

    def early_media(self, leg: Leg, codec: str) -> None:
        """183 with SDP in this codec (VSI's name, or empty for the switch's choice)."""
        self._prepare_media(leg, codec)
        self._succeed(commands.pre_answer(leg.id), "send 183")

    def answer(self, leg: Leg, codec: str) -> None:
        """200 with SDP. After early media the codec is the one of the 183."""
        self._prepare_media(leg, codec)
        self._succeed(commands.answer(leg.id), "send 200")

    def hangup(self, leg: Leg, reason: str) -> bool:
        """End the call; False when the switch has no such channel any more."""
        cause = HANGUP_CAUSES.get(reason, "NORMAL_CLEARING")
        if reason == "server_error":
            # no hangup cause becomes a 500; this variable decides the code of the refusal
            self._node.post(commands.setvar(leg.id, "last_bridge_proto_specific_hangup_cause", "sip:500"))
        return self._node.command(commands.kill(leg.id, cause)).startswith("+OK")

    def set_muted(self, leg: Leg, *, changed: bool = True) -> None:
        """Silence the leg in its conference, or not, as the leg says; recordings still hear it.

        The channel remembers it, unless it is not `changed`.
        """
        self._member(leg, "mute" if leg.says_nothing else "unmute", ["muted"] if changed else [])

    def set_deaf(self, leg: Leg, *, changed: bool = True) -> None:
        """Stop the conference's audio towards the leg, or not, as the leg says."""
        self._member(
            leg, "deaf" if leg.hears_nothing(leg.conference) else "undeaf", ["deaf"] if changed else []
        )

    def silence(self, leg: Leg) -> None:
        """Neither heard nor hearing, until it is moved, which sets its state anew."""
        if leg.conference and leg.member_id:
            self._node.command_many(
                [
                    commands.conference_member(leg.conference, action, leg.member_id)
                    for action in ("mute", "deaf")
                ]
            )

    def enter(self, leg: Leg, conference: str, rate: int) -> None:
        """Put the leg into a conference, with its mute and deaf state from the first frame on.

        Returns when the switch reports it there. Raises Internal or SwitchUnavailable otherwise.
        """
        deaf = leg.hears_nothing(conference)
        transfer = commands.transfer_to_conference(
            leg.id, self._node.bond, conference, rate, mute=leg.says_nothing, deaf=deaf
        )
        with self._waits.expect("joined", leg.id, conference) as joined:
            answer = self._node.command(transfer, then=self._setvars(leg, "target_room"))
            if not answer.startswith("+OK"):
                raise Internal(f"the switch refused to move the leg: {answer[:80]}")
            with gevent.Timeout(JOIN_TIMEOUT_S, SwitchUnavailable("the switch did not report a join")):
                joined.get()

    def relate(self, conference: str, pairs: set[tuple[str, str]], action: str) -> None:
        """Keep listeners from hearing sources (`nohear`), or let them again (`clear`): one line a listener.

        It takes effect within a frame, changes nothing else, and is reported by no event.
        """
        rows: dict[str, list[str]] = {}
        for listener, source in sorted(pairs):
            rows.setdefault(listener, []).append(source)
        lines = [
            commands.relate(conference, listener, sources[start : start + commands.MAX_RELATED], action)
            for listener, sources in rows.items()
            for start in range(0, len(sources), commands.MAX_RELATED)
        ]
        for line, answer in zip(lines, self._node.command_many(lines), strict=True):
            if "-ERR" in answer:
                # somebody left meanwhile, and took the relation along
                log.debug("relation not set", command=line, answer=answer[:80])

    def hold(self, leg: Leg, on: bool) -> None:
        """Re-INVITE the peer to (or from) hold and wait for its answer. Conflict with its refusal."""
        verb = "hold" if on else "unhold"
        with self._waits.expect("reinvite", leg.id) as reinvite:
            answer = self._node.command(commands.hold(leg.id, on))
            if not answer.startswith("+OK"):
                raise Conflict(f"{verb} re-INVITE: {answer[:80]}")
            with gevent.Timeout(REINVITE_TIMEOUT_S, Conflict(f"{verb} re-INVITE: no answer")):
                code, phrase = reinvite.get()
        if code >= 300:
            if on:
                # the switch believes in its hold whatever the peer answered
                self._node.post(commands.hold(leg.id, False))
            raise Conflict(f"{verb} re-INVITE: re-INVITE rejected: {code} {phrase}")

    def send_dtmf(self, leg: Leg, digits: str) -> None:
        """RFC 4733 digits to the peer: 260 ms each, about two a second."""
        self._node.command(commands.send_dtmf(leg.id, digits))

    def decline_refer(self, leg: Leg) -> None:
        """603 to the REFER that waits on this leg. Only for one that does: else it would end the call."""
        self._node.execute(leg.id, "respond", "603 Decline")

    def originate(self, leg: Leg, variables: dict[str, str], profile: str, limit: float) -> str:
        """Dial `leg.uri`; returns the job's result when media or the answer came, or the call failed."""
        settings = {
            "origination_uuid": leg.id,
            memory.LEG: "outbound",
            "signal_bond": self._node.bond,
            # a 302 must not make the switch dial on its own
            "outbound_redirect_fatal": "true",
            "playback_terminators": "none",
            "hold_music": "silence_stream://-1",
            # ours is exact; the switch's stops counting at early media
            "originate_timeout": str(round(limit) + 60),
            "sip_watch_headers": "Refer-To,Referred-By,CSeq,Subscription-State",
            **self._media_timeout(),
            **memory.variables(leg),
            **variables,
        }
        return self._node.job(commands.originate(leg.uri, settings, profile), limit + 90)

    def _prepare_media(self, leg: Leg, codec: str) -> None:
        # only honoured when set before media starts; without text in the offer it does nothing
        settings = {"fire_text_events": "true", **self._media_timeout()}
        if codec:
            settings["absolute_codec_string"] = SWITCH_NAMES[codec]
        self._node.post(*[commands.setvar(leg.id, key, value) for key, value in settings.items()])

    def _media_timeout(self) -> dict[str, str]:
        # only honoured when set before media starts
        return {"media_timeout": str(self._media_timeout_ms)} if self._media_timeout_ms else {}

    def _member(self, leg: Leg, action: str, attributes: list[str]) -> None:
        remembered = self._setvars(leg, *attributes) if attributes else []
        if not (leg.conference and leg.member_id):
            self._node.post(*remembered)  # applied when it joins
            return
        command = commands.conference_member(leg.conference, action, leg.member_id)
        answer = self._node.command(command, then=remembered)
        if not answer.startswith("+OK"):
            # it is on its way to another conference, which it joins with the leg's state
            log.debug("conference member not changed", leg_id=leg.id, action=action, answer=answer[:80])

    def _setvars(self, leg: Leg, *names: str) -> list[str]:
        return [commands.setvar(leg.id, key, value) for key, value in memory.variables(leg, *names).items()]

    def _succeed(self, command: str, what: str) -> None:
        answer = self._node.command(command)
        if not answer.startswith("+OK"):
            raise Conflict(f"{what}: {answer[:80] or 'failed'}")
