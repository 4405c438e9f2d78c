"""The other side of the sandbox's calls: scripted callers, and callees named by the user they are dialled at.

`answer` (and any other user): 180, then 200. `instant`: 200. `ring`: 180, then told by `answer` or `reject`.
`silent`: nothing. `early`: 183 with SDP, then told. `early-answer`: 183, then 200. `reject-486`,
`ring-reject-480`: that final code. `redirect`: 302. `auth`: challenges, wants trunk / trunk;pa,ss"x.
`badsdp`: 200 with no codec of ours. `hold-reject`: refuses re-INVITEs. `bye-after`: hangs up soon.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import gevent

from .channels import CODECS, Channel, FarEnd, now_us, offer

if TYPE_CHECKING:
    from .server import SandboxSwitch

TRUNK = ("trunk", 'trunk;pa,ss"x')

CAUSES = {
    400: "NORMAL_TEMPORARY_FAILURE",
    401: "CALL_REJECTED",
    402: "CALL_REJECTED",
    403: "CALL_REJECTED",
    404: "UNALLOCATED_NUMBER",
    405: "SERVICE_UNAVAILABLE",
    407: "CALL_REJECTED",
    408: "RECOVERY_ON_TIMER_EXPIRE",
    410: "NUMBER_CHANGED",
    480: "NO_USER_RESPONSE",
    484: "INVALID_NUMBER_FORMAT",
    486: "USER_BUSY",
    487: "ORIGINATOR_CANCEL",
    488: "INCOMPATIBLE_DESTINATION",
    500: "NORMAL_TEMPORARY_FAILURE",
    501: "SERVICE_NOT_IMPLEMENTED",
    502: "NETWORK_OUT_OF_ORDER",
    503: "NORMAL_TEMPORARY_FAILURE",
    504: "RECOVERY_ON_TIMER_EXPIRE",
    600: "USER_BUSY",
    603: "CALL_REJECTED",
    604: "NO_ROUTE_DESTINATION",
    606: "INCOMPATIBLE_DESTINATION",
}
"""Final status of a peer -> hangup cause."""

PHRASES = {404: "Not Found", 480: "Temporarily Unavailable", 486: "Busy Here", 603: "Decline"}
RING_DELAY_S = 0.02
ANSWER_DELAY_S = 0.1
PARK_LIMIT_S = 20.0


class FarEnds:
    """Calls in both directions, as their peers see them."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch

    def call(self, request: dict[str, Any]) -> Channel:
        """An inbound call: rings, and waits in `park` for the service. Raises ValueError."""
        codecs = tuple(str(name).upper() for name in request.get("codecs", ("PCMU", "PCMA", "G722", "OPUS")))
        if not codecs or any(name not in CODECS for name in codecs):
            raise ValueError(f"codecs must be of {', '.join(CODECS)}")
        from_user, to_user = str(request.get("from", "+15550100")), str(request.get("to", "+15550199"))
        channel = Channel(f"sofia/vsi/{from_user}@127.0.0.1", "inbound", FarEnd("caller", codecs))
        channel.caller_number = from_user
        channel.caller_name = str(request.get("display", from_user))
        channel.destination = to_user
        channel.far.talking = bool(request.get("talk", False))
        channel.variables |= {
            "uuid": channel.uuid,
            "direction": "inbound",
            "sip_from_user": from_user,
            "sip_from_uri": f"{from_user}@127.0.0.1",
            "sip_full_from": f"<sip:{from_user}@127.0.0.1>;tag={channel.uuid[:8]}",
            "sip_to_user": to_user,
            "sip_to_uri": f"{to_user}@127.0.0.1",
            "sip_full_to": f"<sip:{to_user}@127.0.0.1>",
            "sip_call_id": f"{channel.uuid}@sandbox",
            "sip_network_ip": "127.0.0.1",
            "switch_r_sdp": offer(codecs),
            "vsi_leg": "inbound",
            "playback_terminators": "none",
        }
        for name, value in dict(request.get("headers", {})).items():
            if value and "${" not in str(value):
                channel.variables[f"sip_h_{name}"] = str(value)
        channel.application = "park"
        self._switch.add(channel)
        calls = self._switch.calls
        calls.fire("CHANNEL_CREATE", channel)
        calls.schedule_hangup(channel, PARK_LIMIT_S, "NORMAL_TEMPORARY_FAILURE")
        calls.fire("CHANNEL_PARK", channel)
        return channel

    def dialled(self, channel: Channel, user: str, reachable: bool) -> None:
        """Run the callee's part of an outbound call."""
        channel.far.behaviour = user
        if not reachable:
            # made up by the switch itself: no reply host
            self._later(channel, RING_DELAY_S, self._refuse, channel, 503, "Service Unavailable", False)
            return
        wanted = channel.variables.get("absolute_codec_string", "")
        names = [name.upper() for name in wanted.split(",")] if wanted else list(CODECS)
        chosen = next((name for name in names if name in CODECS), "PCMU")
        reject = re.fullmatch(r"(ring-)?reject-(\d{3})", user)
        if user == "silent":
            return
        if reject:
            if reject[1]:
                self._later(channel, RING_DELAY_S, self._ring, channel)
            code = int(reject[2])
            delay = ANSWER_DELAY_S if reject[1] else RING_DELAY_S
            self._later(channel, delay, self._refuse, channel, code, PHRASES.get(code, "Refused"), True)
        elif user == "redirect":
            self._later(channel, RING_DELAY_S, self._redirect, channel)
        elif user == "auth":
            self._later(channel, RING_DELAY_S, self._challenge, channel, chosen)
        elif user == "badsdp":
            self._later(channel, RING_DELAY_S, self._bad_answer, channel)
        elif user.startswith("early"):
            self._later(channel, RING_DELAY_S, self._early, channel, chosen)
            if user == "early-answer":
                self._later(channel, 0.15, self.answer, channel)
        elif user == "ring":
            self._later(channel, RING_DELAY_S, self._ring, channel)
        else:
            self._answering(channel, user, chosen)

    def _answering(self, channel: Channel, user: str, codec: str) -> None:
        if user not in ("instant", "hold-reject", "bye-after"):
            self._later(channel, RING_DELAY_S, self._ring, channel)
        channel.far.hold_code = 488 if user == "hold-reject" else 0
        delay = ANSWER_DELAY_S if user not in ("instant", "hold-reject", "bye-after") else RING_DELAY_S
        self._later(channel, delay, self.answer, channel, codec)
        if user == "bye-after":
            self._later(channel, delay + 0.2, self.hang_up, channel)

    def answer(self, channel: Channel, codec: str = "PCMU") -> None:
        """The callee picks up."""
        if channel.answer_state not in ("ringing", "early"):
            return
        self._heard(channel)
        early = channel.answer_state == "early"
        if not early:
            wanted = channel.variables.get("absolute_codec_string", "").upper().split(",")[0]
            channel.start_media(wanted if wanted in CODECS else codec)
        self._switch.calls.answered(channel)
        if not early:
            self._switch.originated(channel, f"+OK {channel.uuid}")
            self._switch.calls.park(channel)

    def reject(self, channel: Channel, code: int) -> None:
        """The callee refuses a call that is ringing."""
        self._refuse(channel, code, PHRASES.get(code, "Refused"), True)

    def hang_up(self, channel: Channel) -> None:
        """BYE, or CANCEL for a call of theirs that was not answered."""
        calls = self._switch.calls
        if channel.answer_state == "answered":
            calls.ended(
                channel,
                "NORMAL_CLEARING",
                "recv_bye",
                sip_term_status="200",
                proto_specific_hangup_cause="sip:200",
            )
        elif channel.direction == "inbound":
            calls.ended(
                channel,
                "ORIGINATOR_CANCEL",
                "recv_cancel",
                sip_term_status="487",
                sip_invite_failure_phrase="CANCEL",
            )
        else:
            self.reject(channel, 480)

    def refer(self, channel: Channel, target: str, referred_by: str) -> None:
        """The peer sends a REFER. Bonded it waits to be answered, else the switch refuses it by itself."""
        channel.far.refer_pending = "signal_bond" in channel.variables
        message = "REFER sip:vsi@127.0.0.1 SIP/2.0"
        channel.cseq += 1
        for name, value in (
            ("Refer-To", f"<{target}>"),
            ("Referred-By", referred_by),
            ("CSeq", f"{channel.cseq} REFER"),
        ):
            if value:
                self._switch.calls.watched(channel, message, name, value)

    def _later(self, channel: Channel, delay: float, action: Any, *args: Any) -> None:
        def act() -> None:
            if channel.alive:
                action(*args)
                self._switch.flush()

        channel.timers.append(gevent.spawn_later(delay, act))

    def _heard(self, channel: Channel) -> None:
        channel.variables |= {"sip_network_ip": "127.0.0.1", "sip_reply_host": "127.0.0.1"}

    def _ring(self, channel: Channel) -> None:
        self._heard(channel)
        channel.progress = now_us()
        self._switch.calls.fire("CHANNEL_PROGRESS", channel)

    def _early(self, channel: Channel, codec: str) -> None:
        self._heard(channel)
        channel.start_media(codec)
        channel.answer_state, channel.call_state = "early", "EARLY"
        self._switch.calls.fire("CHANNEL_PROGRESS_MEDIA", channel)
        self._switch.originated(channel, f"+OK {channel.uuid}")
        self._switch.calls.park(channel)

    def _refuse(self, channel: Channel, code: int, phrase: str, heard: bool) -> None:
        if heard:
            self._heard(channel)
        cause = CAUSES.get(code, "NORMAL_UNSPECIFIED")
        self._switch.calls.ended(
            channel,
            cause,
            "recv_refuse",
            sip_term_status=str(code),
            sip_invite_failure_status=str(code),
            sip_invite_failure_phrase=phrase,
            proto_specific_hangup_cause=f"sip:{code}",
        )

    def _redirect(self, channel: Channel) -> None:
        self._heard(channel)
        self._switch.calls.ended(
            channel,
            "REQUESTED_CHAN_UNAVAIL",
            "send_cancel",
            sip_invite_failure_status="487",
            proto_specific_hangup_cause="sip:302",
            sip_redirected_to="<sip:elsewhere@127.0.0.1>",
        )

    def _challenge(self, channel: Channel, codec: str) -> None:
        self._heard(channel)
        given = channel.variables.get("sip_auth_username"), channel.variables.get("sip_auth_password")
        if given == TRUNK:
            self.answer(channel, codec)
        elif given == (None, None):
            self._switch.calls.ended(channel, "MANDATORY_IE_MISSING", "send_cancel")
        else:
            self._switch.calls.ended(channel, "NORMAL_UNSPECIFIED", "send_cancel", sip_term_status="904")

    def _bad_answer(self, channel: Channel) -> None:
        self._heard(channel)
        self._switch.calls.ended(
            channel, "INCOMPATIBLE_DESTINATION", "send_bye", endpoint_disposition="NO CODECS"
        )
