"""Channels of the sandbox: their state, and the headers their events carry on a real switch."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conference import Member

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


@dataclass(slots=True)
class FarEnd:
    """The SIP peer: what it does, and what it has been sent."""

    behaviour: str = ""
    codecs: tuple[str, ...] = ("PCMU", "PCMA", "G722", "OPUS")
    seen: list[str] = field(default_factory=list)
    digits: str = ""
    talking: bool = False
    sends_rtp: bool = True
    hold_code: int = 0
    """Final code for our next re-INVITEs; 0 accepts them."""
    refer_pending: bool = False


@dataclass(slots=True)
class Channel:
    """One channel. Times in microseconds, 0 for "has not happened"."""

    name: str
    direction: str
    far: FarEnd
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    variables: dict[str, str] = field(default_factory=dict)
    answer_state: str = "ringing"
    call_state: str = "RINGING"
    application: str = ""
    application_data: str = ""
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
    held: str = ""
    """`us` or `peer` while on hold."""
    cseq: int = 1
    member: Member | None = None
    member_id: int = 0
    packets_before: float = 0.0
    rtp_since: int = 0
    timers: list[Any] = field(default_factory=list)
    scheduled: Any = None

    @property
    def alive(self) -> bool:
        return self.answer_state != "hangup"

    def start_media(self, codec: str) -> None:
        """RTP runs from now on, in this codec."""
        self.codec = codec
        payload, _, rate = CODECS[codec]
        shown = "opus" if codec == "OPUS" else codec
        self.variables |= {
            "read_codec": shown,
            "read_rate": str(rate),
            "write_codec": shown,
            "write_rate": str(rate),
            "rtp_use_codec_name": shown,
            "rtp_use_pt": str(payload),
        }
        self.media = self.media or now_us()
        self.rtp_since = now_us() if self.far.sends_rtp else 0

    def count_rtp(self, sends: bool) -> None:
        """The peer starts or stops sending."""
        if self.rtp_since:
            self.packets_before += (now_us() - self.rtp_since) / 1_000_000 * PACKETS_PER_SECOND
        self.far.sends_rtp = sends
        self.rtp_since = now_us() if sends and self.media else 0

    def headers(self) -> dict[str, str]:
        """The channel's part of an event, without its variables."""
        return {
            "Channel-State": "CS_HANGUP" if not self.alive else "CS_EXECUTE",
            "Channel-Call-State": self.call_state,
            "Channel-Name": self.name,
            "Unique-ID": self.uuid,
            "Call-Direction": self.direction,
            "Answer-State": self.answer_state,
            "Caller-Direction": self.direction,
            "Caller-Caller-ID-Name": self.caller_name,
            "Caller-Caller-ID-Number": self.caller_number,
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

    def with_variables(self) -> dict[str, str]:
        """The channel's part of an event, variables included."""
        found = self.headers()
        for name, value in self.variables.items():
            found[f"variable_{name}"] = value
        found["variable_current_application"] = self.application
        return found

    def final_figures(self) -> None:
        """Set the RTP figures that only the last event has."""
        self.count_rtp(False)
        self.variables |= {
            "rtp_audio_in_packet_count": str(int(self.packets_before)),
            "rtp_audio_in_mean_interval": "20.00" if self.packets_before else "0.00",
            "rtp_audio_in_jitter_max_variance": "1.00" if self.packets_before else "0.00",
            "rtp_audio_in_mos": "4.50",
        }


def offer(codecs: tuple[str, ...]) -> str:
    """An SDP offer with these codecs, as the switch keeps it in switch_r_sdp."""
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
    lines += ["a=rtpmap:101 telephone-event/8000", "a=ptime:20"]
    return "\r\n".join(lines) + "\r\n"
