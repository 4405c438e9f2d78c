"""Channels of the sandbox: their state, and the headers their events carry on a real switch."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .timers import Timers

if TYPE_CHECKING:
    from .conference import Member
    from .fork import Fork
    from .recording import Recording
    from .samples import Voice
    from .sofia import Dialled
    from .tethers import Remote
    from .unicast import Unicast

CODECS = {
    "PCMU": (0, 8000, 8000),
    "PCMA": (8, 8000, 8000),
    "G722": (9, 8000, 16000),
    "OPUS": (107, 48000, 48000),
}
"""Name -> RTP payload type, RTP clock rate and sample rate in Hz."""

PACKETS_PER_SECOND = 50


def now_us() -> int:
    """Unix time in microseconds, as the switch stamps its channels."""
    return time.time_ns() // 1000


class Outcome:
    """The result of a command that takes its time, told to its listener at once, so that order is kept."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._listener: Callable[[str], object] | None = None

    def set(self, text: str) -> None:
        """The result is known; only the first counts."""
        if self._text is None:
            self._text = text
            if self._listener is not None:
                self._listener(text)

    def then(self, listener: Callable[[str], object]) -> None:
        """Tell this listener."""
        self._listener = listener
        if self._text is not None:
            listener(self._text)


@dataclass(slots=True)
class FarEnd:
    """The SIP peer: what it does, and what it has been sent."""

    behaviour: str = ""
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722", "OPUS")
    seen: list[str] = field(default_factory=list)
    reason: str = ""
    """The Reason header of what ended the call."""
    digits: str = ""
    rfc4733: bool = True
    """Whether it takes part in digits by RTP; else it is sent them by INFO."""
    talking: bool = False
    voice: Voice | None = None
    """What it says; None while it talks is a tone of 440 Hz."""
    sends_rtp: bool = True
    holding: str = ""
    """The direction by which the peer holds: sendonly or inactive."""
    hold_code: int = 0
    """Final code for our next re-INVITEs; 0 accepts them."""
    no_media: bool = False
    """ICE does not come about: an answer never takes effect."""
    lite: bool = False
    """ICE lite: an answer takes effect when a check of somebody else's comes."""
    reports: list[str] = field(default_factory=list)
    """What it was told of its REFERs: status line and state of the subscription."""
    highest_cseq: int = 0
    """Of the requests within the call that it has been sent."""
    wrongs: list[str] = field(default_factory=list)
    """What it was sent that a strict peer does not take."""
    refer_pending: bool = False
    refer_answered: bool = False
    refer_code: int = 202
    """What it answers a REFER of ours; 0 for nothing."""
    refer_challenge: bool = False
    """A 401 or 407 brings a challenge."""
    report_code: int = 200
    """What it answers reports on its REFERs."""
    bye_at_report: bool = False
    """Its BYE crosses the next interim report on its REFER."""
    gone: bool = False
    """It has hung up, and the switch does not know: it answers 481."""
    referred: list[str] = field(default_factory=list)
    """The Refer-To of each REFER that it was sent."""
    text_capable: bool = True
    """Whether it takes real-time text when offered; a caller: whether it offers it."""
    texts: list[str] = field(default_factory=list)
    text_ticks: list[int] = field(default_factory=list)
    """When each of them was sent, in ticks of the switch's text."""
    """The lines of real-time text that it has been sent."""


@dataclass(slots=True)
class Channel:
    """One channel. Times in microseconds, 0 for "has not happened"."""

    name: str
    direction: str
    far: FarEnd
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    variables: dict[str, str] = field(default_factory=dict)
    answer_state: str = "ringing"
    state: str = "CS_EXECUTE"
    call_state: str = "DOWN"
    application: str = ""
    application_data: str = ""
    remaining: list[tuple[str, str]] = field(default_factory=list)
    """The applications of an inline transfer that are still to be run."""
    caller_name: str = ""
    caller_number: str = ""
    destination: str = ""
    created: int = field(default_factory=now_us)
    progress: int = 0
    media: int = 0
    answered: int = 0
    ended: int = 0
    codec: str = ""
    rang: bool = False
    dialog_lost: bool = False
    """Its peer has been sent a BYE, of which nothing tells."""
    referrer_told: str = ""
    """The channel that the reports of this one's peer go to."""
    held: str = ""
    """`us` or `peer` while on hold. The switch has one hold, whoever asked for it."""
    cseq: int = 1
    peer_cseq: int = 1
    member: Member | None = None
    member_id: int = 0
    packets_before: float = 0.0
    rtp_since: int = 0
    media_timeout_ms: int = 0
    media_timer: Any = None
    scheduled: Any = None
    """The hangup that the dialplan scheduled for a call nobody takes."""
    dialled: Dialled | None = None
    """What the INVITE of an outbound call says, and where it goes."""
    dialling: bool = False
    """The originate that made this channel has not let it go."""
    unacknowledged: bool = False
    """Answered, and the caller's ACK has not come: a CANCEL may be on its way instead."""
    outcome: Outcome = field(default_factory=Outcome)
    """Of the originate that made this channel."""
    timers: Timers = field(default_factory=Timers)
    verto: bool = False
    """A browser's: there is no SIP."""
    internal: bool = False
    """A loopback or null channel: there is no SIP, and nobody at a far end."""
    other: Channel | None = field(default=None, repr=False, compare=False)
    """The other side of a loopback pair."""
    remote: Remote | None = field(default=None, repr=False, compare=False)
    """The other end of a call to or from another sandbox."""
    bridged: Channel | None = field(default=None, repr=False, compare=False)
    """The channel that it is connected with."""
    eavesdroppers: list[Channel] = field(default_factory=list, repr=False, compare=False)
    read_rate: int = 0
    """Samples per second of what it says; 0 as long as there is no media."""
    recordings: dict[str, Recording] = field(default_factory=dict, repr=False, compare=False)
    forks: dict[str, Fork] = field(default_factory=dict, repr=False, compare=False)
    unicast: Unicast | None = field(default=None, repr=False, compare=False)
    unicast_spent: bool = False
    """The `park` that it is in has had its unicast, and takes no other."""
    playing: list[str] = field(default_factory=list)
    """Endless playbacks on top of what the channel is in, the last one heard."""
    hears_digits: bool = False
    """Somebody listens for the tones of digits (spandsp_start_dtmf)."""
    text_possible: bool = False
    fires_text: bool = False
    text_line: str = ""
    """What the peer has typed of a line that is not complete."""

    @property
    def alive(self) -> bool:
        return self.answer_state != "hangup"

    @property
    def own_tag(self) -> str:
        """The switch's tag of the dialog."""
        return self.uuid[:8] if self.direction == "outbound" else self.uuid[-8:]

    @property
    def far_tag(self) -> str:
        """The peer's."""
        return self.uuid[-8:] if self.direction == "outbound" else self.uuid[:8]

    def next_cseq(self) -> int:
        """The number of the next request of the switch's. The first one in a dialog that the peer has opened
        is made of the time (RFC 3261, 8.1.1.5)."""
        first = self.direction == "inbound" and self.cseq == 1
        self.cseq = int(time.time()) // 2 if first else self.cseq + 1
        return self.cseq

    def invited(self, by_us: bool) -> None:
        """From and To are those of the last INVITE, whoever sent it."""
        variables = self.variables
        sides = {variables.get("sip_from_tag"): variables.get("sip_full_from", "")}
        sides.setdefault(self.own_tag, variables.get("sip_full_to", ""))
        sides.setdefault(self.far_tag, variables.get("sip_full_to", ""))
        first, second = (self.own_tag, self.far_tag) if by_us else (self.far_tag, self.own_tag)
        variables |= {"sip_from_tag": first, "sip_to_tag": second}
        for name, side in (("sip_full_from", first), ("sip_full_to", second)):
            variables[name] = f"{(sides[side] or '').partition('>')[0]}>;tag={side}"

    def start_media(self, codec: str) -> None:
        """RTP runs from now on, in this codec."""
        self.codec = codec
        payload, clock, rate = CODECS[codec]
        shown = "opus" if codec == "OPUS" else codec
        self._negotiate_text()
        self._show_codec(shown, rate)
        self.variables |= {
            "rtp_use_codec_name": shown,
            "rtp_use_codec_rate": str(clock),
            "rtp_use_pt": str(payload),
            "remote_audio_media_flow": "sendrecv",
            "endpoint_disposition": "EARLY MEDIA",
            "dtmf_type": "rfc2833" if self.far.rfc4733 else "info",
        }
        self.media = self.media or now_us()
        limit = self.variables.get("media_timeout", "")
        # read here and never again: set later, it has no effect
        self.media_timeout_ms = int(limit) if limit.isascii() and limit.isdigit() else 0
        self.count_rtp(self.far.sends_rtp)

    def start_internal_media(self, rate: int) -> None:
        """Media between channels, without RTP."""
        self._show_codec("L16", rate)

    def _show_codec(self, name: str, rate: int) -> None:
        self.read_rate = rate
        self.variables |= {
            "read_codec": name,
            "read_rate": str(rate),
            "write_codec": name,
            "write_rate": str(rate),
        }

    def _negotiate_text(self) -> None:
        offered = self.direction == "inbound" or self.variables.get("rtp_enable_text") == "true"
        if offered and self.far.text_capable:
            self.text_possible = True
            self.variables["text_possible"] = "true"
        # read when media starts and never again
        self.fires_text = self.variables.get("fire_text_events") == "true"

    @property
    def established(self) -> bool:
        """For its peer the call is answered, whatever the switch says."""
        return self.answer_state == "answered" or "200" in self.far.seen

    @property
    def receives_rtp(self) -> bool:
        """Whether packets come in: a peer that we hold is asked to be silent."""
        silenced = self.held == "us" or self.variables.get("remote_audio_media_flow") == "inactive"
        return bool(self.media) and self.far.sends_rtp and not silenced

    def count_rtp(self, sends: bool) -> None:
        """Count what has come in so far, and go on by what is true from now on."""
        if self.rtp_since:
            self.packets_before += (now_us() - self.rtp_since) / 1_000_000 * PACKETS_PER_SECOND
        self.far.sends_rtp = sends
        self.rtp_since = now_us() if self.receives_rtp else 0

    def headers(self) -> dict[str, Any]:
        """The channel's part of an event, without its variables."""
        return {
            "Channel-State": self.state,
            "Channel-Call-State": self.call_state,
            "Channel-Name": self.name,
            "Unique-ID": self.uuid,
            "Call-Direction": self.direction,
            "Answer-State": self.answer_state,
            "Caller-Direction": self.direction,
            "Caller-Caller-ID-Name": self.caller_name,
            "Caller-Caller-ID-Number": self.caller_number,
            "Caller-Network-Addr": self.variables.get("sip_network_ip", ""),
            "Caller-Destination-Number": self.destination,
            "Caller-Unique-ID": self.uuid,
            "Caller-Context": "vsi",
            "Caller-Channel-Name": self.name,
            "Caller-Channel-Created-Time": str(self.created),
            "Caller-Channel-Progress-Time": str(self.progress),
            "Caller-Channel-Progress-Media-Time": str(self.media),
            "Caller-Channel-Answered-Time": str(self.answered),
            "Caller-Channel-Hangup-Time": str(self.ended),
        }

    def with_variables(self) -> dict[str, Any]:
        """The channel's part of an event, variables included."""
        found = self.headers()
        for name, value in self.variables.items():
            # the switch keeps its arrays in such text, and takes anybody's for one
            array = value.startswith("ARRAY::")
            found[f"variable_{name}"] = value[7:].split("|:") if array else value
        found["variable_current_application"] = self.application
        return found

    def final_figures(self) -> None:
        """Set what only the last event has: the RTP figures, if there was media at all."""
        if not self.media:
            return
        self.count_rtp(False)
        received = int(self.packets_before)
        self.variables |= {
            "rtp_audio_in_packet_count": str(received),
            "rtp_audio_in_media_packet_count": str(received),
            "rtp_audio_in_skip_packet_count": "0",
            "rtp_audio_in_flaw_total": "0",
            "rtp_audio_in_mean_interval": "20.00" if received else "0.00",
            "rtp_audio_in_jitter_min_variance": "0.00",
            "rtp_audio_in_jitter_max_variance": "1.00" if received else "0.00",
            "rtp_audio_in_quality_percentage": "100.00",
            "rtp_audio_in_mos": "4.50",
        }


def sdp(codecs: tuple[str, ...]) -> str:
    """A session description with these codecs, as the switch keeps the peer's in switch_r_sdp."""
    numbers = " ".join(str(CODECS[codec][0]) for codec in codecs)
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        f"m=audio 4000 RTP/AVP {numbers} 101",
    ]
    for codec in codecs:
        payload, clock, _ = CODECS[codec]
        spelled = "opus/48000/2" if codec == "OPUS" else f"{codec}/{clock}"
        lines.append(f"a=rtpmap:{payload} {spelled}")
    lines += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20"]
    return "\r\n".join(lines) + "\r\n"
