"""Browsers (Chromium) on a real switch: how soon their offer is answered, and they hear their room."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.support.browsers import ChromiumBrowser
from tests.support.chromium import Chromium, find_chromium
from tests.support.freeswitch import PrivateSwitch, find_binary
from tests.support.vsi import VsiClient

from .processes import Service

OFFERS = 60
PATIENCE_MS = 5000


def webrtc() -> list[tuple[str, str, str]]:
    """Offers, one after the other; each browser is put into a room, where a tone is played, at once."""
    if find_binary() is None or find_chromium() is None:
        return [("browsers", "-", "needs a FreeSWITCH and a Chromium")]
    with tempfile.TemporaryDirectory(prefix="vsi-bench-") as name:
        directory = Path(name)
        switch = PrivateSwitch(directory / "switch")
        switch.start()
        switch.make_first_conference()
        service = Service(switch.esl_port, directory / "state.sqlite3", switch.password)
        chromium, client = Chromium(mdns=True), VsiClient(service.address)
        try:
            client.ok("create_room", id="r", sample_rate=48000)
            _in_room(client, ChromiumBrowser(chromium))
            client.ok("room_play_start", id="r", tone="us_dial", repeat=-1)
            client.event("playback.started")
            times = [_heard(client, chromium) for _ in range(OFFERS)]
        finally:
            client.close()
            chromium.stop()
            service.end()
            switch.stop()
    answered, heard = zip(*times, strict=True)
    goal = f"of {OFFERS}, one after the other; every one heard the room"
    return [
        ("offer to answer", _figures(answered), goal),
        ("offer to first audio of the room", _figures(heard), "with what Chromium and its control take"),
    ]


def _in_room(client: VsiClient, browser: ChromiumBrowser) -> tuple[str, float, float]:
    """The leg, when it was offered, and when that was answered."""
    offer = browser.offer()
    began = time.monotonic()
    made = client.ok("webrtc_offer", sdp=offer)
    answered = time.monotonic()
    leg: str = made["leg_id"]
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    browser.answer(made["sdp"])
    for candidate in client.ok("webrtc_get_candidates", id=leg)["candidates"]:
        browser.candidate(candidate)
    return leg, began, answered


def _heard(client: VsiClient, chromium: Chromium) -> tuple[float, float]:
    browser = ChromiumBrowser(chromium)
    leg, began, answered = _in_room(client, browser)
    assert chromium.call("firstSound", browser.name, PATIENCE_MS) is not None, "nothing was heard"
    heard = time.monotonic()
    client.event("leg.connected", leg_id=leg)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    browser.stop()
    return answered - began, heard - began


def _figures(seconds: tuple[float, ...]) -> str:
    ordered = sorted(seconds)
    p50, p95 = (ordered[round(part * (len(ordered) - 1))] * 1000 for part in (0.5, 0.95))
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"
