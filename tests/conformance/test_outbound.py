"""create_leg: dialling out, and every way it can end."""

from __future__ import annotations

import pytest

from tests.support.calls import dial


def reason(client, leg):
    return client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"]


def test_view_and_events_of_an_answered_call(switch, client):
    view = client.ok(
        "create_leg",
        type="sip",
        to=switch.uri("answer"),
        from_="+15550100",
        app_id="sales",
        headers={"X-Order": "42"},
        accept_dtmf=False,
    )
    assert view == {
        "id": view["id"],
        "type": "sip_outbound",
        "state": "ringing",
        "muted": False,
        "deaf": False,
        "accept_dtmf": False,
        "held": False,
        "app_id": "sales",
    }
    ringing = client.event("leg.ringing", leg_id=view["id"])
    assert ringing["uri"] == switch.uri("answer")
    assert (ringing["from"], ringing["leg_type"]) == ("+15550100", "sip_outbound")
    assert ringing["sip_headers"] == {"X-Order": "42"}
    assert "to" not in ringing and "offered_codecs" not in ringing
    connected = client.event("leg.connected", leg_id=view["id"])
    assert (connected["leg_type"], connected["app_id"]) == ("sip_outbound", "sales")
    assert client.types(leg_id=view["id"]) == ["leg.ringing", "leg.connected"]
    assert switch.callee().header("X-Order") == "42"


def test_uri_is_the_old_name_of_to(switch, client):
    leg = client.ok("create_leg", type="sip", uri=switch.uri("instant"))["id"]
    client.event("leg.connected", leg_id=leg)


def test_the_scheme_of_a_uri_has_no_case(switch, client):
    uri = switch.uri("instant").replace("sip:", "SIP:")
    leg = client.ok("create_leg", type="sip", to=uri)["id"]
    assert client.event("leg.ringing", leg_id=leg)["uri"] == uri
    client.event("leg.connected", leg_id=leg)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("reject-486", "busy"),
        ("reject-480", "unavailable"),
        ("reject-404", "not_found"),
        ("reject-403", "forbidden"),
        ("reject-408", "timeout"),
        ("reject-487", "cancelled"),
        ("reject-488", "not_acceptable"),
        ("reject-503", "service_unavailable"),
        ("reject-603", "declined"),
        ("reject-500", "sip_500"),
        ("reject-604", "sip_604"),
        ("ring-reject-486", "busy"),
        pytest.param("redirect", "sip_302", marks=pytest.mark.beyond("invite_failed in the reference")),
        ("badsdp", "connect_failed"),
        ("auth", "unauthorized"),
    ],
)
def test_what_the_peer_answers_is_the_reason(switch, client, behaviour, expected):
    leg = dial(switch, client, behaviour)
    assert reason(client, leg) == expected
    assert client.types(leg_id=leg) == ["leg.ringing", "leg.disconnected"]
    assert client.ok("list_legs") == []


@pytest.mark.beyond("the reference waits for ring_timeout")
def test_an_unreachable_peer_is_not_a_503_of_the_peer(switch, client):
    leg = client.ok("create_leg", type="sip", to=switch.unreachable(), ring_timeout=20)["id"]
    assert client.event("leg.disconnected", leg_id=leg, timeout=35)["cdr"]["reason"] == "invite_failed"


def test_digest_credentials(switch, client):
    good = {"username": "trunk", "password": 'trunk;pa,ss"x'}
    leg = dial(switch, client, "auth", auth=good)
    client.event("leg.connected", leg_id=leg)
    leg = dial(switch, client, "auth", auth={"username": "trunk", "password": "wrong"})
    assert reason(client, leg) == "unauthorized"


@pytest.mark.parametrize("behaviour", ["ring", "silent"])
def test_ring_timeout(switch, client, behaviour):
    leg = dial(switch, client, behaviour, ring_timeout=1)
    event = client.event("leg.disconnected", leg_id=leg)
    assert event["cdr"]["reason"] == "ring_timeout"
    assert 0.5 <= event["cdr"]["duration_total"] <= 20


def test_ring_timeout_goes_on_in_early_media(switch, client):
    leg = dial(switch, client, "early", ring_timeout=1)
    client.event("leg.early_media", leg_id=leg)
    assert reason(client, leg) == "ring_timeout"


def test_max_duration_counts_from_the_answer(switch, client):
    leg = dial(switch, client, "instant", max_duration=1)
    event = client.event("leg.disconnected", leg_id=leg)
    assert event["cdr"]["reason"] == "max_duration"
    assert 0.5 <= event["cdr"]["duration_answered"] <= 20


@pytest.mark.parametrize(("given", "expected"), [("busy", "busy"), ("", "api_hangup")])
def test_cancelling_while_it_rings(switch, client, given, expected):
    leg = dial(switch, client, "ring")
    peer = switch.callee()
    client.ok("delete_leg", id=leg, reason=given)
    assert reason(client, leg) == expected
    peer.wait("CANCEL")


def test_peer_hangs_up(switch, client):
    leg = dial(switch, client, "bye-after")
    client.event("leg.connected", leg_id=leg)
    assert reason(client, leg) == "remote_bye"


def test_early_media_with_room(switch, client):
    leg = dial(switch, client, "early", room_id="conf", app_id="x")
    assert client.event("room.created")["app_id"] == "x"
    joined = client.event("leg.joined_room", leg_id=leg)
    assert joined["room_id"] == "conf"
    switch.callee().answer()
    client.event("leg.connected", leg_id=leg)
    assert client.types() == [
        "room.created",
        "leg.ringing",
        "leg.early_media",
        "leg.joined_room",
        "leg.connected",
    ]


def test_room_joined_at_the_answer(switch, client):
    leg = dial(switch, client, "answer", room_id="conf")
    client.event("leg.joined_room", leg_id=leg)
    assert client.types() == ["room.created", "leg.ringing", "leg.connected", "leg.joined_room"]
    (room,) = client.ok("list_rooms")
    assert [one["id"] for one in room["participants"]] == [leg]


def test_codecs_are_offered_in_order(switch, client):
    leg = dial(switch, client, "instant", codecs=["pcma", "PCMU"])
    client.event("leg.connected", leg_id=leg)
    assert switch.callee().codec == "PCMA"


def test_a_proxy_is_a_loose_route(switch, client):
    proxy = switch.uri("").replace("sip:@", "SIP:ignored@")
    leg = client.ok("create_leg", type="sip", to="sip:instant@192.0.2.1", outbound_proxy=proxy)["id"]
    client.event("leg.connected", leg_id=leg)
    assert switch.callee().header("Route") == f"<{switch.uri('').replace('@', '')};lr>"


def test_outbound_legs_cannot_be_rung_or_answered(switch, client):
    leg = dial(switch, client, "ring")
    client.event("leg.ringing")
    client.ok("leg_ring", id=leg)
    failed = client.event("leg.command_failed", leg_id=leg)
    assert (failed["command"], failed["error"]) == ("ring", "cannot send ringing on outbound leg")
    client.ok("leg_early_media", id=leg)
    failed = client.event("leg.command_failed", leg_id=leg)
    assert (failed["command"], failed["error"]) == (
        "early_media",
        "cannot enable early media on outbound leg",
    )
    assert client.ok("answer_leg", id=leg) == {"status": "answering"}
    assert client.ok("get_leg", id=leg)["state"] == "ringing"
    assert client.error("answer_leg", id=leg, codec="PCMU") == (400, 'codec "PCMU" not in remote offer')


def test_amd_with_its_defaults_does_not_hinder_a_call(switch, client):
    amd = {"total_analysis_time": None, "unknown": 1}
    leg = client.ok("create_leg", type="sip", to=switch.uri("answer"), amd=amd)["id"]
    client.event("leg.connected", leg_id=leg)
