"""create_leg: dialling out, and every way it can end."""

from __future__ import annotations

import pytest
import structlog

from tests.support.calls import dial


def invite_of(switch, client, **request):
    """What the callee reads in the INVITE of an answered call."""
    leg = dial(switch, client, "instant", **request)
    client.event("leg.connected", leg_id=leg)
    return switch.callee().header


def test_what_the_switch_says_of_itself_is_left_out(switch, client):
    with structlog.testing.capture_logs() as lines:
        header = invite_of(switch, client, headers={"k": "100rel", "Allow-Events": "x", "X-Order": "42"})
    assert "100rel" not in header("Supported")
    assert header("Allow-Events") != "x"
    assert header("X-Order") == "42"
    (line,) = [line for line in lines if line["event"].startswith("headers left out")]
    assert (line["log_level"], line["names"]) == ("warning", ["k", "Allow-Events"])


def test_the_proxy_of_all_calls_and_that_of_one(switch, start, connect):
    def proxy(name: str) -> str:
        return switch.uri("").replace("@", "") + f";x={name}"

    client = connect(start(sip={"outbound_proxy": f" {proxy('all')} "}))
    for name, request in (("all", {}), ("one", {"outbound_proxy": proxy("one")})):
        leg = client.ok("create_leg", type="sip", to="sip:instant@192.0.2.1", **request)["id"]
        client.event("leg.connected", leg_id=leg)
        assert switch.callee().header("Route") == f"<{proxy(name)};lr>"
        client.ok("delete_leg", id=leg)
        client.event("leg.disconnected", leg_id=leg)


@pytest.mark.parametrize(
    ("from_", "expected"),
    [
        ("sip:alice@pbx.example.com", '"alice" <sip:alice@pbx.example.com>'),
        ("SIP:Alice@PBX.Example.COM:5070;transport=tcp", '"Alice" <sip:Alice@pbx.example.com>'),
        ("sips:alice@pbx.example.com", '"alice" <sip:alice@pbx.example.com>'),
        ('"Alice B" <sip:alice@pbx.example.com>', '"Alice B" <sip:alice@pbx.example.com>'),
        ("alice@pbx.example.com", '"alice" <sip:alice@pbx.example.com>'),
    ],
)
def test_from_keeps_its_host(switch, client, from_, expected):
    header = invite_of(switch, client, from_=from_)
    assert header("From").partition(";tag=")[0] == expected
    assert header("P-Asserted-Identity") == expected


@pytest.mark.parametrize("request_", [{"privacy": "id"}, {"headers": {"privacy": "id"}}])
def test_a_wish_for_privacy_is_the_only_one(switch, client, request_):
    header = invite_of(switch, client, from_="+15550100", **request_)
    assert header("Privacy") == "id"
    assert header("P-Asserted-Identity") == ""


def test_no_session_timer_unless_it_is_asked_for(switch, client):
    header = invite_of(switch, client)
    assert (header("Session-Expires"), header("Min-SE")) == ("", "")
    assert "timer" in header("Supported")


@pytest.mark.parametrize("name", ["Session-Expires", "x"])
def test_a_session_timer_that_is_asked_for(switch, client, name):
    header = invite_of(switch, client, headers={name: "600", "supported": "timer", "Min-SE": "120"})
    assert header("Session-Expires") == "600;refresher=uac"
    assert header("Min-SE") == "90"


@pytest.mark.parametrize("name", ["i", "I", "call-id", "V", "m", "from", "t", "Content-Encoding", "e"])
def test_headers_of_the_switch_are_refused_by_all_their_names(client, name):
    refused = client.error("create_leg", type="sip", to="sip:a@b", headers={name: "x"})
    assert refused == (400, f'headers: "{name}" is written by the switch')


@pytest.mark.parametrize("name", [" i", "i ", "\ti", "Call-ID:"])
def test_header_names_with_something_around_them(client, name):
    code, _ = client.error("create_leg", type="sip", to="sip:a@b", headers={name: "x"})
    assert code == 400
    assert client.ok("list_legs") == []


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"type": "sip"}, 400, "invalid SIP URI: ''"),
        ({"type": "sip", "to": "bob"}, 400, "invalid SIP URI: 'bob'"),
        ({"type": "sip", "to": "tel:+1"}, 400, "invalid SIP URI: 'tel:+1'"),
        ({"type": "", "to": "sip:x@y"}, 400, "unsupported leg type: "),
        ({"type": "fax"}, 400, "unsupported leg type: fax"),
        (
            {"type": "sip", "to": "sip:a@b", "ring_timeout": 3_000_000_000},
            400,
            "invalid payload: ring_timeout: must be from -31622400 to 31622400",
        ),
        ({"type": "sip", "to": "sip:a@b", "codecs": ["x"]}, 400, "unknown codec: x"),
        (
            {"type": "sip", "to": "sip:a@b", "outbound_proxy": "not-a-uri"},
            400,
            "invalid outbound_proxy: invalid SIP URI: 'not-a-uri'",
        ),
        (
            {"type": "sip", "to": "sip:a@b", "from": "sip:pbx"},
            400,
            "from: needs a user and a host, not 'sip:pbx'",
        ),
        (
            {"type": "sip", "to": "sip:a@b", "headers": {"Via": "x"}},
            400,
            'headers: "Via" is written by the switch',
        ),
        ({"type": "sip", "to": "sip:a@b", "amd": 1}, 400, "invalid payload: amd: must be an object"),
        (
            {"type": "sip", "to": "sip:a@b", "amd": {"beep_timeout": "1"}},
            400,
            "invalid payload: amd: beep_timeout: must be an integer",
        ),
        (
            {"type": "sip", "to": "sip:a@b", "room_id": "r", "amd": {"Greeting_Duration": -5}},
            400,
            "invalid AMD params: greeting_duration must be positive",
        ),
    ],
)
def test_requests_that_cannot_be_dialled(client, request_, code, message):
    assert client.error("create_leg", **request_) == (code, message)
    assert client.ok("list_legs") == client.ok("list_rooms") == []
    assert client.types() == []


@pytest.mark.parametrize("kind", ["livekit_room"])
def test_other_leg_types_say_what_is_missing(client, kind):
    code, message = client.error("create_leg", type=kind, to="+1555", url="ws://x")
    assert code == 501
    assert kind in message
