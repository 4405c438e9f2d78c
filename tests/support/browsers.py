"""Browsers at the other end of WebRTC legs: Chromium, and for the sandbox somebody like it."""

from __future__ import annotations

import re
import secrets
from itertools import count
from typing import Any

import numpy as np
import pytest

from vsi_esl.sandbox import SandboxSwitch

from . import hearing, listen
from .chromium import RATE, Chromium, find_chromium
from .drivers import Driver, SandboxDriver, SandboxPeer
from .waiting import eventually

OFFER = """\
v=0
o=- 332979854354681534 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS 09bc4a63
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
{candidates}a=ice-ufrag:{ufrag}
a=ice-pwd:uJxdH1qlQqudgh3bLMqYIJpM
a=ice-options:trickle
a=fingerprint:sha-256 {fingerprint}
a=setup:actpass
a=mid:0
a=sendrecv
a=msid:09bc4a63 555729f2
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:2409523631 cname:4huSCLuGZ
"""
"""As Chromium's."""
FULL = """\
a=candidate:1073877851 1 udp 2113937151 192.0.2.2 39378 typ host generation 0 network-cost 999
a=candidate:2338640571 1 udp 2113942271 127.0.0.1 48183 typ host generation 0 network-cost 999
"""


def an_offer(candidates: str = "", audio: bool = True) -> str:
    """An SDP offer like a browser's, with CR LF."""
    fingerprint = ":".join(["A5"] * 32)
    text = OFFER.format(candidates=candidates, ufrag=secrets.token_hex(4), fingerprint=fingerprint)
    if not audio:
        text = text.partition("m=audio")[0]
    return text.replace("\n", "\r\n")


class SandboxBrowser:
    """A browser of the sandbox's."""

    def __init__(self, switch: SandboxSwitch) -> None:
        self._switch = switch
        self._frequency = 0.0
        self._answer = ""
        self.peer: SandboxPeer | None = None

    def offer(self, frequency: float = 0.0, gather: bool = False) -> str:
        self._frequency = frequency
        return an_offer(FULL if gather else "")

    def answer(self, sdp: str) -> None:
        self._answer = sdp

    def candidate(self, candidate: dict[str, Any]) -> None:
        """With the switch's candidate it connects."""
        found = re.search(r"a=ice-ufrag:(\S+)", self._answer)
        assert found and candidate["candidate"].startswith("candidate:")
        channel = self._switch.verto.answered_with(found[1])
        self._switch.verto.connect(channel)
        self.peer = SandboxPeer(self._switch, channel)
        self.says(self._frequency)

    def local_candidates(self) -> list[dict[str, Any]]:
        line = FULL.splitlines()[0].removeprefix("a=")
        return [{"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "hVZh"}]

    def says(self, frequency: float) -> None:
        assert self.peer is not None
        self.peer.says(frequency)

    def hears(self, frequency: float, wanted: bool = True) -> None:
        assert self.peer is not None
        self.peer.hears(frequency, wanted)

    def dtmf(self, digits: str) -> None:
        assert self.peer is not None
        self.peer.dtmf(digits)

    def vanish(self) -> None:
        """Be gone without a word."""
        assert self.peer is not None
        self.peer.rtp(False)

    def stop(self) -> None:
        """Nothing of it is left."""


class ChromiumBrowser:
    """A peer connection of its own in a Chromium."""

    _names = count(1)

    def __init__(self, chromium: Chromium) -> None:
        self.chromium = chromium
        self.name = f"peer{next(self._names)}"

    def offer(self, frequency: float = 0.0, gather: bool = False) -> str:
        options = {"frequency": frequency, "gather": gather}
        offer: str = self.chromium.call("offer", self.name, options)
        return offer

    def answer(self, sdp: str) -> None:
        self.chromium.call("answer", self.name, sdp)

    def candidate(self, candidate: dict[str, Any]) -> None:
        self.chromium.call("remoteCandidate", self.name, candidate)

    def local_candidates(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.chromium.evaluate(f"peers.{self.name}.candidates.filter(Boolean)")
        return found

    def says(self, frequency: float) -> None:
        self.chromium.call("says", self.name, frequency)

    def hears(self, frequency: float, wanted: bool = True) -> None:
        def settled() -> bool:
            samples = self.chromium.heard(self.name)
            if not len(samples):
                return False
            level = listen.levels(samples, RATE, frequency, 150).max(initial=0.0)
            return bool(level > hearing.HEARD if wanted else level < hearing.SILENT)

        eventually(settled, f"{frequency} Hz {'heard' if wanted else 'not heard'}")

    def dtmf(self, digits: str) -> None:
        self.chromium.call("dtmf", self.name, digits)

    def figures(self) -> dict[str, Any]:
        """What getStats has of it: bytes, state, codec, level."""
        found: dict[str, Any] = self.chromium.call("figures", self.name)
        return found

    def vanish(self) -> None:
        """Be gone without a word: no BYE, no DTLS alert that the switch would look at."""
        self.chromium.call("close", self.name)

    def stop(self) -> None:
        self.chromium.call("close", self.name)


Browser = SandboxBrowser | ChromiumBrowser


class Browsers:
    """Makes those that fit the switch; one Chromium is enough for all."""

    def __init__(self) -> None:
        self._chromium: Chromium | None = None

    def make(self, switch: Driver) -> Browser:
        if isinstance(switch, SandboxDriver):
            return SandboxBrowser(switch.switch)
        if find_chromium() is None:
            pytest.skip("no Chromium on this machine")
        self._chromium = self._chromium or Chromium()
        return ChromiumBrowser(self._chromium)

    def stop(self) -> None:
        if self._chromium is not None:
            self._chromium.stop()


def connect(client: Any, browser: Browser, frequency: float = 0.0, **offer: Any) -> str:
    """A browser that has gone all the way: the leg."""
    made = client.ok("webrtc_offer", sdp=browser.offer(frequency), **offer)
    leg: str = made["leg_id"]
    browser.answer(made["sdp"])
    for one in client.ok("webrtc_get_candidates", id=leg)["candidates"]:
        browser.candidate(one)
    client.event("leg.connected", leg_id=leg)
    return leg


def recorded_level(samples: np.ndarray, rate: int, frequency: float) -> float:
    """The amplitude of a tone in most of a recording."""
    return float(np.median(listen.levels(samples, rate, frequency, 200)))
