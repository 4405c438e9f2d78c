"""Webhooks: which event goes where, what a request looks like, and that a restart loses none."""

from __future__ import annotations

import ipaddress

import pytest

from tests.support.calls import answered, dial, ring
from tests.support.ports import free_port
from tests.support.receiver import Receiver
from tests.support.service import crash, signed
from vsi_esl import __version__

MODES = ("durable", "best_effort")


@pytest.fixture
def receiver():
    one = Receiver(free_port())  # which nobody else gets while it is stopped
    yield one
    one.released.set()
    one.stop()


def leg_with_webhook(switch, client, receiver) -> str:
    """An outbound leg that is answered, whose events go to /leg."""
    leg = dial(switch, client, webhook_url=receiver.url("/leg"), webhook_secret="l")
    client.event("leg.connected", leg_id=leg)
    return leg


def networks(*names: str):
    return tuple(ipaddress.ip_network(name) for name in names)


@pytest.mark.parametrize("mode", MODES)
def test_the_global_webhook_gets_what_clients_get(switch, start, connect, receiver, mode):
    client = connect(start(webhooks={"url": receiver.url("/all?x=1"), "secret": "s3cret", "mode": mode}))
    _, leg = answered(switch, client)
    client.ok("delete_leg", id=leg)
    told = client.event("leg.disconnected", leg_id=leg)
    request = receiver.event("leg.disconnected", leg_id=leg)
    assert request.event == told
    assert request.id == told["event_id"]
    assert request.path == "/all?x=1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"vsi_esl/{__version__}"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert signed(request, "s3cret")
    receiver.wait(lambda: len(receiver.taken) == len(client.events), "as many as the client has")


def test_events_of_one_leg_come_in_order(switch, start, connect, receiver):
    client = connect(start(webhooks={"url": receiver.url()}))
    peer, leg = answered(switch, client)
    peer.dtmf("123456789")
    client.event("dtmf.received", leg_id=leg, seq=9)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    receiver.event("leg.disconnected", leg_id=leg)
    assert receiver.types(leg_id=leg) == client.types(leg_id=leg)
    digits = [one.event["seq"] for one in receiver.taken if one.event["type"] == "dtmf.received"]
    assert digits == list(range(1, 10))


def test_without_a_secret_there_is_no_signature(start, connect, receiver):
    client = connect(start(webhooks={"url": receiver.url()}))
    client.ok("create_room", id="r")
    assert "x-signature-256" not in receiver.event("room.created").headers


def test_leg_before_room_before_global(switch, start, connect, receiver):
    hooks = {"url": receiver.url("/global"), "secret": "g", "allow_private_urls": True}
    client = connect(start(webhooks=hooks))
    client.ok("create_room", id="r", webhook_url=receiver.url("/room"), webhook_secret="r")
    own = leg_with_webhook(switch, client, receiver)
    _, plain = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=own)
    client.ok("add_leg_to_room", room_id="r", leg_id=plain)
    client.ok("room_routing_set", room_id="r", matrix={"a": ["b"]})
    client.ok("delete_leg", id=own)
    client.ok("remove_leg_from_room", room_id="r", leg_id=plain)
    client.ok("delete_room", id="r")
    client.ok("delete_leg", id=plain)
    for leg in (own, plain):
        client.event("leg.disconnected", leg_id=leg)
        client.rewind()
        receiver.event("leg.disconnected", leg_id=leg)
    receiver.event("leg.left_room", "/room")
    receiver.event("room.routing_changed", "/room")
    receiver.event("room.deleted")

    assert receiver.types("/leg") == client.types(leg_id=own)
    # what is of a leg is in order, and what is of the room
    assert receiver.types("/room", leg_id=plain) == ["leg.joined_room", "leg.left_room"]
    assert sorted(receiver.types("/room")) == ["leg.joined_room", "leg.left_room", "room.routing_changed"]
    assert receiver.types("/global", room_id="r") == ["room.created", "room.deleted"]
    assert receiver.types("/global", leg_id=plain) == ["leg.ringing", "leg.connected", "leg.disconnected"]
    secrets = {"/leg": "l", "/room": "r", "/global": "g"}
    assert all(signed(one, secrets[one.path]) for one in receiver.taken)


def test_the_global_secret_signs_what_has_none(start, connect, receiver):
    hooks = {"secret": "g", "allow_private_urls": True}
    client = connect(start(webhooks=hooks))
    client.ok("create_room", id="a", webhook_url=receiver.url("/room"))
    client.ok("create_room", id="b")
    client.ok("bridge_create", room_id="a", peer_room_id="b")
    assert signed(receiver.event("room.bridged", "/room"), "g")  # a bridge's event is room A's
    assert receiver.types() == ["room.bridged"]  # there is no global webhook


def test_what_ends_with_a_room_goes_to_the_global_one(start, connect, receiver):
    client = connect(start(webhooks={"url": receiver.url("/global"), "allow_private_urls": True}))
    client.ok("create_room", id="a", webhook_url=receiver.url("/room"))
    client.ok("create_room", id="b")
    client.ok("bridge_create", room_id="a", peer_room_id="b")
    client.ok("delete_room", id="a")
    receiver.event("room.deleted", "/global")
    receiver.event("room.unbridged", "/global", reason="room_deleted")
    receiver.event("room.bridged", "/room")
    assert receiver.types("/room") == ["room.bridged"]


def test_a_restarted_service_delivers_what_is_left_and_knows_its_webhooks(switch, start, connect, receiver):
    receiver.stop()
    quick = {"backoff_min": 0.05, "backoff_max": 0.1, "allow_private_urls": True}
    hooks = {"url": receiver.url("/global"), **quick}
    service = start(webhooks=hooks)
    client = connect(service)
    client.ok("create_room", id="r", webhook_url=receiver.url("/room"), webhook_secret="r")
    own = leg_with_webhook(switch, client, receiver)
    gone, other = answered(switch, client)
    before = client.types()
    last = client.events[-1]["event_id"]
    service.ctx.history.flush()
    crash(service)
    gone.hang_up()

    again = Receiver(receiver.port)
    client = connect(start(wait=False, webhooks=hooks), f"?since={last}")
    client.event("leg.disconnected", leg_id=other)
    again.event("leg.disconnected", "/global", leg_id=other)
    client.ok("add_leg_to_room", room_id="r", leg_id=own)
    client.ok("room_routing_set", room_id="r", matrix={"a": ["b"]})
    client.ok("delete_leg", id=own)
    assert signed(again.event("leg.disconnected", "/leg", leg_id=own), "l")
    assert signed(again.event("room.routing_changed", "/room"), "r")
    client.event("leg.disconnected", leg_id=own)
    again.wait(lambda: sorted(again.types()) == sorted([*before, *client.types()]), "each of them")
    assert again.types(leg_id=own)[:2] == ["leg.ringing", "leg.connected"]
    again.stop()


def test_a_leg_that_ended_unseen_is_reported_to_its_own_webhook(switch, start, connect, receiver):
    hooks = {"allow_private_urls": True}
    service = start(webhooks=hooks)
    client = connect(service)
    made = {"webhook_url": receiver.url("/leg"), "webhook_secret": "l"}
    leg = client.ok("create_leg", type="sip", to=switch.uri("instant"), **made)["id"]
    client.event("leg.connected", leg_id=leg)
    callee = switch.callee()
    crash(service)
    callee.hang_up()
    start(webhooks=hooks)
    assert signed(receiver.event("leg.disconnected", "/leg", leg_id=leg), "l")


@pytest.mark.parametrize(
    ("url_name", "secret_name"),
    [("X-Webhook-URL", "X-Webhook-Secret"), ("x-webhook-url", "x-webhook-secret")],
)
def test_a_call_from_a_trusted_network_may_bring_its_webhook(
    switch, start, connect, receiver, url_name, secret_name
):
    hooks = {"url": receiver.url("/global"), "allow_private_urls": True}
    headers = {url_name: receiver.url("/caller"), secret_name: "c", "X-Other": "o"}
    client = connect(start(webhooks=hooks | {"from_sip_networks": networks("127.0.0.0/8")}))
    _, leg = ring(switch, client, headers=headers)
    request = receiver.event("leg.ringing", "/caller", leg_id=leg)
    assert signed(request, "c")
    assert secret_name not in request.event["sip_headers"]
    assert request.event["sip_headers"]["X-Other"] == "o"
    assert "secret" not in str(client.ok("get_leg", id=leg)).lower()


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
def test_any_other_caller_may_not(switch, start, connect, receiver, trusted):
    hooks = {"url": receiver.url("/global"), "allow_private_urls": True}
    client = connect(start(webhooks=hooks | {"from_sip_networks": networks(*trusted)}))
    _, leg = ring(switch, client, headers={"X-Webhook-URL": receiver.url("/caller")})
    receiver.event("leg.ringing", "/global", leg_id=leg)


def test_a_callers_webhook_that_cannot_be_used_is_ignored(switch, start, connect, receiver):
    hooks = {"url": receiver.url("/global"), "from_sip_networks": networks("127.0.0.1/32")}
    client = connect(start(webhooks=hooks))
    for url in ("http://10.0.0.1/", "ftp://example.com/", "nonsense"):
        _, leg = ring(switch, client, headers={"X-Webhook-URL": url})
        receiver.event("leg.ringing", "/global", leg_id=leg)


REFUSED = [
    ("ftp://example.com/x", "only http and https URLs are supported"),
    ("example.com/x", "only http and https URLs are supported"),
    ("http://", "invalid URL"),
    ("http://127.0.0.1/x", "127.0.0.1 has a private address (127.0.0.1), which is not allowed"),
    ("http://[::1]:8080/x", "::1 has a private address (::1), which is not allowed"),
    (
        "https://169.254.169.254/latest",
        "169.254.169.254 has a private address (169.254.169.254), which is not",
    ),
    ("http://localhost:80/", "localhost is this machine, which is not allowed"),
    ("http://example.com/\n", "must not have control characters"),
]


@pytest.mark.parametrize(("url", "message"), REFUSED)
def test_what_cannot_be_a_webhook_is_refused_at_once(client, url, message):
    code, text = client.error("create_room", id="r", webhook_url=url)
    assert code == 400
    assert text.startswith(f"webhook_url: {message}")
    assert client.error("create_leg", type="sip", to="sip:a@127.0.0.1", webhook_url=url)[0] == 400
    assert client.types() == []


@pytest.mark.parametrize("mode", MODES)
def test_a_deleted_rooms_recording_is_reported_to_its_own_webhook(switch, start, connect, receiver, mode):
    """Before room.deleted, which goes to the global one."""
    service = start(webhooks={"url": receiver.url("/all"), "allow_private_urls": True, "mode": mode})
    client = connect(service)
    client.ok("create_room", id="r", webhook_url=receiver.url("/room"))
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    file = client.ok("room_record_start", id="r")["file"]
    assert client.ok("delete_room", id="r") == {"status": "deleted"}
    client.event("room.deleted", room_id="r")
    order = [kind for kind in client.types() if kind in ("recording.finished", "room.deleted")]
    assert order == ["recording.finished", "room.deleted"]
    assert receiver.event("recording.finished", "/room", room_id="r").event["file"] == file
    receiver.event("room.deleted", "/all", room_id="r")


def test_a_room_that_two_delete_while_it_is_recorded(switch, client, service, connect):
    """One of them has deleted it; its end is told once."""
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("room_record_start", id="r")
    other = connect(service)
    requests = [(one, one.send("delete_room", id="r")) for one in (client, other)]
    replies = [one.reply(request)["data"] for one, request in requests]
    assert {"status": "deleted"} in replies
    assert {"code": 404, "message": "room r not found"} in replies
    client.event("leg.disconnected", leg_id=leg)
    assert client.types().count("recording.finished") == client.types().count("room.deleted") == 1
