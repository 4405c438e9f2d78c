"""The other side of the sandbox's calls: scripted callers, and callees named by the user they are dialled at.

`answer` (and any other user): 180, then 200. `instant`: 200. `ring...`: 180, then told by `answer` or
`reject`. `silent`: nothing. `early`: 183 with SDP, then told. `early-answer`: 183, then 200. `reject-486`,
`ring-reject-480`: that final code. `redirect`: 302. `auth`: challenges, wants trunk / trunk;pa,ss"x.
`badsdp`: 200 with no codec of ours.
`no-rfc4733`: answers, without telephone-event. `hold-reject`: refuses re-INVITEs. `bye-after`: hangs up soon.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import sip, speech
from .calls import STEP_S
from .channels import CODECS, Channel, FarEnd, sdp
from .samples import FRAME_S, Voice, tick_now

if TYPE_CHECKING:
    from .server import SandboxSwitch

TRUNK = ("trunk", 'trunk;pa,ss"x')
RING_DELAY_S = 0.02
ANSWER_DELAY_S = 0.1
EARLY_ANSWER_DELAY_S = 0.15
TALK_TIME_S = 0.2
PARK_LIMIT_S = 20.0
TICK_S = 0.01
"""From the answer until the originate has returned; up to 20 ms on a switch."""
REJECT = re.compile(r"(ring-)?reject-([3-6][0-9][0-9])\Z")


class FarEnds:
    """Calls in both directions, as their peers see them."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch

    # -- they call -----------------------------------------------------------------------------------------

    def call(self, request: dict[str, Any]) -> Channel:
        """An inbound call: rings, and waits in `park` for the service. ValueError if it cannot be made."""
        channel = self.caller(request, "vsi", "127.0.0.1")
        self.route(channel)
        return channel

    def caller(self, request: dict[str, Any], profile: str, host: str, offer: str = "") -> Channel:
        """The channel of a caller at a host, who comes by this SIP profile."""
        codecs = tuple(str(name).upper() for name in request.get("codecs", CODECS))
        if not codecs or any(name not in CODECS for name in codecs):
            raise ValueError(f"codecs must be of {', '.join(CODECS)}")
        if self._switch.full:
            raise ValueError("the sandbox has all the channels it can have")
        from_user, to_user = text(request.get("from", "+15550100")), text(request.get("to", "+15550199"))
        display = text(request.get("display") or "")
        far = FarEnd("caller", codecs, text_capable=bool(request.get("rtt", False)))
        channel = Channel(f"sofia/{profile}/{from_user}@{host}", "inbound", far)
        channel.caller_number, channel.caller_name = from_user, display or from_user
        channel.destination = to_user
        channel.far.talking = bool(request.get("talk", False))
        channel.far.rfc4733 = bool(request.get("rfc4733", True))
        channel.far.voice = speech.voice(dict(request.get("say", {})))
        quoted = f'"{display}" ' if display else ""
        channel.variables |= {
            "uuid": channel.uuid,
            "direction": "inbound",
            "sip_from_user": from_user,
            "sip_from_host": host,
            "sip_from_uri": f"{from_user}@{host}",
            "sip_from_display": display,
            "sip_from_tag": channel.uuid[:8],
            "sip_full_from": f"{quoted}<sip:{from_user}@{host}>;tag={channel.uuid[:8]}",
            "sip_to_user": to_user,
            "sip_to_uri": f"{to_user}@127.0.0.1",
            "sip_full_to": f"<sip:{to_user}@127.0.0.1>",
            "sip_req_uri": f"{to_user}@127.0.0.1",
            "sip_call_id": f"{channel.uuid}@sandbox",
            "sip_contact_uri": f"{from_user}@127.0.0.1",
            "sip_network_ip": "127.0.0.1",
            "sip_local_network_addr": "127.0.0.1",
            "switch_r_sdp": offer or sdp(codecs),
            "endpoint_disposition": "DELAYED NEGOTIATION",
        }
        for name, value in dict(request.get("headers", {})).items():
            # the switch drops what looks like a variable, and what is empty
            if value and "${" not in str(value):
                _set_header(channel, text(name), text(value))
        if not request.get("offer", True):
            del channel.variables["switch_r_sdp"]
            channel.variables["endpoint_disposition"] = "RECEIVED_NOSDP"
        return channel

    def route(self, channel: Channel) -> None:
        """What the dialplan does with an inbound call (dialplan/vsi.xml)."""
        calls = self._switch.calls
        self._switch.add(channel)
        calls.fire("CHANNEL_CREATE", channel)
        calls.set_call_state(channel, "RINGING")
        channel.variables |= {
            "vsi_leg": "inbound",
            "playback_terminators": "none",
            "hold_music": "silence",
        }
        calls.schedule_hangup(channel, PARK_LIMIT_S, "NORMAL_TEMPORARY_FAILURE")
        self._switch.dialplan.park(channel)

    # -- they are called -------------------------------------------------------------------------------------

    def dialled(self, channel: Channel, user: str, reachable: bool) -> None:
        """Run the callee's part of an outbound call."""
        later = channel.timers.later
        if not reachable:
            later(RING_DELAY_S, self.refuse, channel, 503, False)
            return
        channel.far.behaviour = user
        channel.far.rfc4733 = user != "no-rfc4733"
        channel.far.highest_cseq = channel.cseq
        channel.far.seen.append("INVITE")
        reject = REJECT.match(user)
        if reject:
            if reject[1]:
                later(RING_DELAY_S, self.ring, channel)
            later(ANSWER_DELAY_S if reject[1] else RING_DELAY_S, self.reject, channel, int(reject[2]))
        elif user == "redirect":
            later(RING_DELAY_S, self._redirect, channel)
        elif user == "auth":
            later(RING_DELAY_S, self._challenge, channel)
        elif user == "badsdp":
            later(RING_DELAY_S, self.bad_answer, channel)
        elif user in ("early", "early-answer"):
            later(RING_DELAY_S, self._early, channel)
            if user == "early-answer":
                later(EARLY_ANSWER_DELAY_S, self.answer, channel)
        elif user.startswith("ring"):
            later(RING_DELAY_S, self.ring, channel)
        elif user in ("instant", "hold-reject", "bye-after"):
            channel.far.hold_code = 488 if user == "hold-reject" else 0
            later(STEP_S, self.answer, channel)
            if user == "bye-after":
                later(STEP_S + TALK_TIME_S, self.hang_up, channel)
        elif user != "silent":
            later(RING_DELAY_S, self.ring, channel)
            later(ANSWER_DELAY_S, self.answer, channel)

    def answer(self, channel: Channel) -> None:
        """The callee picks up."""
        if channel.answer_state not in ("ringing", "early"):
            return
        self._heard(channel, 200)
        if channel.answer_state == "ringing":
            self._start_media(channel)
        self._switch.calls.answered(channel)
        self._usable(channel)

    def reject(self, channel: Channel, code: int) -> None:
        """The callee refuses a call that is not answered."""
        self.refuse(channel, code, True)

    def ring(self, channel: Channel) -> None:
        self._heard(channel)
        self._switch.calls.ringing(channel)
        if channel.variables.get("return_ring_ready") == "true":
            self._usable(channel)

    def _early(self, channel: Channel) -> None:
        self._heard(channel)
        self._start_media(channel)
        self._switch.calls.early(channel)
        if channel.variables.get("ignore_early_media", "false") == "false":
            self._usable(channel)

    def _usable(self, channel: Channel) -> None:
        """The originate sees that at its next tick. Until then, whoever takes the channel cancels it."""
        channel.timers.later(TICK_S, self._dialled, channel)

    def _dialled(self, channel: Channel) -> None:
        if channel.dialling:
            channel.dialling = False
            channel.outcome.set(f"+OK {channel.uuid}\n")
            self._switch.dialplan.proceed(channel)

    def _start_media(self, channel: Channel) -> None:
        wanted = channel.variables.get("absolute_codec_string", "").upper().split(",")
        offered = [name for name in wanted if name in CODECS] or list(CODECS)
        codec = next((name for name in offered if name in channel.far.codecs), "PCMU")
        channel.variables["switch_r_sdp"] = sdp((codec,))
        channel.start_media(codec)

    def _heard(self, channel: Channel, code: int = 0) -> None:
        """A response came; a final one shows as a watched header."""
        channel.variables |= {
            "sip_network_ip": "127.0.0.1",
            "sip_reply_host": "127.0.0.1",
            "sip_to_tag": channel.uuid[-8:],
        }
        if code:
            self._switch.calls.watch_response(channel, code, channel.cseq)

    def refuse(self, channel: Channel, code: int, heard: bool) -> None:
        if not channel.alive:
            return
        phrase = sip.phrase(code)
        variables = {"sip_term_status": str(code), "proto_specific_hangup_cause": f"sip:{code}"}
        disposition = ""
        if heard:
            self._heard(channel, code)
        else:
            # made up by the switch itself: there is no reply host to tell
            phrase = "Service Unavailable" if re.search(r"@[0-9.]+\Z", channel.name) else "DNS Error"
        if code not in (401, 407):
            disposition = "recv_refuse"
            variables |= {"sip_invite_failure_status": str(code), "sip_invite_failure_phrase": phrase}
        self._switch.calls.ended(channel, sip.failure_cause(code), disposition, **variables)

    def _redirect(self, channel: Channel) -> None:
        self._heard(channel, 302)
        if channel.variables.get("outbound_redirect_fatal") != "true":
            channel.far.seen.append("INVITE redirected")  # the stack dials the Contact by itself
            self.ring(channel)
            channel.timers.later(ANSWER_DELAY_S, self.answer, channel)
            return
        self._switch.calls.ended(
            channel,
            "REQUESTED_CHAN_UNAVAIL",
            "send_cancel",
            sip_invite_failure_status="487",
            sip_invite_failure_phrase="CANCEL",
            proto_specific_hangup_cause="sip:302",
            sip_redirected_to="<sip:elsewhere@127.0.0.1>",
        )

    def _challenge(self, channel: Channel) -> None:
        self._heard(channel, 401)
        given = channel.variables.get("sip_auth_username"), channel.variables.get("sip_auth_password")
        gateway = channel.dialled.gateway if channel.dialled else None
        if given == (None, None) and gateway is not None:
            given = gateway.user, gateway.password
        ended = self._switch.calls.ended
        if given == TRUNK:
            self.answer(channel)
        elif given == (None, None):
            failure = {"sip_invite_failure_status": "487", "sip_invite_failure_phrase": "CANCEL"}
            ended(channel, "MANDATORY_IE_MISSING", "send_cancel", **failure)
        else:
            status = {"sip_term_status": "904", "proto_specific_hangup_cause": "sip:904"}
            ended(channel, "NORMAL_UNSPECIFIED", **status)

    def bad_answer(self, channel: Channel) -> None:
        self._heard(channel, 200)
        channel.far.seen.append("BYE")
        ended = self._switch.calls.ended
        ended(channel, "INCOMPATIBLE_DESTINATION", "send_bye", endpoint_disposition="NO CODECS")

    # -- within a call ---------------------------------------------------------------------------------------

    def say(self, channel: Channel, voice: Voice | None) -> None:
        """The peer says this from now on, or as soon as there is media; None is silence."""
        channel.far.voice, channel.far.talking = voice, False
        if voice is None:
            self._switch.conferences.set_talking(channel, False)
        elif channel.media:
            self.speak(channel)

    def say_more(self, channel: Channel, voice: Voice) -> None:
        """The same, behind what it is saying; a tone ends."""
        before = channel.far.voice
        self.say(channel, voice if before is None or before.endless else before.followed_by(voice))

    def speak(self, channel: Channel) -> None:
        """There is media: the peer begins with what it was told to say, or goes on with it."""
        voice = channel.far.voice
        if voice is None:
            return
        if voice.began is None:
            voice.began = tick_now() + 1
        self._switch.conferences.set_talking(channel, True)
        if not voice.endless:
            channel.timers.later(voice.seconds_left, self._fall_silent, channel, voice)

    def _fall_silent(self, channel: Channel, voice: Voice) -> None:
        if channel.far.voice is not voice:
            return
        if self._switch.live.owes(voice.last_tick):
            channel.timers.later(FRAME_S, self._fall_silent, channel, voice)
        else:
            self.say(channel, None)

    def hang_up(self, channel: Channel) -> None:
        """BYE, or CANCEL for a call of theirs that was not answered, or 480 for one of ours."""
        calls = self._switch.calls
        if channel.established:
            channel.peer_cseq += 1
            calls.watch_cseq(channel, "BYE", channel.peer_cseq)
            status = {"sip_term_status": "200", "proto_specific_hangup_cause": "sip:200"}
            calls.ended(channel, "NORMAL_CLEARING", "recv_bye", **status)
        elif channel.direction == "inbound":
            self._cancelled(channel)
        else:
            self.reject(channel, 480)

    def cancel(self, channel: Channel) -> None:
        """CANCEL. One that crosses the answer ends the call, whose 200 the caller never gets; one that comes
        after it changes nothing."""
        if channel.unacknowledged and channel.alive:
            channel.far.seen.remove("200")
        elif channel.answer_state == "answered":
            return
        self._cancelled(channel)

    def _cancelled(self, channel: Channel) -> None:
        channel.far.seen.append("487")
        status = {"sip_term_status": "487", "proto_specific_hangup_cause": "sip:487"}
        failure = {"sip_invite_failure_status": "487", "sip_invite_failure_phrase": "CANCEL"}
        self._switch.calls.ended(channel, "ORIGINATOR_CANCEL", "recv_cancel", **status, **failure)

    def refer(self, channel: Channel, target: str) -> None:
        """The peer sends a REFER. Bonded it waits to be answered, else the switch refuses it by itself."""
        bond = self._switch.channels.get(channel.variables.get("signal_bond", ""))
        held = bond is not None and bond.alive
        channel.far.refer_pending = held
        if held:
            channel.referrer_told = channel.variables["signal_bond"]
        channel.peer_cseq += 1
        self._switch.calls.watch_cseq(channel, "REFER", channel.peer_cseq)
        shown = sip.as_watched(f"<{target}>", before=f"{channel.peer_cseq} REFER")
        self._switch.calls.watched(channel, "REFER sip:vsi@127.0.0.1 SIP/2.0", "Refer-To", shown)
        if not held:
            channel.far.seen += ["202 Accepted", "NOTIFY 403 Forbidden"]
            if "Replaces=" not in target:
                error = {"Error-Type": "blind_transfer", "Full-Refer-To": f"<{target}>"}
                self._switch.fire("CUSTOM", channel.with_variables() | error, subclass="sofia::error")


def _set_header(channel: Channel, name: str, value: str) -> None:
    """A repeated header gets a number behind its name; variables have no case, so `x-a` repeats `X-A`.

    P-Asserted-Identity has a variable of its own; of several Diversions the last stays.
    """
    if name.lower() == "p-asserted-identity":
        channel.variables["sip_P-Asserted-Identity"] = value
        return
    if name.lower() == "diversion":
        channel.variables[f"sip_h_{name}"] = value
        return
    taken = {key.lower() for key in channel.variables}
    key, repeated = f"sip_h_{name}", 0
    while key.lower() in taken:
        repeated += 1
        key = f"sip_h_{name}-{repeated}"
    channel.variables[key] = value


def text(value: object) -> str:
    """Text as it can stand in an event: half surrogates are not."""
    return str(value).encode("utf-8", "replace").decode()
