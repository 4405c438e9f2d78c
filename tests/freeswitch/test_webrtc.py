"""WebRTC legs on a real switch, with Chromium: what is in its offers, and what is left when it is gone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import listen
from tests.support.browsers import ChromiumBrowser, an_offer, connect, recorded_level
from tests.support.chromium import Chromium, find_chromium
from tests.support.drivers import eventually
from tests.support.hearing import HEARD

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")

LOUD = 0.05
"""Of Chromium's audioLevel, which is 1 at most; a tone of half the full scale has 0.5."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """One whose candidates are names (mDNS), as by default."""
    chromium = Chromium(mdns=True)
    yield chromium
    chromium.stop()


@pytest.mark.parametrize("gather", [False, True], ids=["no candidates", "mDNS candidates"])
def test_audio_both_ways(client, chromium, gather):
    browser = ChromiumBrowser(chromium)
    offer = browser.offer(frequency=440, gather=gather)
    assert (".local " in offer) is gather
    made = client.ok("webrtc_offer", sdp=offer)
    _both_ways(client, browser, made)


def test_audio_both_ways_with_addresses_in_the_offer(client):
    chromium = Chromium(mdns=False)
    try:
        browser = ChromiumBrowser(chromium)
        offer = browser.offer(frequency=440, gather=True)
        assert re.search(r"a=candidate:\S+ 1 udp \d+ [0-9.]+ ", offer)
        _both_ways(client, browser, client.ok("webrtc_offer", sdp=offer))
    finally:
        chromium.stop()


def _both_ways(client, browser: ChromiumBrowser, made: dict[str, str]) -> None:
    leg = made["leg_id"]
    browser.answer(made["sdp"])
    for candidate in browser.local_candidates():
        client.ok("webrtc_add_candidate", id=leg, candidate=candidate)
    for candidate in client.ok("webrtc_get_candidates", id=leg)["candidates"]:
        browser.candidate(candidate)
    client.event("leg.connected", leg_id=leg)
    client.ok("leg_play_start", id=leg, tone="us_dial", repeat=-1)
    browser.hears(350)
    file = client.ok("leg_record_start", id=leg)["file"]
    before = browser.figures()
    eventually(lambda: browser.figures()["level"] > LOUD, "getStats has a level")
    eventually(lambda: browser.figures()["received"] > before["received"] + 5000, "a second of it has come")
    client.ok("leg_record_stop", id=leg)
    rate, samples = listen.read(file)
    assert rate == 48000
    assert recorded_level(samples[:, 0], rate, 440) > HEARD
    figures = browser.figures()
    assert figures["codec"] == "audio/opus" and figures["sent"] > before["sent"]
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)


def test_two_in_a_row_in_a_room(client, chromium):
    first, second = ChromiumBrowser(chromium), ChromiumBrowser(chromium)
    legs = [connect(client, first, 440), connect(client, second, 700)]
    for leg in legs:
        client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    first.hears(700)
    second.hears(440)
    first.dtmf("159")
    digits = [client.event("dtmf.received", leg_id=legs[0])["digit"] for _ in range(3)]
    assert digits == ["1", "5", "9"]
    client.ok("delete_room", id="r")
    for leg in legs:
        client.rewind()
        client.event("leg.disconnected", leg_id=leg)


def test_a_browser_that_is_killed(client, switch):
    chromium = Chromium(mdns=True)
    try:
        leg = connect(client, ChromiumBrowser(chromium), 440)
        chromium.kill()
        end = client.event("leg.disconnected", leg_id=leg, timeout=20)
    finally:
        chromium.stop()
    assert end["cdr"]["reason"] == "ice_failure"
    eventually(lambda: switch.api(f"uuid_exists {leg}") == "false", "the switch has no channel of it")


def test_a_browser_with_another_certificate(client, chromium, switch):
    browser = ChromiumBrowser(chromium)
    offer = browser.offer(440)
    forged = re.sub(r"(a=fingerprint:sha-256 )[0-9A-F]{2}:[0-9A-F]{2}", r"\g<1>00:11", offer)
    made = client.ok("webrtc_offer", sdp=forged)
    browser.answer(made["sdp"])
    for candidate in client.ok("webrtc_get_candidates", id=made["leg_id"])["candidates"]:
        browser.candidate(candidate)
    end = client.event("leg.disconnected", leg_id=made["leg_id"])
    assert end["cdr"]["reason"] == "ice_failure"
    assert not client.seen("leg.connected", leg_id=made["leg_id"])


def test_offers_that_the_switch_refuses_leave_nothing(client, switch):
    """What is opus and audio to us, and not to the switch."""
    for spoiled in (
        an_offer().replace("a=fingerprint:sha-256 A5", "a=fingerprint:sha-256 zz"),
        an_offer().replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 9 UDP/TLS/RTP/SAVPF 112"),
        an_offer().replace("a=rtpmap:111", "a=rtpmap:999"),
    ):
        frame = client.reply(client.send("webrtc_offer", sdp=spoiled))
        if frame["type"] == "error":
            assert frame["data"]["code"] in (400, 500)
        else:
            client.ok("delete_leg", id=frame["data"]["leg_id"])
    eventually(lambda: json.loads(switch.api("show channels as json"))["row_count"] <= 1, "nothing is left")


def test_doctor_logs_in(switch, tmp_path):
    environ = {"VSI_ESL_SWITCH_PORT": str(switch.esl_port), "VSI_ESL_SWITCH_PASSWORD": switch.password}
    environ |= {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "vsi_esl", "doctor", "--json"],
        check=False,
        env=environ,
        capture_output=True,
        text=True,
    )
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert found["WebRTC"]["status"] == "ok", found["WebRTC"]
    assert str(switch.verto_port) in found["WebRTC"]["detail"]
    assert switch.api("global_getvar vsi_verto_password") not in done.stdout + done.stderr


def test_the_password_is_another_each_time_and_the_service_follows(client, switch, chromium):
    before = switch.api("global_getvar vsi_verto_password")
    assert re.fullmatch("[0-9a-f]{32}", before)
    switch.api("reloadxml")
    assert switch.api("global_getvar vsi_verto_password") != before
    leg = connect(client, ChromiumBrowser(chromium))
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
