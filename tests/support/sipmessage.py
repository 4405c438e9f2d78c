"""SIP messages and SDP for the tests' user agent (RFC 3261, RFC 4566): just enough, and strict about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

CODECS = {
    "PCMU": (0, "PCMU/8000"),
    "PCMA": (8, "PCMA/8000"),
    "G722": (9, "G722/8000"),
    "opus": (107, "opus/48000/2"),
    "AMR-WB": (112, "AMR-WB/16000"),
    "AMR": (113, "AMR/8000"),
}
USUAL = ("PCMU", "PCMA", "G722", "opus")
"""Those that are offered where nothing is said."""
SHORT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "k": "supported",
    "x": "session-expires",
    "u": "allow-events",
}


@dataclass
class Message:
    """One request or response; header names in lower case, each with all its values."""

    start: str
    headers: dict[str, list[str]] = field(default_factory=dict)
    body: str = ""
    came: Any = None
    """Where it came from: an address, or a connection."""

    @classmethod
    def parse(cls, data: bytes) -> Message:
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        message = cls(start, body=body)
        for line in lines:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            message.headers.setdefault(SHORT.get(key, key), []).append(value.strip())
        return message

    def __bytes__(self) -> bytes:
        lines = [self.start]
        for name, values in self.headers.items():
            lines += [f"{name}: {value}" for value in values]
        lines.append(f"content-length: {len(self.body.encode())}")
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()

    def get(self, name: str) -> str:
        return self.headers.get(name.lower(), [""])[0]

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """The request's method; of a response, the method it answers."""
        return self.get("cseq").split()[-1] if self.status else self.start.split()[0]

    @property
    def direction(self) -> str:
        """The SDP's media direction."""
        return self.directions[-1] if self.directions else "sendrecv"

    @property
    def directions(self) -> list[str]:
        """All that the SDP names: the session's, then the audio's, which has the say (RFC 8866, 6.7)."""
        return re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\r?$", self.body, re.M)

    @property
    def rtp_address(self) -> tuple[str, int] | None:
        media = re.search(r"^m=audio (\d+)", self.body, re.M)
        connection = re.search(r"^c=IN IP[46] (\S+)", self.body, re.M)
        return (connection[1].strip(), int(media[1])) if media and connection else None

    @property
    def text_port(self) -> int:
        """The port of the text line; 0 when there is none, or it is refused."""
        media = re.search(r"^m=text (\d+)", self.body, re.M)
        return int(media[1]) if media else 0

    @property
    def text_payload(self) -> int:
        """The payload type of plain T.140."""
        mapped = re.search(r"^a=rtpmap:(\d+) t140/1000", self.body, re.M | re.I)
        return int(mapped[1]) if mapped else 98

    @property
    def text_red(self) -> int:
        """The payload type of redundant T.140; 0 for none."""
        mapped = re.search(r"^a=rtpmap:(\d+) red/1000", self.body, re.M | re.I)
        return int(mapped[1]) if mapped else 0

    @property
    def codec(self) -> str:
        """The first codec of the audio line, by our names."""
        media = re.search(r"^m=audio \d+ \S+ (\d+)", self.body, re.M)
        if not media:
            return ""
        mapped = re.search(rf"^a=rtpmap:{media[1]} ([A-Za-z0-9-]+)/", self.body, re.M)
        static = {"0": "PCMU", "8": "PCMA", "9": "G722"}
        return mapped[1] if mapped else static.get(media[1], "")


def bracketed(host: str) -> str:
    """A host as it stands in a URI."""
    return f"[{host}]" if ":" in host else host


def sdp(
    port: int,
    codecs: list[str],
    direction: str = "sendrecv",
    version: int = 1,
    text: tuple[int, int, int] | None = None,
    *,
    host: str = "127.0.0.1",
    digits: bool = True,
) -> str:
    """An offer or answer with these codecs and, for `digits`, telephone-event.

    `text` has the port and the payload types of T.140 and of its redundant form (0 for none).
    """
    numbers = " ".join(str(CODECS[name][0]) for name in codecs)
    address = f"IN IP6 {host}" if ":" in host else f"IN IP4 {host}"
    lines = [
        "v=0",
        f"o=test 1 {version} {address}",
        "s=-",
        f"c={address}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {numbers}" + (" 101" if digits else ""),
        *[f"a=rtpmap:{CODECS[name][0]} {CODECS[name][1]}" for name in codecs],
        *(["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"] if digits else []),
        "a=ptime:20",
        f"a={direction}",
    ]
    if text is not None:
        port, plain, red = text
        lines.append(f"m=text {port} RTP/AVP {f'{red} ' if red else ''}{plain}")
        lines.append(f"a=rtpmap:{plain} t140/1000")
        if red:
            lines += [f"a=rtpmap:{red} red/1000", f"a=fmtp:{red} {plain}/{plain}/{plain}"]
    return "\r\n".join(lines) + "\r\n"
