"""WhatsApp calls: legs of Meta's gateways, in and out."""

from __future__ import annotations

import pytest

from tests.support.metapeer import BUSINESS, PASSWORD, Users
from tests.support.waiting import eventually
from vsi_esl.calls import placement

AUTH = {"username": "", "password": PASSWORD}


@pytest.fixture
def client(switch, start, connect):
    return connect(start(whatsapp={"target": switch.meta.target}))


def call(client, number=Users.ANSWERS, **more):
    """A business calls a user; the leg's id."""
    request = {"to": number, "from_": f"+{BUSINESS}", "auth": AUTH, **more}
    view = client.ok("create_leg", type="whatsapp", **request)
    assert (view["type"], view["state"]) == ("whatsapp_out", "ringing")
    return view["id"]


def arrive(switch, client, **more):
    """A user calls the business: its end of the call, and the event."""
    peer = switch.meta.call(**more)
    return peer, client.event("leg.ringing", leg_type="whatsapp_in")


def ended(client, leg):
    """Why a leg ended."""
    event = client.event("leg.disconnected", leg_id=leg, timeout=30)
    assert "quality" not in event
    return event["cdr"]["reason"]


def connected(switch, client):
    """A user's call that is answered."""
    peer, event = arrive(switch, client)
    client.ok("answer_leg", id=event["leg_id"])
    client.event("leg.connected", leg_id=event["leg_id"], leg_type="whatsapp_in")
    return peer, event["leg_id"]


# -- calling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({}, 400, "'to' is required"),
        ({"to": "+1"}, 400, "'from' is required (business phone number, E.164)"),
        ({"to": "1", "from_": "2"}, 400, "'auth.password' is required (Meta-issued digest password)"),
        (
            {"to": "1", "from_": "2", "auth": {"username": "u"}},
            400,
            "'auth.password' is required (Meta-issued",
        ),
        ({"to": "a@b,c", "from_": "2", "auth": AUTH}, 400, "'to' is not a phone number (E.164)"),
        ({"to": "1", "from_": "2;x=y", "auth": AUTH}, 400, "'from' is not a phone number (E.164)"),
        ({"to": "1", "from_": "2", "auth": {"password": "a{b"}}, 400, "sip_auth_password"),
    ],
)
def test_requests_that_cannot_be_dialled(client, members, code, message):
    got = client.error("create_leg", type="whatsapp", room_id="r", **members)
    assert (got[0], got[1][: len(message)]) == (code, message)
    assert client.ok("list_legs") == client.ok("list_rooms") == []


def test_without_the_profile_there_are_no_whatsapp_legs(switch, start, connect):
    client = connect(start(whatsapp={"sofia_profile": "elsewhere"}))
    code, message = client.error("create_leg", type="whatsapp", to="1", from_="2", auth=AUTH)
    assert code == 501
    assert message == (
        "create_leg type whatsapp needs a SIP profile with TLS named elsewhere, which the switch does not run"
    )
    assert client.ok("list_legs") == []


def test_a_user_answers(switch, client):
    leg = call(client, f"+{Users.ANSWERS}", app_id="wa", headers={"X-A": "b"}, ring_timeout=1)
    ringing = client.event("leg.ringing", leg_id=leg)
    assert (ringing["leg_type"], ringing["uri"], ringing["from"]) == (
        "whatsapp_out",
        f"+{Users.ANSWERS}",
        f"+{BUSINESS}",
    )
    assert "sip_headers" not in ringing
    assert client.event("leg.connected", leg_id=leg)["leg_type"] == "whatsapp_out"
    peer = switch.meta.called()
    assert peer.seen[:2] == ["INVITE without credentials", "INVITE"]
    assert f"sip:+{BUSINESS}@" in peer.header("from")
    assert not peer.header("x-a")
    peer.hang_up()
    assert ended(client, leg) == "remote_bye"


def test_it_is_in_its_room_before_it_is_connected(switch, client):
    leg = call(client, room_id="r")
    client.event("leg.connected", leg_id=leg)
    assert client.types(leg_id=leg)[:3] == ["leg.ringing", "leg.joined_room", "leg.connected"]
    assert client.ok("get_leg", id=leg)["room_id"] == "r"
    client.ok("delete_leg", id=leg)
    assert ended(client, leg) == "api_hangup"


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (Users.REJECTS, "invite_failed"),
        (Users.NO_SDP, "invite_failed"),
        (Users.PLAIN_SDP, "bad_answer"),
    ],
)
def test_a_call_that_fails(switch, client, number, reason):
    assert ended(client, call(client, number, room_id="r")) == reason
    assert client.ok("list_legs") == []


def test_the_switch_looks_at_ice_up_to_the_answer(switch, client):
    """Another offer within the call could be the end of it."""
    _, one = connected(switch, client)
    other = call(client)
    client.event("leg.connected", leg_id=other)
    for leg in (one, other):
        assert switch.esl(f"uuid_getvar {leg} ignore_sdp_ice").strip() == "true"
    _, event = arrive(switch, client)
    assert switch.esl(f"uuid_getvar {event['leg_id']} ignore_sdp_ice").strip() == "_undef_"


def test_a_call_without_media_is_given_up(switch, client, monkeypatch):
    """A gateway with ICE lite: the switch does not begin DTLS with it, and waits."""
    monkeypatch.setattr(placement, "SECURE_MEDIA_TIMEOUT_S", 1.0)
    leg = call(client, Users.LITE)
    client.event("leg.connected", leg_id=leg)
    assert ended(client, leg) == "ice_failed"
    monkeypatch.undo()
    leg = call(client)
    client.event("leg.connected", leg_id=leg)
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_credentials_that_are_wrong(switch, client):
    assert ended(client, call(client, auth={"username": BUSINESS, "password": "other"})) == "invite_failed"


def test_a_user_who_does_not_answer_is_given_up(switch, start, connect):
    client = connect(start(whatsapp={"target": switch.meta.target, "invite_timeout": 1.0}))
    leg = call(client, Users.RINGS)
    assert ended(client, leg) == "invite_failed"
    switch.meta.called().wait("CANCEL") if switch.name == "freeswitch" else None


def test_where_nobody_listens(switch, start, connect):
    client = connect(start(whatsapp={"target": "127.0.0.1:1;transport=tls"}))
    assert ended(client, call(client)) == "invite_failed"


def test_a_ringing_call_is_given_up(switch, client):
    leg = call(client, Users.RINGS)
    peer = switch.meta.called()
    client.ok("delete_leg", id=leg)
    assert ended(client, leg) == "api_hangup"
    peer.wait("CANCEL")


# -- being called --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["meta.vc", "wa.meta.vc", "US-east.Wa.Meta.VC"])
def test_a_user_calls(switch, client, host):
    peer, event = arrive(switch, client, headers={"X-App-ID": "shop", "X-Cta": "1"}, host=host)
    assert (event["from"], event["to"], event["app_id"]) == ("+15559999", "+15550100", "shop")
    assert event["sip_headers"] == {"X-App-ID": "shop", "X-Cta": "1"}
    assert "offered_codecs" not in event
    peer.wait("180")
    view = client.ok("get_leg", id=event["leg_id"])
    assert (view["type"], view["state"], view["headers"]) == ("whatsapp_in", "ringing", event["sip_headers"])
    client.ok("answer_leg", id=event["leg_id"])
    client.event("leg.connected", leg_id=event["leg_id"], leg_type="whatsapp_in")
    peer.wait("200")
    peer.hang_up()
    assert ended(client, event["leg_id"]) == "remote_bye"


def test_other_hosts_are_not_metas(switch, client):
    """Their calls are SIP calls, which have no DTLS."""
    peer = switch.meta.call(host="evilmeta.vc")
    peer.wait("488")
    assert not client.seen("leg.ringing")


def test_a_caller_who_gives_up(switch, client):
    peer, event = arrive(switch, client)
    peer.wait("180")
    peer.cancel()
    assert ended(client, event["leg_id"]) == "caller_cancel"


@pytest.mark.parametrize(
    "offer",
    [
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\n"
        "a=candidate:1 1 udp 1 127.0.0.1 4000 typ host\r\na=setup:actpass\r\n",
    ],
    ids=["plain", "no fingerprint"],
)
def test_an_offer_that_is_none_of_webrtc_is_refused(switch, client, offer):
    peer = switch.meta.call(offer=offer)
    peer.wait("400")
    assert client.types() == client.ok("list_legs") == []


def test_no_media_within_the_time_for_it_ends_the_leg(switch, client, monkeypatch):
    """The switch keeps whoever has it answer waiting: nobody else may wait then."""
    peer, event = arrive(switch, client, silent=True)
    with monkeypatch.context() as patch:
        patch.setattr(placement, "SECURE_MEDIA_TIMEOUT_S", 1.0)
        client.ok("answer_leg", id=event["leg_id"])
        peer.wait("200")
    other = call(client)
    client.event("leg.connected", leg_id=other)
    assert ended(client, event["leg_id"]) == "ice_failed"
    assert [view["id"] for view in client.ok("list_legs")] == [other]


def test_a_caller_who_hangs_up_while_its_media_is_waited_for(switch, client):
    peer, event = arrive(switch, client, silent=True)
    client.ok("answer_leg", id=event["leg_id"])
    peer.wait("200")
    peer.hang_up()
    assert ended(client, event["leg_id"]) == "remote_bye"
    assert client.seen("leg.connected") == []


def test_a_leg_that_is_deleted_while_its_media_is_waited_for(switch, client):
    peer, event = arrive(switch, client, silent=True)
    client.ok("answer_leg", id=event["leg_id"])
    peer.wait("200")
    client.ok("delete_leg", id=event["leg_id"])
    assert ended(client, event["leg_id"]) == "api_hangup"
    assert client.types(leg_id=event["leg_id"]) == ["leg.ringing", "leg.disconnected"]


def test_a_switch_that_is_lost_while_media_is_waited_for(switch, client):
    """The call goes on, and is what the switch says when it is back."""
    peer, event = arrive(switch, client, silent=True)
    client.ok("answer_leg", id=event["leg_id"])
    peer.wait("200")
    switch.drop_connections()
    eventually(lambda: client.ok("list_legs")[0]["state"] == "ringing", "the switch is back")
    peer.hang_up()
    assert ended(client, event["leg_id"]) in ("remote_bye", "unobserved")
    assert client.ok("list_legs") == []


def test_answering_has_its_own_rules(switch, client):
    _, event = arrive(switch, client)
    leg = event["leg_id"]
    codec = "codec selection is not supported for WhatsApp legs"
    assert client.error("answer_leg", id=leg, codec="opus") == (400, codec)
    not_there = f"leg {leg} is not connected (state: ringing)"
    assert client.error("add_leg_to_room", room_id="r", leg_id=leg) == (400, not_there)
    client.ok("answer_leg", id=leg)
    code, message = client.error("answer_leg", id=leg)
    assert (code, message) in ((409, "already answering"), (409, "leg is connected, expected ringing"))
    client.event("leg.connected", leg_id=leg)
    assert client.error("answer_leg", id=leg) == (409, "leg is connected, expected ringing")
    out = call(client, Users.RINGS)
    assert client.error("answer_leg", id=out) == (409, "outbound leg: nothing to answer")


# -- in the call ---------------------------------------------------------------------------------------------


def test_what_a_whatsapp_leg_does_not_have(switch, client):
    _, leg = connected(switch, client)
    hold = (409, "hold is not supported for WhatsApp legs (Meta disallows re-INVITE)")
    assert client.error("hold_leg", id=leg) == client.error("unhold_leg", id=leg) == hold
    transfer = (409, "transfer is not supported for WhatsApp legs (Meta disallows REFER)")
    assert client.error("leg_transfer", id=leg, target="sip:a@127.0.0.1") == transfer
    dtmf = (500, "DTMF send over WhatsApp not yet implemented")
    assert client.error("send_leg_dtmf", id=leg, digits="1") == dtmf
    assert client.error("leg_ring", id=leg) == (400, "only SIP inbound legs can be rung")
    assert client.error("leg_early_media", id=leg) == (400, "only SIP inbound legs support early media")
    assert client.error("leg_amd_start", id=leg) == (400, "AMD is only supported on SIP legs")
    assert client.error("send_leg_rtt", id=leg, text="a") == (409, "RTT not negotiated for this leg")


def test_digits_of_a_user(switch, client):
    peer, leg = connected(switch, client)
    peer.dtmf("5#")
    assert client.event("dtmf.received", leg_id=leg)["digit"] == "5"
    assert client.event("dtmf.received", leg_id=leg)["digit"] == "#"


def test_a_restarted_service_knows_its_whatsapp_legs(switch, start, connect):
    one = start(whatsapp={"target": switch.meta.target})
    client = connect(one)
    _, leg = connected(switch, client)
    out = call(client)
    client.event("leg.connected", leg_id=out)
    one.stop()
    client = connect(start(whatsapp={"target": switch.meta.target}))
    types = {view["id"]: view["type"] for view in client.ok("list_legs")}
    assert types == {leg: "whatsapp_in", out: "whatsapp_out"}
    for one_leg in types:
        client.ok("delete_leg", id=one_leg)
        assert ended(client, one_leg) == "api_hangup"
