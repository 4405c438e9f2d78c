"""What happens to a call in the sandbox: each function changes the channel and fires the events that a real
switch fires for it, in its order (freeswitch event traces; mod_sofia, mod_dptools, mod_commands)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

from .channels import CODECS, Channel, now_us

if TYPE_CHECKING:
    from .server import SandboxSwitch

REFUSALS = {
    "USER_BUSY": (486, "Busy Here"),
    "CALL_REJECTED": (603, "Decline"),
    "DECLINE": (603, "Decline"),
    "UNALLOCATED_NUMBER": (404, "Not Found"),
    "NO_ROUTE_DESTINATION": (404, "Not Found"),
    "INCOMING_CALL_BARRED": (403, "Forbidden"),
    "OUTGOING_CALL_BARRED": (403, "Forbidden"),
    "BEARERCAPABILITY_NOTAUTH": (403, "Forbidden"),
    "ORIGINATOR_CANCEL": (487, "Request Terminated"),
    "NORMAL_TEMPORARY_FAILURE": (503, "Service Unavailable"),
    "INCOMPATIBLE_DESTINATION": (488, "Not Acceptable Here"),
    "NO_USER_RESPONSE": (408, "Request Timeout"),
    "RECOVERY_ON_TIMER_EXPIRE": (504, "Server Time-out"),
    "MEDIA_TIMEOUT": (480, "Temporarily Unavailable"),
}
"""Hangup cause -> final response to an unanswered inbound call; every other cause is 480."""

STEP_S = 0.004
"""How long the switch takes for what it does after having said +OK."""


class Calls:
    """Signalling of the channels of one sandbox."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch

    def fire(self, name: str, channel: Channel, **more: str) -> None:
        """Fire a channel event."""
        headers = channel.with_variables()
        for key, value in more.items():
            headers[key.replace("_", "-")] = value
        self._switch.fire(name, headers)

    def ring_ready(self, channel: Channel) -> bool:
        """180, once per call; later ones are accepted and not sent."""
        if not channel.alive:
            return False
        if channel.answer_state == "ringing" and not channel.rang:
            channel.rang, channel.progress = True, now_us()
            channel.far.seen.append("180")
            self.fire("CHANNEL_PROGRESS", channel)
        return True

    def pre_answer(self, channel: Channel) -> bool:
        """183 with SDP."""
        if not channel.alive:
            return False
        if channel.answer_state == "ringing":
            if not self._negotiate(channel):
                return False
            channel.far.seen.append("183")
            self._early(channel)
        return True

    def answer(self, channel: Channel) -> bool:
        """200 with SDP. Without a 183 before it, an inbound call's answer fires PROGRESS_MEDIA as well."""
        if not channel.alive:
            return False
        if channel.answer_state == "answered":
            return True
        if channel.answer_state == "ringing":
            if not self._negotiate(channel):
                return False
            self._early(channel)
        channel.far.seen.append("200")
        self.answered(channel)
        return True

    def _early(self, channel: Channel) -> None:
        channel.answer_state, channel.call_state = "early", "EARLY"
        self.fire("CHANNEL_PROGRESS_MEDIA", channel)

    def answered(self, channel: Channel) -> None:
        """The 200 passed, in whatever direction."""
        channel.answer_state, channel.call_state, channel.answered = "answered", "ACTIVE", now_us()
        self.fire("CHANNEL_ANSWER", channel)
        self.watch_media(channel)

    def _negotiate(self, channel: Channel) -> bool:
        wanted = channel.variables.get("absolute_codec_string", "")
        names = [name.upper() for name in wanted.split(",")] if wanted else list(channel.far.codecs)
        chosen = next((name for name in names if name in channel.far.codecs and name in CODECS), None)
        if chosen is None:
            channel.variables["endpoint_disposition"] = "CODEC NEGOTIATION ERROR"
            self.hangup(channel, "INCOMPATIBLE_DESTINATION")
            return False
        channel.start_media(chosen)
        return True

    def park(self, channel: Channel) -> None:
        """Into `park`, out of whatever it was in."""
        self._switch.conferences.leave(channel)
        channel.application, channel.application_data = "park", ""
        self.fire("CHANNEL_PARK", channel)

    def transfer(self, channel: Channel, applications: list[tuple[str, str]]) -> None:
        """Run inline applications: set, conference, park. signal_bond does not survive a transfer."""
        if not channel.alive:
            return
        channel.variables.pop("signal_bond", None)
        for application, argument in applications:
            if application == "set":
                name, _, value = argument.partition("=")
                channel.variables[name] = value
            elif application == "park":
                self.park(channel)
                return
            elif application == "conference":
                room, _, flags = argument.partition("+flags{")
                name, _, profile = room.rpartition("@")
                self._switch.conferences.leave(channel)
                channel.application, channel.application_data = "conference", argument
                flag_set = set(flags.rstrip("}").split("|")) - {""}
                self._switch.conferences.join(channel, name, profile, flag_set)
                return
        self.hangup(channel, "NORMAL_CLEARING")

    def hangup(self, channel: Channel, cause: str, **variables: str) -> None:
        """End a channel from our side: BYE, CANCEL or a refusal, as its state demands."""
        if not channel.alive:
            return
        if channel.answer_state == "answered":
            channel.far.seen.append("BYE")
            disposition = "send_bye"
        elif channel.direction == "inbound":
            code, phrase = REFUSALS.get(cause, (480, "Temporarily Unavailable"))
            if channel.variables.get("last_bridge_proto_specific_hangup_cause") == "sip:500":
                code, phrase = 500, "Server Internal Error"
            channel.far.seen.append(f"{code} {phrase}")
            disposition = "send_refuse"
        else:
            channel.far.seen.append("CANCEL")
            disposition = "send_cancel"
            channel.variables["sip_invite_failure_status"] = "487"
            channel.variables["sip_invite_failure_phrase"] = "CANCEL"
        self.ended(channel, cause, disposition, **variables)

    def ended(self, channel: Channel, cause: str, disposition: str, **variables: str) -> None:
        """The channel is over; its last events follow in a moment."""
        if not channel.alive:
            return
        channel.answer_state, channel.call_state, channel.ended = "hangup", "HANGUP", now_us()
        for timer in [*channel.timers, channel.scheduled]:
            if timer is not None:
                timer.kill(block=False)
        channel.timers.clear()
        if disposition:
            channel.variables["sip_hangup_disposition"] = disposition
        channel.variables |= variables
        channel.final_figures()
        gevent.spawn_later(STEP_S, self._bury, channel, cause)

    def _bury(self, channel: Channel, cause: str) -> None:
        self._switch.conferences.leave(channel)
        self._switch.channels.pop(channel.uuid, None)
        self._switch.remember(channel)
        self.fire("CHANNEL_HANGUP_COMPLETE", channel, Hangup_Cause=cause)
        self._switch.flush()

    def hold(self, channel: Channel, on: bool) -> str:
        """uuid_hold: the event fires with the re-INVITE, the peer's answer shows as a watched header."""
        if channel.answer_state != "answered":
            return "+OK Success"
        if on is (channel.held == "us"):
            return "-ERR Operation failed"
        channel.held = "us" if on else ""
        channel.call_state = "HELD" if on else "UNHELD"
        channel.far.seen.append("INVITE sendonly" if on else "INVITE sendrecv")
        channel.variables["remote_audio_media_flow"] = "sendrecv" if on else "recvonly"
        function = "switch_ivr_hold" if on else "switch_ivr_unhold"
        name = "CHANNEL_HOLD" if on else "CHANNEL_UNHOLD"
        self.fire(name, channel, Event_Calling_Function=function)
        channel.call_state = "HELD" if on else "ACTIVE"
        channel.cseq += 1
        code = channel.far.hold_code
        message = f"SIP/2.0 {code} Not Acceptable Here" if code else "SIP/2.0 200 OK"
        cseq = f"{channel.cseq} INVITE"
        timer = gevent.spawn_later(STEP_S, self._watched_later, channel, message, "CSeq", cseq)
        channel.timers.append(timer)
        if not on:
            self.watch_media(channel)
        return "+OK Success"

    def _watched_later(self, channel: Channel, message: str, name: str, value: str) -> None:
        self.watched(channel, message, name, value)
        self._switch.flush()

    def watched(self, channel: Channel, message: str, name: str, value: str) -> None:
        """A header of a received message, as sip_watch_headers shows it."""
        self._switch.fire(
            "CUSTOM",
            channel.with_variables()
            | {
                "Event-Subclass": "sofia::notify_watched_header",
                "SIP-Message": message,
                "Header-Name": name,
                "Header-Value": value,
            },
        )

    def peer_hold(self, channel: Channel, flow: str) -> None:
        """The peer's re-INVITE: sendonly or inactive holds, sendrecv takes off hold."""
        on = flow in ("sendonly", "inactive")
        channel.held = "peer" if on else ""
        channel.call_state = "HELD" if on else "ACTIVE"
        channel.variables["remote_audio_media_flow"] = flow
        name = "CHANNEL_HOLD" if on else "CHANNEL_UNHOLD"
        self.fire(name, channel, Event_Calling_Function="switch_channel_mark_hold")

    def schedule_hangup(self, channel: Channel, seconds: float, cause: str) -> None:
        """The dialplan's limit for a call that nobody takes."""
        channel.scheduled = gevent.spawn_later(seconds, self._scheduled, channel, cause)

    def _scheduled(self, channel: Channel, cause: str) -> None:
        channel.scheduled = None
        self.hangup(channel, cause)
        self._switch.flush()

    def watch_media(self, channel: Channel) -> None:
        """media_timeout: hang up when the peer has been silent for that long; not while held by us."""
        limit = channel.variables.get("media_timeout", "")
        if limit.isdigit() and int(limit) and not channel.far.sends_rtp and channel.media:
            channel.timers.append(gevent.spawn_later(int(limit) / 1000, self._media_timeout, channel))

    def _media_timeout(self, channel: Channel) -> None:
        if channel.alive and not channel.far.sends_rtp and channel.held != "us":
            self.hangup(channel, "MEDIA_TIMEOUT")
            self._switch.flush()
