"""What happens to a call in the sandbox: each function changes the channel and fires the events that a real
switch fires for it, in its order (recorded event traces; mod_sofia, mod_dptools, mod_commands)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import sip, tethers, text, unicast
from .channels import CODECS, Channel, now_us

if TYPE_CHECKING:
    from .server import SandboxSwitch

STEP_S = 0.004
"""How long the switch takes for what it does after having said +OK."""

GONE, STUCK = "gone", "stuck"
"""How an internal channel goes astray although its originate succeeded: it ends, or stays, doing nothing."""


class Calls:
    """Signalling of the channels of one sandbox."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch

    def fire(self, name: str, channel: Channel, **more: str) -> None:
        """Fire a channel event; `more` are headers, with _ for -."""
        if not self._switch.wanted(name):
            return
        headers = channel.with_variables()
        for key, value in more.items():
            headers[key.replace("_", "-")] = value
        self._switch.fire(name, headers)

    def set_call_state(self, channel: Channel, call_state: str) -> None:
        """DOWN, RINGING, EARLY, ACTIVE, HELD, UNHELD, HANGUP; events fired before still show the old one."""
        before, channel.call_state = channel.call_state, call_state
        self._switch.recordings.hold(channel)
        self.fire("CHANNEL_CALLSTATE", channel, Original_Channel_Call_State=before)

    # -- up to the answer ----------------------------------------------------------------------------------

    def ring_ready(self, channel: Channel) -> bool:
        """180, once per call; later ones are accepted and not sent."""
        if not channel.alive:
            return False
        if channel.direction == "inbound" and channel.answer_state == "ringing" and not channel.rang:
            channel.far.seen.append("180")
            self.ringing(channel)
        return True

    def pre_answer(self, channel: Channel) -> bool:
        """183 with SDP. False when the call has ended, or ends here for want of a codec."""
        if not channel.alive:
            return False
        if channel.internal:
            self._early_pair(channel)
            return True
        if channel.direction == "inbound" and channel.answer_state == "ringing":
            if not self._negotiate(channel):
                return False
            channel.far.seen.append("183")
            self.early(channel)
        return True

    def answer(self, channel: Channel) -> bool:
        """200 with SDP; false as for `pre_answer`. Without a 183 before, it fires PROGRESS_MEDIA as well."""
        if not channel.alive:
            return False
        if channel.internal:
            self._answer_pair(channel)
            return True
        if channel.verto:
            if channel.answer_state != "answered":
                self.answered(channel)
            return True
        if channel.direction != "inbound" or channel.answer_state == "answered":
            return True
        if channel.answer_state == "ringing":
            if not self._negotiate(channel):
                return False
            self.early(channel)
        channel.far.seen.append("200")
        self.answered(channel)
        channel.unacknowledged = True
        channel.timers.later(STEP_S, self._acknowledged, channel)
        return True

    def _acknowledged(self, channel: Channel) -> None:
        channel.unacknowledged = False
        self.watch_cseq(channel, "ACK", channel.peer_cseq)
        channel.invited(False)  # of a call that did not ring the switch shows its own tag now

    def _early_pair(self, channel: Channel) -> None:
        """One side of a loopback pair has media; the originate returns by that when it is told to."""
        a_side = channel.other
        if a_side is None or a_side.variables.get("ignore_early_media") != "false":
            return
        for side in (a_side, channel):
            if side.alive and side.answer_state == "ringing":
                self.early(side)
                if side is a_side:
                    side.timers.later(STEP_S, self.usable, side)

    def _answer_pair(self, channel: Channel) -> None:
        """Without SIP: when one side of a loopback pair answers, the originated side is answered first."""
        for side in (channel.other, channel):
            if side is not None and side.alive and side.answer_state != "answered":
                early = side.answer_state == "early"
                self.answered(side)
                if side.direction == "outbound" and not early:
                    side.timers.later(STEP_S, self.usable, side)

    def usable(self, channel: Channel) -> None:
        """The originate is over; the channel does what it was originated for a moment later."""
        channel.outcome.set(f"+OK {channel.uuid}\n")
        if channel.internal and self._switch.astray:
            if self._switch.astray.pop(0) == GONE:
                channel.timers.later(STEP_S, self.hangup, channel, "NO_ROUTE_DESTINATION")
            return
        if channel.remaining[:1] != [("park", "")]:
            channel.variables.pop("signal_bond", None)  # it is transferred to them, see Dialplan.transfer
        channel.timers.later(STEP_S, self._switch.dialplan.proceed, channel)

    def _negotiate(self, channel: Channel) -> bool:
        wanted = channel.variables.get("absolute_codec_string", "")
        names = [name.strip().upper() for name in wanted.split(",")] if wanted else list(channel.far.codecs)
        chosen = next((name for name in names if name in channel.far.codecs and name in CODECS), None)
        if chosen is None:
            channel.variables["endpoint_disposition"] = "CODEC NEGOTIATION ERROR"
            self.hangup(channel, "INCOMPATIBLE_DESTINATION")
            return False
        channel.start_media(chosen)
        return True

    def ringing(self, channel: Channel) -> None:
        """A 180 passed, in whatever direction."""
        channel.rang, channel.progress = True, now_us()
        self.fire("CHANNEL_PROGRESS", channel)
        if channel.call_state == "DOWN":
            self.set_call_state(channel, "RINGING")

    def early(self, channel: Channel) -> None:
        """Media runs before the answer."""
        channel.answer_state = "early"
        self.fire("CHANNEL_PROGRESS_MEDIA", channel)
        self.set_call_state(channel, "EARLY")
        self._switch.far_ends.speak(channel)
        self.watch_media(channel)

    def answered(self, channel: Channel) -> None:
        """The 200 passed, in whatever direction."""
        if not channel.internal and (channel.rang or channel.direction == "outbound"):
            channel.invited(channel.direction == "outbound")
        channel.answer_state, channel.answered = "answered", now_us()
        self.fire("CHANNEL_ANSWER", channel)
        self.set_call_state(channel, "ACTIVE")
        channel.variables["endpoint_disposition"] = "ANSWER"
        for name, application in list(channel.variables.items()):
            if name.startswith("execute_on_answer"):
                self._switch.dialplan.execute(channel, *application.split(" ", 1))
        tethers.answered(channel)
        self._switch.far_ends.speak(channel)
        self.watch_media(channel)

    # -- the end -------------------------------------------------------------------------------------------

    def hangup(self, channel: Channel, cause: str, code: int = 0, phrase: str = "") -> None:
        """End a channel from our side: BYE, CANCEL or a refusal, as its state demands.

        `code` and `phrase` refuse an inbound call with just that; else the cause decides.
        """
        if not channel.alive:
            return
        if channel.internal or channel.verto or channel.dialog_lost:
            self.ended(channel, cause)
            return
        if channel.established:
            channel.far.seen.append("BYE")
            disposition = "send_bye"
        elif channel.direction == "inbound":
            specific = channel.variables.get("last_bridge_proto_specific_hangup_cause", "")
            code = code or _code_of(specific) or sip.REFUSALS.get(cause, 480)
            channel.far.seen.append(f"{code} {phrase or sip.phrase(code)}")
            disposition = "send_refuse"
        else:
            channel.far.seen.append("CANCEL")
            disposition = "send_cancel"
            channel.variables |= {"sip_invite_failure_status": "487", "sip_invite_failure_phrase": "CANCEL"}
        number = next((number for number, name in sip.Q850.items() if name == cause), 31)
        channel.far.reason = f'Q.850;cause={number};text="{cause}"'
        self.ended(channel, cause, disposition)

    def ended(self, channel: Channel, cause: str, disposition: str = "", **variables: str) -> None:
        """The channel is over; its last events follow in a moment."""
        if not channel.alive:
            return
        channel.variables |= variables
        channel.variables["hangup_cause"] = cause
        if channel.far.refer_pending:
            channel.far.refer_pending = False
            channel.far.seen.append("500 Server Internal Error")
        if disposition:
            channel.variables["sip_hangup_disposition"] = disposition
        if channel.held:
            self._unhold(channel, "switch_channel_mark_hold")
        awaits_media = channel.established and channel.answer_state != "answered"
        channel.answer_state, channel.ended = "hangup", now_us()
        self.fire("CHANNEL_HANGUP", channel, Hangup_Cause=cause)
        if awaits_media:
            # whoever has waited for the media goes on; on a real switch that may be too late for this event
            self.fire("CHANNEL_ANSWER", channel, Hangup_Cause=cause)
        channel.timers.cancel()
        channel.final_figures()
        self._switch.timers.later(STEP_S, self._bury, channel, cause)

    def _bury(self, channel: Channel, cause: str) -> None:
        self._switch.dialplan.leave(channel)
        if channel.verto:
            self._switch.verto.ended(channel, cause)
        self._switch.recordings.hung_up(channel)
        unicast.end(channel)
        for fork in list(channel.forks.values()):
            fork.stop()
        self._end_with(channel, cause)
        channel.state = "CS_HANGUP"
        self.set_call_state(channel, "HANGUP")
        channel.state = "CS_REPORTING"
        self._switch.remove(channel)
        self.fire("CHANNEL_HANGUP_COMPLETE", channel, Hangup_Cause=cause)
        self.fire("CHANNEL_DESTROY", channel, Hangup_Cause=cause)
        channel.outcome.set(f"-ERR {cause}\n")

    def _end_with(self, channel: Channel, cause: str) -> None:
        """What lasts no longer than this channel: the other side of a pair, and those who listen to it."""
        if channel.other is not None:
            self.hangup(channel.other, cause)
        tethers.ended(channel, cause)
        for listener in channel.eavesdroppers.copy():
            listener.timers.later(STEP_S, self._switch.dialplan.let_go, listener)

    def schedule_hangup(self, channel: Channel, seconds: float, cause: str) -> None:
        """The dialplan's limit for a call that nobody takes."""
        channel.scheduled = channel.timers.later(seconds, self.hangup, channel, cause)

    # -- hold ----------------------------------------------------------------------------------------------

    def hold(self, channel: Channel, on: bool) -> str:
        """uuid_hold: the event fires with the re-INVITE, the peer's answer shows as a watched header."""
        if on is (channel.call_state == "HELD"):
            return "-ERR Operation failed"
        if channel.answer_state != "answered":
            if not on:
                return "-ERR Operation failed"
            self.fire("CHANNEL_HOLD", channel, Event_Calling_Function="switch_ivr_hold")
            return "+OK Success"  # nothing is sent: the switch does not look at the call's state
        if on:
            channel.held = "us"
            self.set_call_state(channel, "HELD")
            self.fire("CHANNEL_HOLD", channel, Event_Calling_Function="switch_ivr_hold")
        else:
            self._unhold(channel, "switch_ivr_unhold")
        self._reinvite(channel, on)
        return "+OK Success"

    def forget_hold(self, channel: Channel) -> None:
        """A transfer tells a peer that is on hold, or holds, that the call goes on, and the channel is not
        held any more, whatever the peer thinks of it."""
        if channel.answer_state != "answered" or not (channel.held or channel.far.holding):
            return
        if channel.held == "us":
            self._unhold(channel, "switch_ivr_unhold")
        elif channel.held:
            channel.held = ""
            self.set_call_state(channel, "UNHELD")
        self.set_call_state(channel, "ACTIVE")
        self._reinvite(channel, False, "sendrecv")

    def _reinvite(self, channel: Channel, on: bool, direction: str = "") -> None:
        taken_off = "recvonly" if channel.far.holding else "sendrecv"
        channel.far.seen.append(f"INVITE {direction or ('sendonly' if on else taken_off)}")
        channel.far.highest_cseq = channel.next_cseq()
        channel.invited(True)
        channel.count_rtp(channel.far.sends_rtp)
        channel.timers.later(STEP_S, self._reinvite_answered, channel, on, channel.cseq)

    def _unhold(self, channel: Channel, function: str) -> None:
        channel.held = ""
        self.set_call_state(channel, "UNHELD")
        self.fire("CHANNEL_UNHOLD", channel, Event_Calling_Function=function)

    def _reinvite_answered(self, channel: Channel, on: bool, cseq: int) -> None:
        code = channel.far.hold_code or 200
        self.watch_response(channel, code, cseq)
        if code == 200:
            flow = ("inactive" if on else channel.far.holding) if channel.far.holding else ""
            channel.variables["remote_audio_media_flow"] = flow or ("recvonly" if on else "sendrecv")
        self._settled(channel)

    def _settled(self, channel: Channel) -> None:
        if channel.call_state == "UNHELD":
            self.set_call_state(channel, "ACTIVE")
        channel.count_rtp(channel.far.sends_rtp)
        self.watch_media(channel)

    def peer_hold(self, channel: Channel, flow: str) -> None:
        """The peer's re-INVITE: sendonly or inactive holds, sendrecv takes off hold."""
        channel.peer_cseq += 1
        self.watch_cseq(channel, "INVITE", channel.peer_cseq)
        channel.invited(False)
        channel.variables["remote_audio_media_flow"] = flow
        held_before, channel.far.holding = channel.far.holding, flow if flow != "sendrecv" else ""
        if channel.far.holding:
            if not channel.held and not held_before:
                channel.held = "peer"
                self.set_call_state(channel, "HELD")
                self.fire("CHANNEL_HOLD", channel, Event_Calling_Function="switch_channel_mark_hold")
        elif channel.held and held_before:
            self._unhold(channel, "switch_channel_mark_hold")
        channel.timers.later(STEP_S, self._reinvited, channel, channel.peer_cseq)

    def _reinvited(self, channel: Channel, cseq: int) -> None:
        self._switch.fire("CUSTOM", {"Unique-ID": channel.uuid}, subclass="sofia::reinvite")
        self.watch_cseq(channel, "ACK", cseq)
        self._settled(channel)

    # -- what the switch sees of SIP, and of its absence -----------------------------------------------------

    def watched(self, channel: Channel, message: str, name: str, value: str) -> None:
        """A header of a received message, as sip_watch_headers shows it before anything else happens."""
        subclass = "sofia::notify_watched_header"
        if self._switch.wanted("CUSTOM", subclass):
            more = {"SIP-Message": message, "Header-Name": name, "Header-Value": value}
            self._switch.fire("CUSTOM", channel.with_variables() | more, subclass=subclass)

    def watch_cseq(self, channel: Channel, method: str, cseq: int) -> None:
        """A request of the peer's."""
        self.watched(channel, f"{method} sip:vsi@127.0.0.1 SIP/2.0", "CSeq", f"{cseq} {method}")

    def watch_response(self, channel: Channel, code: int, cseq: int) -> None:
        """The peer's final response to an INVITE of ours."""
        self.watched(channel, f"SIP/2.0 {code} {sip.phrase(code)}", "CSeq", f"{cseq} INVITE")

    def dtmf(self, channel: Channel, digits: str, source: str = "RTP") -> None:
        """Digits from the peer, 280 ms each: by RTP, by INFO (ENDPOINT), or as tones, which are heard when
        somebody listens for them."""
        if source == "INBAND_AUDIO" and not channel.hears_digits:
            return
        for digit in digits:
            self.fire("DTMF", channel, DTMF_Digit=digit, DTMF_Duration="2240", DTMF_Source=source)

    def text(self, channel: Channel, typed: str) -> None:
        """Real-time text from the peer. Reported at the end of a line, if that was asked for in time."""
        if not (channel.alive and channel.text_possible and channel.fires_text):
            return
        channel.text_line += typed
        if text.is_complete(typed):
            line, channel.text_line = channel.text_line, ""
            if self._switch.wanted("TEXT"):
                self._switch.fire("TEXT", channel.with_variables(), line)
            self._switch.conferences.pass_on_text(channel, line)

    def watch_media(self, channel: Channel) -> None:
        """media_timeout: hang up when no RTP has come for that long. It rests while the call is held."""
        if channel.media_timer is not None:
            channel.media_timer.kill(block=False)
            channel.media_timer = None
        if channel.media_timeout_ms and channel.media and not channel.receives_rtp and not channel.held:
            seconds = channel.media_timeout_ms / 1000
            channel.media_timer = channel.timers.later(seconds, self.hangup, channel, "MEDIA_TIMEOUT")
        tethers.watch_media(channel)


def _code_of(specific: str) -> int:
    """Of `sip:400`, which decides over the cause; 0 for anything else."""
    number = specific.removeprefix("sip:")
    return int(number) if len(number) == 3 and number.isascii() and number.isdigit() else 0
