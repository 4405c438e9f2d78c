"""create_leg over TCP, TLS and IPv6, by trunks, and what cannot be dialled."""

from __future__ import annotations

import pytest

from tests.support.ports import ipv6_loopback

WAYS = [
    ("udp", "127.0.0.1"),
    ("tcp", "127.0.0.1"),
    ("tls", "127.0.0.1"),
    pytest.param("", "::1", marks=pytest.mark.skipif(not ipv6_loopback(), reason="no IPv6 on this machine")),
]


def called(switch, client, uri, **request):
    """A callee who has answered."""
    leg = client.ok("create_leg", type="sip", to=uri, **request)["id"]
    client.event("leg.connected", leg_id=leg)
    return switch.callee(), leg


@pytest.mark.beyond("the reference has these only where it is configured")
@pytest.mark.parametrize(("transport", "host"), WAYS)
def test_the_way_to_the_callee(switch, client, transport, host):
    uri = switch.uri("instant", transport, host)
    peer, leg = called(switch, client, uri)
    assert peer.header("Via").startswith(f"SIP/2.0/{(transport or 'udp').upper()} ")
    assert (";transport=" + transport in peer.header("Contact")) is (transport in ("tcp", "tls"))
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    peer.wait("BYE")


@pytest.mark.beyond("the reference has it only where it is configured")
def test_sips_is_tls_and_goes_out_as_it_is(switch, client):
    uri = switch.uri("instant", "tls").replace("sip:", "sips:").partition(";")[0]
    peer, _ = called(switch, client, uri)
    assert peer.header("Via").startswith("SIP/2.0/TLS ")
    assert peer.request_uri == uri
    assert client.seen("leg.ringing")[0]["uri"] == uri


@pytest.mark.beyond("the reference has it only where it is configured")
def test_a_proxy_that_is_reached_by_another_transport(switch, client):
    proxy = switch.uri("", "tcp").replace("@", "")
    peer, _ = called(switch, client, "sip:instant@192.0.2.1", outbound_proxy=proxy)
    assert peer.header("Via").startswith("SIP/2.0/TCP ")
    assert ";transport=tcp" in peer.header("Contact")
    assert peer.header("Route") == f"<{proxy};lr>"
    assert peer.request_uri == "sip:instant@192.0.2.1"


@pytest.mark.parametrize(
    "uri",
    [
        "sip:a@b;transport=ws",
        "sips:a@b;transport=udp",
        "sip:a@[::1",
        "sip:transport=ws@b",
        "sip:a@b;fs_path=c",
    ],
)
@pytest.mark.beyond("the reference leaves these to its SIP library")
def test_uris_that_nothing_can_be_sent_to(client, uri):
    for request in ({"to": uri}, {"to": "sip:a@b", "outbound_proxy": uri}):
        code, message = client.error("create_leg", type="sip", **request)
        assert code == 400 and "invalid SIP URI" in message
    assert client.ok("list_legs") == []
