"""What the service has a switch do with a leg: one typed method each.

Nothing here emits events or decides anything; what really happened is what the switch's events say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog

from ...errors import Conflict, Internal, LegGone, SwitchUnavailable
from ...later import Within, heard
from ...model.codecs import SWITCH_NAMES
from ...model.leg import Leg
from ...model.room import Room
from ...work.waits import Waits
from .. import memory
from ..lines import builder, headers
from ..lines.targets import Target
from ..sending import Sending

log = structlog.get_logger(__name__)

JOIN_TIMEOUT_S = 5.0
DIALLED_TIMEOUT_S = 2.0
"""From the answer until the dialler lets the channel go; it takes a tick of the switch, 20 ms."""
OFF_HOLD_TIMEOUT_S = 2.0
"""For a peer to take note that moving its call took it off hold."""
REINVITE_TIMEOUT_S = 10.0
ANSWER_MARGIN_S = 5.0
"""For the end of a leg to be done when its time is over."""

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
"""VSI reason -> hangup cause; for every other reason it is NORMAL_CLEARING."""

NO_ICE = {"ignore_sdp_ice": "true"}
"""Of a plain SIP call, ICE and DTLS of the peer are nothing to the switch. Some 100 characters of credentials
end its process (ice_out in switch_rtp.c), and whoever has it answer to DTLS waits until that comes about."""

FIRST_ICE = {"execute_on_answer_vsi": "set ignore_sdp_ice=true"}
"""A WhatsApp call keeps the ICE and DTLS of its answer: a re-INVITE or UPDATE with such credentials would end
the switch as well. It carries out what is in variables whose names begin so when it has answered, or was."""

HOLD_MUSIC = "silence"
"""No music: the switch plays it to the leg's partner, which is the same for all legs, and whoever resumes
waits up to 5 s for it to end, along with every command behind it (switch_ivr_unhold)."""

PARKED = {"send_silence_when_idle": "-1"}
"""With media it sends RTP while it is parked: digital silence."""


def _ice(leg: Leg) -> dict[str, str]:
    """What the switch is to do with the ICE of the leg's peer."""
    return FIRST_ICE if leg.kind.whatsapp else NO_ICE if leg.kind.plain else {}


def hangup_cause(reason: str) -> str:
    """The cause that a leg is hung up with for this reason."""
    return HANGUP_CAUSES.get(reason, "NORMAL_CLEARING")


class Switch:
    """Actions on one switch. `media_timeout` in seconds, 0 for none."""

    def __init__(self, node: Sending, waits: Waits, media_timeout: float) -> None:
        self._node = node
        self._waits = waits
        self._media_timeout_ms = round(media_timeout * 1000)

    def adopt(self, leg: Leg) -> None:
        """Take over a channel from the dialplan: keep it past the dialplan's limit, and bond it."""
        self._node.post(*self._adoption(leg, {}))

    def adopt_again(self, leg: Leg, dump: Mapping[str, Any]) -> list[str]:
        """What it takes, by the channel's dump, for it to be adopted and to remember what it should: commands
        to be posted, together with those of other legs."""
        forgotten = memory.forgotten(leg, dump).items()
        return self._adoption(leg, dump) + [builder.setvar(leg.id, key, value) for key, value in forgotten]

    def _adoption(self, leg: Leg, known: Mapping[str, Any]) -> list[str]:
        settings = {"hold_music": HOLD_MUSIC, **PARKED, "signal_bond": self._node.bond}
        missing = [key for key, value in settings.items() if known.get(f"variable_{key}") != value]
        lines = [builder.setvar(leg.id, key, settings[key]) for key in missing]
        if "signal_bond" in missing:  # the last of it, so whoever has it was kept before
            lines.insert(0, builder.cancel_schedule(leg.id))
        return lines

    def remember(self, leg: Leg, *names: str) -> None:
        """Keep these attributes of the leg on its channel."""
        self._node.post(*self._setvars(leg, *names))

    def remember_type(self, leg: Leg) -> None:
        """Keep the type of a leg on its channel, if its direction does not tell it."""
        self._node.post(*[builder.setvar(leg.id, *kept) for kept in memory.type_variable(leg).items()])

    def ring(self, leg: Leg) -> None:
        """180 Ringing. The switch sends only one per call; more are accepted and not sent."""
        self._succeed(leg, builder.ring_ready(leg.id), "send 180")

    def early_media(self, leg: Leg, codec: str) -> None:
        """183 with SDP in this codec (VSI's name, or empty for the switch's choice)."""
        self._prepare_media(leg, codec)
        self._succeed(leg, builder.pre_answer(leg.id), "send 183")

    def answer(self, leg: Leg, codec: str) -> None:
        """200 with SDP. After early media the codec is the one of the 183; with a caller who has offered
        nothing it can be several, with commas between them."""
        self._prepare_media(leg, codec)
        if leg.offered:
            self._succeed(leg, builder.answer(leg.id), "send 200")
        else:
            # the channel waits for the answer in the ACK, which uuid_answer would do with all its connection
            self._node.execute(leg.id, "answer", "")

    def answer_securely(self, leg: Leg, codec: str, limit: float) -> None:
        """200 with SDP. Until ICE and DTLS have come about the switch keeps whoever has it answer waiting,
        and reports no answer; so somebody else has to end the leg after `limit` seconds. A lost connection
        changes nothing."""
        self._prepare_media(leg, codec)
        try:
            answer = self._node.job(builder.answer(leg.id), limit + ANSWER_MARGIN_S)
        except SwitchUnavailable as error:
            log.warning("answer not confirmed", leg_id=leg.id, error=error.message)
            return
        if not answer.startswith("+OK"):
            raise self._refused(leg, f"send 200: {answer[:80] or 'failed'}")

    def refuse(self, leg: Leg, code: int) -> None:
        """Refuse an unanswered inbound call with this SIP code. Does not fail."""
        self._node.post(
            builder.setvar(leg.id, "last_bridge_proto_specific_hangup_cause", f"sip:{code}"),
            builder.kill(leg.id, "NORMAL_TEMPORARY_FAILURE"),
        )

    def hangup(self, leg: Leg, reason: str) -> bool:
        """End the call; False when the switch has no such channel any more."""
        cause = hangup_cause(reason)
        if reason == "server_error":
            # no hangup cause becomes a 500; this variable decides the code of the refusal
            self._node.post(builder.setvar(leg.id, "last_bridge_proto_specific_hangup_cause", "sip:500"))
        return self._node.command(builder.kill(leg.id, cause)).startswith("+OK")

    def hangup_all(self, legs: Sequence[Leg], reason: str) -> list[bool]:
        """The same for many, in one write. Not with `server_error`."""
        cause = hangup_cause(reason)
        answers = self._node.command_many([builder.kill(leg.id, cause) for leg in legs])
        return [answer.startswith("+OK") for answer in answers]

    def end(self, channel: str) -> None:
        """End a channel that is no leg of ours any more. Does not fail."""
        self._node.post(builder.kill(channel, "NORMAL_CLEARING"))

    def exists(self, leg: Leg) -> bool:
        """Whether the switch has a channel of this leg, were it just ending."""
        return self._node.command(builder.exists(leg.id)) == "true"

    def codec(self, leg: Leg) -> str:
        """The codec agreed on with the peer, by the switch's name; empty when there is none."""
        return self.variable(leg, "rtp_use_codec_name")

    def has_tls_profile(self, name: str) -> bool:
        """Whether a SIP profile of this name runs, with TLS."""
        return "<tls-url>" in self._node.command(builder.sofia_profile_status(name))

    def variable(self, leg: Leg, name: str) -> str:
        """A variable of the leg's channel; empty when there is none."""
        answer = self._node.command(builder.getvar(leg.id, name))
        return "" if answer == "_undef_" or answer.startswith("-ERR") else answer

    def set_offer(self, leg: Leg, description: str) -> None:
        """Have the switch answer this offer in the place of the caller's."""
        self._node.command(builder.set_lines(leg.id, "switch_r_sdp", description))

    def is_up(self, leg: Leg) -> bool:
        """Whether the leg's call is up: there is a channel, and it is not ending."""
        dump = self._node.command(builder.dump(leg.id))
        return dump.startswith("{") and orjson.loads(dump).get("Answer-State") != "hangup"

    def wait_dialled(self, leg: Leg) -> None:
        """Wait until the dialler has let an outbound leg's channel go. LegGone when it ends meanwhile."""
        with self._waits.expect("dialled", leg.id) as dialled:
            if leg.dialling:
                with Within(DIALLED_TIMEOUT_S, False):
                    dialled.get()

    def set_muted(self, leg: Leg, *, changed: bool = True) -> None:
        """Silence the leg in its conference, or not, as the leg says; recordings still hear it.

        The channel remembers it, unless it is not `changed`. Of a leg whose member is on another switch than
        its channel see `calls.seats`.
        """
        self._member(leg, "mute" if leg.says_nothing else "unmute", ["muted"] if changed else [])

    def set_deaf(self, leg: Leg, *, changed: bool = True) -> None:
        """Stop the conference's audio towards the leg, or not, as the leg says."""
        self._member(
            leg,
            "deaf" if leg.hears_nothing(leg.seat.conference) else "undeaf",
            ["deaf"] if changed else [],
        )

    def prepare_join(self, leg: Leg, *, wait: bool = True) -> None:
        """Have a leg that the switch puts into its room by itself come with the leg's mute and deaf state:
        also when its peer answers as soon as this returns, unless it is not to `wait`."""
        line = builder.setvar(leg.id, memory.JOINING, self._joining(leg))
        if wait:
            self._node.command(line)
        else:
            self._node.post(line)

    @staticmethod
    def _joining(leg: Leg) -> str:
        return builder.member_flags(leg.says_nothing, leg.deaf or leg.silenced)

    def silence(self, leg: Leg) -> None:
        """Neither heard nor hearing, until it is moved, which sets its state anew."""
        seat = leg.seat
        if seat.conference and seat.member_id:
            self._node.command_many(
                [
                    builder.conference_member(seat.conference, action, seat.member_id)
                    for action in ("mute", "deaf")
                ]
            )

    def enter(self, leg: Leg, conference: str, rate: int) -> None:
        """Put the leg into a conference, with its mute and deaf state from the first frame on.

        Returns when the switch reports it there. A peer that was on hold has been told that it is not, by a
        re-INVITE of the switch's own. Raises LegGone, Internal or SwitchUnavailable.
        """
        self.wait_dialled(leg)
        deaf = leg.hears_nothing(conference)
        transfer = builder.transfer_to_conference(
            leg.id, self._node.bond, conference, rate, mute=leg.says_nothing, deaf=deaf
        )
        self._move(leg, transfer, "joined", leg.id, conference)

    def park(self, leg: Leg) -> None:
        """Take the leg out of its conference: it sends silence. Returns and raises as `enter` does."""
        self._move(leg, builder.transfer(leg.id, self._node.bond, "park"), "parked", leg.id)

    def _move(self, leg: Leg, transfer: str, *place: str) -> None:
        with (
            self._waits.expect(*place) as there,
            self._waits.expect("reinvite", leg.id) as off_hold,
        ):
            answer = self._node.command(transfer, then=self._setvars(leg, "target_room"))
            if not answer.startswith("+OK"):
                if not self.is_up(leg):
                    raise LegGone(f"leg {leg.id} has been hung up")
                raise Internal(f"the switch refused to move the leg: {answer[:80]}")
            with Within(JOIN_TIMEOUT_S, SwitchUnavailable(f"the switch did not report it {place[0]}")):
                there.get()
            if leg.held_by_us:
                heard(off_hold, OFF_HOLD_TIMEOUT_S)

    def relate(self, conference: str, pairs: set[tuple[str, str]], action: str) -> None:
        """Keep listeners from hearing sources (`nohear`), or let them again (`clear`): one line a listener.

        It takes effect within a frame, changes nothing else, and is reported by no event.
        """
        rows: dict[str, list[str]] = {}
        for listener, source in sorted(pairs):
            rows.setdefault(listener, []).append(source)
        lines = [
            builder.relate(conference, listener, sources[start : start + builder.MAX_RELATED], action)
            for listener, sources in rows.items()
            for start in range(0, len(sources), builder.MAX_RELATED)
        ]
        for line, answer in zip(lines, self._node.command_many(lines), strict=True):
            if "-ERR" in answer:
                # somebody left meanwhile, and took the relation along
                log.debug("relation not set", command=line, answer=answer[:80])

    def hold(self, leg: Leg, on: bool) -> None:
        """Re-INVITE the peer to (or from) hold and wait for its answer. Conflict with its refusal."""
        refused = self._reinvite(leg, on)
        if refused.startswith("-ERR") and not on:
            # moved, or resumed by its peer, the leg is not held for the switch, which knows one hold only and
            # would not end it: so it is held once more
            refused = self._reinvite(leg, True) or self._reinvite(leg, False)
        if not refused:
            return
        if on and refused.startswith("re-INVITE rejected"):
            # the switch believes in its hold whatever the peer answered
            self._node.post(builder.hold(leg.id, False))
        raise self._refused(leg, f"{'hold' if on else 'unhold'} re-INVITE: {refused}")

    def _reinvite(self, leg: Leg, on: bool) -> str:
        """Empty when the peer accepted; else what the switch or the peer said."""
        with self._waits.expect("reinvite", leg.id) as reinvite:
            bonded = builder.setvar(leg.id, "signal_bond", self._node.bond)
            if on:
                # alone it has nobody to play music to
                self._node.post(builder.setvar(leg.id, "signal_bond", ""))
            answer = self._node.command(builder.hold(leg.id, on), then=[bonded] if on else [])
            if not answer.startswith("+OK"):
                return answer[:80]
            with Within(REINVITE_TIMEOUT_S, False):
                code, phrase = reinvite.get()
                return f"re-INVITE rejected: {code} {phrase}" if code >= 300 else ""
        return "no answer"

    def hear_digits(self, leg: Leg) -> None:
        """Listen for the tones of digits in what the leg says, until it ends. The switch loses up to 40 ms of
        it then."""
        self._node.execute(leg.id, "spandsp_start_dtmf", "")

    def send_dtmf(self, leg: Leg, digits: str) -> None:
        """Digits to the peer, 260 ms each, about two a second: by RFC 4733, or by INFO where it has not
        agreed on that."""
        self._node.command(builder.send_dtmf(leg.id, digits))

    def originate(
        self, leg: Leg, variables: dict[str, str], target: Target, limit: float, room: Room | None
    ) -> str:
        """Dial; returns the job's result when media or the answer came, or the call failed.

        With media it is in the room, if there is one, by the switch's own doing: see `prepare_join`.
        """
        settings = {
            "origination_uuid": leg.id,
            memory.LEG: "outbound",
            "signal_bond": self._node.bond,
            # a 302 must not make the switch dial on its own
            "outbound_redirect_fatal": "true",
            "playback_terminators": "none",
            "hold_music": HOLD_MUSIC,
            **PARKED,
            # ours is exact; the switch's stops counting at early media
            "originate_timeout": str(round(limit) + 60),
            "sip_watch_headers": "Refer-To,CSeq,Subscription-State",
            **_ice(leg),
            **self._media_timeout(),
            **memory.first_variables(leg),
            **variables,
        }
        if joining := self._joining(leg):
            settings[memory.JOINING] = joining
        then = "&park()"
        if room is not None:
            then = builder.dialled_into(self._node.bond, room.conference, room.sample_rate, memory.JOINING)
        return self._node.job(builder.originate(target, settings, then), limit + 90)

    def _prepare_media(self, leg: Leg, codec: str) -> None:
        # only honoured when set before media starts; without text in the offer it does nothing.
        # Without an interval of its own the switch takes the caller's, and imposes none on others
        settings = {
            "fire_text_events": "true",
            headers.SESSION_TIMEOUT: "0",
            **self._media_timeout(),
            **_ice(leg),
        }
        if codec:
            settings["absolute_codec_string"] = ",".join(SWITCH_NAMES[one] for one in codec.split(","))
        self._node.post(*[builder.setvar(leg.id, key, value) for key, value in settings.items()])

    def _media_timeout(self) -> dict[str, str]:
        # only honoured when set before media starts
        return {"media_timeout": str(self._media_timeout_ms)} if self._media_timeout_ms else {}

    def _member(self, leg: Leg, action: str, attributes: list[str]) -> None:
        remembered = self._setvars(leg, *attributes) if attributes else []
        seat = leg.seat
        if not (seat.conference and seat.member_id):
            self._node.post(*remembered)  # applied when it joins
            if leg.joins_by_itself:
                self.prepare_join(leg)
            return
        command = builder.conference_member(seat.conference, action, seat.member_id)
        answer = self._node.command(command, then=remembered)
        if not answer.startswith("+OK"):
            # it is on its way to another conference, which it joins with the leg's state
            log.debug("conference member not changed", leg_id=leg.id, action=action, answer=answer[:80])

    def _setvars(self, leg: Leg, *names: str) -> list[str]:
        return [builder.setvar(leg.id, key, value) for key, value in memory.variables(leg, *names).items()]

    def _succeed(self, leg: Leg, command: str, what: str) -> None:
        answer = self._node.command(command)
        if not answer.startswith("+OK"):
            raise self._refused(leg, f"{what}: {answer[:80] or 'failed'}")

    def _refused(self, leg: Leg, what: str) -> Conflict:
        """What a command raises that was refused. A call that is over is refused everything: its end is about
        to be told, and says it all."""
        if self.is_up(leg):
            return Conflict(what)
        return LegGone(f"leg {leg.id} has been hung up")
