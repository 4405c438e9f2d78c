"""A browser's offer as the switch is to get it, and the switch's answer as the browser is to get it.

The switch is given the audio alone, and no candidate of the browser's: it would send to the first that it may
use, which need not be the one that the browser settles on, and then hears nothing. With one that never
answers it waits for the browser's first ICE check, and talks to wherever that comes from.

The browser gets the switch's candidate by a command of its own, and the sections that the switch has not seen
refused, in their places (RFC 3264, 6).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

MAX_SDP = 65_536
"""Characters of an offer; Chromium's for audio is 2,000, with 20 candidates 4,000."""
MAX_SECTIONS = 32
PLACEHOLDER = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host generation 0"
"""The discard port of the switch's own host: nothing that is sent there leaves it."""

LINE = re.compile(r"[a-z]=[ -~\t]*\Z|[si]=[^\x00-\x1f\x7f]*\Z")
"""Free text stands in s= and i= only, which are not passed on."""
AUDIO = re.compile(r"m=audio ([0-9]{1,5}) (UDP/TLS/RTP/SAVPF?)((?: [0-9]{1,3}){1,64})\Z")
SECTION = re.compile(r"m=([a-z]{1,32}) [0-9]{1,5}(?:/[0-9]{1,5})? ([A-Za-z/]{1,64})((?: [!-~]{1,64})+)\Z")
OPUS = re.compile(r"a=rtpmap:([0-9]{1,3}) opus/48000(?:/2)?\Z", re.IGNORECASE)
MID = re.compile(r"a=mid:([!-~]{1,64})\Z")
CANDIDATE = re.compile(
    r"(?:a=)?candidate:[!-~]{1,64} [0-9]{1,3} (?i:udp|tcp) [0-9]{1,10} [!-~]{1,255} [0-9]{1,5}"
    r" typ (?:host|srflx|prflx|relay)(?: [ -~]{0,512})?\Z"
)
PASSED_ON = re.compile(
    r"a=(?:rtpmap|fmtp|ptime|maxptime|mid|ssrc|msid|setup|fingerprint|ice-ufrag|ice-pwd|ice-options):"
    r"|a=(?:sendrecv|sendonly|recvonly|inactive|rtcp-mux|rtcp-rsize)\Z"
)
"""Attributes that the switch is given, as browsers spell them. It reads names in any case, behind blanks, and
with more than a colon for their end, so that what is to be kept from it cannot be listed."""
NOT_TOLD = ("a=candidate:", "a=end-of-candidates")
"""Lines of the switch's answer that are kept from the client."""
CREDENTIALS = re.compile(r"a=ice-ufrag:[!-~]{1,32}\Z|a=ice-pwd:[!-~]{1,256}\Z")
"""No longer than an agent may send them (RFC 8839, 5.4): a ufrag of 100 ends the process of the switch."""
OF_SESSION = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
"""May stand above the sections and hold for all of them."""


class BadOffer(Exception):
    """No offer, or none that a leg can be made of; the text is for the log."""


class NoCodec(Exception):
    """An offer of audio, but not of opus."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the switch's, as a browser's `addIceCandidate` takes it."""

    candidate: str
    mid: str | None
    index: int
    ufrag: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that can be answered."""

    for_switch: str
    sections: tuple[tuple[str, ...], ...]
    """Those of the client, each with its m= line first."""
    audio: int
    """The number of the one that is answered."""
    bundled: bool


def read_offer(text: str) -> Offer:
    """Check a client's offer. Raises BadOffer or NoCodec."""
    lines = _lines(text)
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MAX_SECTIONS:
        raise BadOffer(f"more than {MAX_SECTIONS} sections")
    sections = [tuple(lines[begin:end]) for begin, end in pairwise([*starts, len(lines)])]
    for section in sections:
        if not SECTION.match(section[0]):
            raise BadOffer("a section that cannot be read")
    session = lines[: starts[0]] if starts else lines
    audio = next((number for number, one in enumerate(sections) if _offers_audio(one)), None)
    if audio is None:
        raise BadOffer("no audio for DTLS-SRTP in it")
    ours = _audio_for_switch(session, sections[audio])
    if not any(OPUS.match(line) for line in ours):
        raise NoCodec("no opus in the offer")
    if len(session) < 2 or not session[1].startswith("o="):
        raise BadOffer("no o= in it")
    return Offer(
        _joined([*session[:2], "s=-", "t=0 0", *ours]),
        tuple(sections),
        audio,
        any(line.startswith("a=group:BUNDLE") for line in session),
    )


def _lines(text: str) -> list[str]:
    """Of an SDP, which ends its lines with CR LF, or LF (RFC 8866, 5)."""
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    if lines[:1] != ["v=0"]:
        raise BadOffer("it does not begin with v=0")
    if not all(LINE.match(line) for line in lines):
        raise BadOffer("a line that is none, or has control characters")
    return lines


def _offers_audio(section: tuple[str, ...]) -> bool:
    found = AUDIO.match(section[0])
    return found is not None and int(found[1]) > 0


def _audio_for_switch(session: list[str], section: tuple[str, ...]) -> list[str]:
    kept = [line for line in section if PASSED_ON.match(line)]
    for prefix in OF_SESSION:
        if not any(line.startswith(prefix) for line in kept):
            kept += [line for line in session if line.startswith(prefix)][:1]
    for prefix in OF_SESSION[:3]:
        if not any(line.startswith(prefix) for line in kept):
            raise BadOffer(f"no {prefix[2:-1]} in it")
    if not all(CREDENTIALS.match(line) for line in kept if line.startswith(OF_SESSION[:2])):
        raise BadOffer("ICE credentials that are none")
    password = next(number for number, line in enumerate(kept) if line.startswith("a=ice-pwd:"))
    # no address of the client's either: it is found out by ICE
    return [section[0], "c=IN IP4 0.0.0.0", *kept[: password + 1], PLACEHOLDER, *kept[password + 1 :]]


def answer_for_client(offer: Offer, text: str) -> tuple[str, list[Candidate]]:
    """The switch's answer without candidates and with all sections, and the candidates. BadOffer when it is
    none to this offer."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    start = next((number for number, line in enumerate(lines) if line.startswith("m=audio ")), None)
    if start is None or lines[start].startswith("m=audio 0 "):
        raise BadOffer("the switch answered without audio")
    session, audio = lines[:start], lines[start:]
    ends = [number for number, line in enumerate(audio) if number and line.startswith("m=")]
    audio = audio[: ends[0]] if ends else audio
    mid = _mid(offer.sections[offer.audio])
    candidates = [
        Candidate(line[2:], mid, offer.audio, _ufrag(audio))
        for line in audio
        if line.startswith("a=candidate:")
    ]
    kept = [line for line in audio if not line.startswith(NOT_TOLD)]
    answered = kept if mid is None else [kept[0], f"a=mid:{mid}", *kept[1:]]
    shown = [
        answered if number == offer.audio else _refused(section)
        for number, section in enumerate(offer.sections)
    ]
    group = [f"a=group:BUNDLE {mid}"] if offer.bundled and mid is not None else []
    return _joined([*map(_neutral, session), *group, *(line for one in shown for line in one)]), candidates


def _neutral(line: str) -> str:
    """The names that a session has by default tell what the switch is."""
    if line.startswith("o="):
        return f"o=- {line.partition(' ')[2]}"
    return "s=-" if line.startswith("s=") else line


def _refused(section: tuple[str, ...]) -> list[str]:
    found = SECTION.match(section[0])
    assert found is not None  # noqa: S101  (read_offer has looked)
    mid = _mid(section)
    return [
        f"m={found[1]} 0 {found[2]}{found[3]}",
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{mid}"] if mid is not None else []),
        "a=inactive",
    ]


def _mid(section: tuple[str, ...]) -> str | None:
    return next((found[1] for line in section if (found := MID.match(line))), None)


def _ufrag(lines: list[str]) -> str | None:
    return next((line.partition(":")[2] for line in lines if line.startswith("a=ice-ufrag:")), None)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def is_candidate(text: str) -> bool:
    """Whether a browser's candidate is one; an empty one is the end of them (RFC 8838)."""
    return not text.strip() or CANDIDATE.match(text) is not None
