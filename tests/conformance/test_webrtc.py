"""WebRTC legs: browsers, by their offers and candidates, and what can be done with them."""

from __future__ import annotations

import re

import pytest

from tests.support import recorded
from tests.support.browsers import an_offer, connect
from tests.support.calls import answered, reasons

CANDIDATE = "candidate:1 1 udp 2113937151 192.0.2.2 39378 typ host generation 0"


@pytest.mark.beyond("May tells leg.connected before the media is there")
def test_from_the_offer_to_the_end(client, browser):
    one = browser()
    made = client.ok("webrtc_offer", sdp=one.offer())
    leg = made["leg_id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", leg)
    assert made["sdp"].startswith("v=0\r\n") and "a=candidate:" not in made["sdp"]
    view = client.ok("get_leg", id=leg)
    assert (view["type"], view["state"]) == ("webrtc", "connected")
    assert not {"app_id", "headers", "room_id"} & view.keys()
    assert [leg["id"] for leg in client.ok("list_legs")] == [leg]
    assert not client.types(leg_id=leg)
    one.answer(made["sdp"])
    for candidate in one.local_candidates():
        assert client.ok("webrtc_add_candidate", id=leg, candidate=candidate) == {"status": "added"}
    told = client.ok("webrtc_get_candidates", id=leg)
    assert told["done"] is True and len(told["candidates"]) == 1
    assert client.ok("webrtc_get_candidates", id=leg) == {"candidates": [], "done": True}
    candidate = told["candidates"][0]
    assert set(candidate) == {"candidate", "sdpMid", "sdpMLineIndex", "usernameFragment"}
    one.candidate(candidate)
    assert client.event("leg.connected", leg_id=leg)["leg_type"] == "webrtc"
    assert client.ok("delete_leg", id=leg) == {"status": "hanging_up"}
    end = client.event("leg.disconnected", leg_id=leg)
    assert end["cdr"]["reason"] == "api_hangup" and "quality" not in end
    assert end["cdr"]["duration_answered"] == end["cdr"]["duration_total"] > 0
    assert client.types(leg_id=leg) == ["leg.connected", "leg.disconnected"]
    assert client.error("webrtc_get_candidates", id=leg) == (404, "leg not found")


@pytest.mark.beyond("app_id of an offer is newer")
def test_whose_it_is(client, connect, browser):
    shop = connect("?app_id=^shop$")
    one = browser()
    leg = client.ok("webrtc_offer", sdp=one.offer(), app_id="shop")["leg_id"]
    assert client.ok("get_leg", id=leg)["app_id"] == "shop"
    client.ok("delete_leg", id=leg)
    assert shop.event("leg.disconnected", leg_id=leg)["app_id"] == "shop"


@pytest.mark.parametrize("gather", [False, True])
def test_audio_both_ways(switch, client, browser, gather):
    one = browser()
    made = client.ok("webrtc_offer", sdp=one.offer(frequency=440, gather=gather))
    leg = made["leg_id"]
    one.answer(made["sdp"])
    for candidate in client.ok("webrtc_get_candidates", id=leg)["candidates"]:
        one.candidate(candidate)
    client.event("leg.connected", leg_id=leg)
    peer, other = answered(switch, client)
    for each in (leg, other):
        client.ok("add_leg_to_room", room_id="r", leg_id=each)
    peer.says(700)
    one.hears(700)
    peer.hears(440)
    client.ok("mute_leg", id=leg)
    peer.hears(440, wanted=False)
    client.ok("unmute_leg", id=leg)
    client.ok("deaf_leg", id=leg)
    one.hears(700, wanted=False)
    client.ok("undeaf_leg", id=leg)
    one.hears(700)
    peer.hears(440)


@pytest.mark.beyond("the reference answers without the ids")
def test_into_a_room_before_its_media_is_there(switch, client, browser):
    one = browser()
    made = client.ok("webrtc_offer", sdp=one.offer(frequency=440))
    leg = made["leg_id"]
    placed = client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    assert placed == {"status": "added", "room_id": "r", "leg_id": leg}
    peer, other = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=other)
    peer.says(700)
    one.answer(made["sdp"])
    for candidate in client.ok("webrtc_get_candidates", id=leg)["candidates"]:
        one.candidate(candidate)
    client.event("leg.connected", leg_id=leg)
    one.hears(700)
    peer.hears(440)


def test_two_browsers_in_a_row(client, browser):
    first, second = browser(), browser()
    legs = [connect(client, first, 440), connect(client, second, 700)]
    for leg in legs:
        client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    first.hears(700)
    second.hears(440)
    client.ok("delete_room", id="r")
    for leg in legs:  # in whatever order
        client.rewind()
        client.event("leg.disconnected", leg_id=leg)
        assert reasons(client, leg) == ["room_deleted"]


def test_playing_to_it_and_recording_it(client, browser):
    one = browser()
    leg = connect(client, one, 440)
    file = client.ok("leg_record_start", id=leg)["file"]
    client.ok("leg_play_start", id=leg, tone="us_dial", repeat=-1)
    one.hears(350)
    client.ok("leg_record_stop", id=leg)
    assert recorded.seconds(file) > 0.05


@pytest.mark.beyond("browsers' digits are not reported")
def test_digits_of_a_browser(client, browser):
    one = browser()
    leg = connect(client, one)
    one.dtmf("15#")
    events = [client.event("dtmf.received", leg_id=leg) for _ in range(3)]
    assert [(event["digit"], event["seq"]) for event in events] == [("1", 1), ("5", 2), ("#", 3)]


REFUSED = {
    "answer_leg": (400, "only SIP and WhatsApp inbound legs can be answered"),
    "leg_ring": (400, "only SIP inbound legs can be rung"),
    "leg_early_media": (400, "only SIP inbound legs support early media"),
    "hold_leg": (400, "only SIP legs support hold"),
    "unhold_leg": (400, "only SIP legs support hold"),
    "leg_amd_start": (400, "AMD is only supported on SIP legs"),
}


def test_what_a_browser_cannot(client, browser):
    leg = client.ok("webrtc_offer", sdp=browser().offer())["leg_id"]
    for command, expected in REFUSED.items():
        assert client.error(command, id=leg) == expected
    assert client.error("send_leg_dtmf", id=leg, digits="1")[0] == 500
    assert client.error("send_leg_rtt", id=leg, text="x")[0] == 409


def test_candidates_of_legs_that_are_none(switch, client):
    _, leg = answered(switch, client)
    for command, more in (
        ("webrtc_add_candidate", {"candidate": {"candidate": ""}}),
        ("webrtc_get_candidates", {}),
    ):
        assert client.error(command, id="x", **more) == (404, "leg not found")
        assert client.error(command, id=leg, **more) == (400, "leg is not a WebRTC leg")


def test_candidates_that_are_none(client, browser):
    leg = client.ok("webrtc_offer", sdp=browser().offer())["leg_id"]
    for line in ("", CANDIDATE, CANDIDATE.replace("192.0.2.2", "151e4612-7e59-41f2-a9bf-94c9cb91e81b.local")):
        candidate = {"candidate": line, "sdpMid": None, "sdpMLineIndex": None, "usernameFragment": None}
        assert client.ok("webrtc_add_candidate", id=leg, candidate=candidate) == {"status": "added"}
    for line in ("hello", CANDIDATE.replace("39378", "x")):
        assert client.error("webrtc_add_candidate", id=leg, candidate={"candidate": line}) == (
            500,
            "failed to add ICE candidate",
        )


USELESS = {
    "nothing": "",
    "no SDP": "not an sdp",
    "no audio": an_offer(audio=False),
    "audio refused": an_offer().replace("m=audio 9", "m=audio 0"),
    "not secured": an_offer().replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
    "no ICE": re.sub(r"a=ice-(ufrag|pwd):.*\r\n", "", an_offer()),
    "no fingerprint": re.sub(r"a=fingerprint:.*\r\n", "", an_offer()),
    "bare CR": an_offer().replace("a=mid:0\r\n", "a=mid:0\ra=candidate:x\r\n"),
    "NUL": an_offer().replace("a=sendrecv", "a=send\0recv"),
}


@pytest.mark.beyond("pion takes some of these")
@pytest.mark.parametrize("what", USELESS)
def test_offers_that_are_of_no_use(client, what):
    assert client.error("webrtc_offer", sdp=USELESS[what]) == (400, "invalid SDP offer")
    assert client.ok("list_legs") == []
    assert not client.types()


@pytest.mark.beyond("the reference may answer it and stay silent")
def test_an_offer_without_opus(client):
    offer = re.sub(r"(?m)^a=rtpmap:111 opus.*\r\n", "", an_offer())
    assert client.error("webrtc_offer", sdp=offer) == (500, "failed to create answer")
    assert client.ok("list_legs") == []


@pytest.mark.beyond("a limit of ours")
def test_an_offer_of_half_a_megabyte(client):
    code, message = client.error("webrtc_offer", sdp=an_offer() + "a=x\r\n" * 80_000)
    assert code == 400 and "65536" in message


def test_an_offer_of_two_hundred_candidates(client, browser):
    one = browser()
    line = "a=candidate:{0} 1 udp 2113937151 192.0.2.2 {0} typ host generation 0\r\n"
    many = "".join(line.format(number) for number in range(1000, 1200))
    made = client.ok("webrtc_offer", sdp=one.offer().replace("a=mid:0\r\n", many + "a=mid:0\r\n"))
    one.answer(made["sdp"])
    for candidate in client.ok("webrtc_get_candidates", id=made["leg_id"])["candidates"]:
        one.candidate(candidate)
    client.event("leg.connected", leg_id=made["leg_id"])


@pytest.mark.beyond("the reference takes up a data channel")
def test_more_than_audio_in_an_offer(client):
    audio = an_offer().replace("BUNDLE 0", "BUNDLE 0 1 2")
    of_all = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
    shared = "".join(f"{line}\r\n" for line in audio.split("\r\n") if line.startswith(of_all))
    more = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendrecv\r\na=rtcp-mux\r\n"
    more += f"{shared}a=rtpmap:96 VP8/90000\r\na=rtpmap:97 H264/90000\r\n"
    more += "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n"
    more += f"{shared}a=sctp-port:5000\r\n"
    offer = audio + more
    answer = client.ok("webrtc_offer", sdp=offer)["sdp"]
    assert [line.split()[0] for line in answer.split("\r\n") if line.startswith("m=")] == [
        "m=audio",
        "m=video",
        "m=application",
    ]
    assert "m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\n" in answer
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n" in answer
    assert "a=group:BUNDLE 0\r\n" in answer
