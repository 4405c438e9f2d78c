"""Legs over WebSockets and WebSockets in rooms: who may open them, and what ends them."""

from __future__ import annotations

import json
import os
import signal
import socket

import gevent
import pytest

from tests.support.calls import in_room, reasons
from tests.support.drivers import eventually
from tests.support.mediasocket import JSON, MediaServer, Refused, close_all, leg_socket, leg_up, opened
from tests.support.server import Server
from tests.support.service import address, crash, http
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token
from vsi_esl.errors import SwitchUnavailable
from vsi_esl.live.sessions import Sessions
from vsi_esl.streams.legs import Peers
from vsi_esl.streams.rooms import Participants

READ, CONTROL, ACME, OTHER = (new_token() for _ in range(4))
LINES = (
    line_of("reader", "read", READ),
    line_of("operator", "control", CONTROL),
    line_of("acme", "control", ACME, "acme"),
    line_of("other", "control", OTHER, "other"),
)
LEGS = "/v1/legs/websocket"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def there():
    server = MediaServer()
    yield server
    server.stop()


def connected(client, service, **query):
    """A leg that is up."""
    return leg_up(client, Server(address(service)), **query)


def in_a_room(service, room: str = "r", token: str = ""):
    """A participant of a room."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    peer = opened(address(service), f"/v1/rooms/{room}/ws", wire=JSON, headers=headers)
    peer.message("connected")
    return peer


def channels(switch, service) -> list[str]:
    """Of calls on the switch."""
    return [one for one in switch.channels() if one != service.ctx.nodes.default.bond]


def nothing_left(switch, service) -> bool:
    """On the switch, and in the service."""
    ctx = service.ctx
    held = (ctx.get(Peers), ctx.get(Participants), ctx.get(Sessions), ctx.legs.everyone())
    return not channels(switch, service) and not any(map(len, held)) and not ctx.state.legs()


def why(client, leg: str, expected: str) -> None:
    """It has ended once, of this."""
    client.event("leg.disconnected", leg_id=leg)
    assert reasons(client, leg) == [expected]


# -- what becomes of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_takes_its_connections_along(switch, start, connect, number):
    service = start(media={"workers": 1})
    client = connect(service)
    peer, leg = connected(client, service, room_id="r")
    other = in_a_room(service)
    os.kill(service.ctx.get(Sessions).pool.workers[0].pid, number)
    why(client, leg, "ws_error")
    for one in (peer, other):
        one.ended()
    eventually(lambda: nothing_left(switch, service), "nothing is left")
    again, _ = connected(client, service, room_id="r")
    eventually(lambda: len(again.heard) > 2, "the next worker carries it")


def test_a_service_that_is_killed(switch, start, connect):
    """The next one ends what the connections of that one were, each once, and leaves nothing."""
    before = start()
    first = connect(before)
    peer, leg = connected(first, before, room_id="r")
    other = in_a_room(before)
    crash(before)
    for one in (peer, other):
        one.ended()
    service = start()
    client = connect(service, "?since=00000000-0000-0000-0000-000000000000")
    why(client, leg, "ws_error")
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_a_service_that_stops(switch, start, connect, there):
    """It ends them; that is told once, by it or by the next."""
    before = start()
    first = connect(before)
    peer, leg = connected(first, before, room_id="r")
    there.status = 0
    dialled = first.ok("create_leg", type="websocket", url=there.url)["id"]
    eventually(lambda: len(channels(switch, before)) == 4, "both have their channels")
    before.stop()
    peer.ended()
    service = start()
    client = connect(service, f"?since={first.events[0]['event_id']}")
    gone = {leg: "ws_error", dialled: "cancelled"}
    for one, reason in gone.items():
        eventually(
            lambda one=one: bool(client.seen("leg.disconnected", leg_id=one) or reasons(first, one)),
            "its end",
        )
        assert {*reasons(client, one), *reasons(first, one)} == {reason}
        assert len(reasons(client, one)) <= 1
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_a_connection_to_the_switch_that_is_lost_costs_nothing(switch, service, client):
    caller, _ = in_room(switch, client, "r")
    peer, leg = connected(client, service, room_id="r")
    peer.says(500)
    caller.hears(500)
    switch.drop_connections()
    eventually(lambda: not service.ctx.nodes.default.ready, "it is lost")
    assert service.ctx.nodes.default.wait_ready(10)
    caller.hears(500)
    assert not reasons(client, leg)
    client.ok("delete_leg", id=leg)
    why(client, leg, "api_hangup")


@pytest.mark.parametrize("half", ["the leg's own channel", "the one in the place of its peer"])
def test_an_operator_ends_it_at_the_switch(switch, service, client, half):
    peer, leg = connected(client, service)
    eventually(lambda: len(channels(switch, service)) == 2, "the switch's list has both")
    other = next(one for one in channels(switch, service) if one != leg)
    switch.esl(f"uuid_kill {leg if half.startswith('the leg') else other}")
    why(client, leg, "api_hangup")
    peer.ended()
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_a_switch_that_makes_no_channel(switch, service, client, monkeypatch):
    monkeypatch.setattr(
        "vsi_esl.switch.lines.live.leg_as_pair", lambda leg, _: f"originate {{origination_uuid={leg}}}error/x"
    )
    peer = leg_socket(Server(address(service)))
    leg = client.event("leg.ringing")["leg_id"]
    why(client, leg, "connect_failed")
    peer.ended()
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_one_whose_session_cannot_be_begun_for_a_reason_that_nobody_foresaw(client, there, monkeypatch, log):
    def begin(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(Sessions, "begin", begin)
    leg = client.ok("create_leg", type="websocket", url=there.url)["id"]
    why(client, leg, "connect_failed")
    assert client.ok("list_legs") == []
    (line,) = [one for one in log.named("leg not begun") if one["leg_id"] == leg]
    assert line["level"] == "error"


def test_a_peer_that_does_not_read(switch, start, connect):
    service = start(streams={"write_timeout": 0.3})
    client = connect(service)
    peer = leg_socket(Server(address(service)), rate=48000, room_id="r", more={"small": True})
    leg = peer.message("connected")["leg_id"]
    peer.stall()
    why(client, leg, "peer_slow")
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_a_peer_that_says_nothing(switch, start, connect):
    service = start(streams={"read_timeout": 2.0})
    client = connect(service)
    peer, leg = connected(client, service, room_id="r")
    for _ in range(12):
        gevent.sleep(0.2)
        peer.send({"type": "pong"})
    assert not reasons(client, leg)
    why(client, leg, "timeout")
    peer.ended()
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_a_peer_that_is_gone_before_it_is_a_leg(switch, service, client):
    """At every moment: whoever comes and goes leaves nothing."""
    for number in range(10):
        peer = leg_socket(Server(address(service)), room_id="r")
        gevent.sleep(number * 0.006)
        peer.reset() if number % 2 else peer.hang_up()
    eventually(lambda: len(client.seen("leg.disconnected")) == 10, "they have ended")
    for event in client.seen("leg.disconnected"):
        assert event["cdr"]["reason"] in ("hangup", "connection_reset")
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_legs_deleted_at_every_moment(switch, service, client, there):
    for number in range(8):
        leg = client.ok("create_leg", type="websocket", url=there.url, room_id="r")["id"]
        gevent.sleep(number * 0.012)
        client.ok("delete_leg", id=leg)
        why(client, leg, "api_hangup")
    eventually(lambda: nothing_left(switch, service), "nothing is left")
    eventually(lambda: all(one.closed.is_set() for one in there.peers), "the peers are told")


def test_a_room_that_is_deleted_closes_who_takes_part(switch, service, client):
    client.ok("create_room", id="r")
    peer = in_a_room(service)
    client.ok("delete_room", id="r")
    peer.ended()
    eventually(lambda: nothing_left(switch, service), "nothing is left")


def test_a_bridge_brings_something_to_hear(switch, service, client):
    """To who takes part in a room without legs."""
    for room in ("a", "b"):
        client.ok("create_room", id=room, sample_rate=16000)
    peer = in_a_room(service, "a")
    caller, _ = in_room(switch, client, "b")
    caller.says(500)
    assert not peer.heard
    bridge = client.ok("bridge_create", room_id="a", peer_room_id="b")["id"]
    peer.hears(500)
    client.ok("bridge_delete", room_id="a", bridge_id=bridge)
    peer.hears(500, False)


# -- who may ------------------------------------------------------------------------------------------------


def refused(service, path: str, token: str = "", **query) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with pytest.raises(Refused) as found:
        opened(address(service), path, headers=headers, **query)
    return found.value.status, found.value.error


def test_tokens(start):
    service = start(access={"tokens": LINES})
    operator = VsiClient(address(service), f"?token={CONTROL}")
    operator.ok("create_room", id="theirs", app_id="other")
    for path in (LEGS, "/v1/rooms/theirs/ws"):
        assert refused(service, path)[0] == 401
        assert refused(service, path, "wrong")[0] == 401
        assert refused(service, path, READ)[0] == 403
    confined = (403, "the token is confined to the app_id acme")
    assert refused(service, LEGS, ACME) == confined
    assert refused(service, LEGS, ACME, app_id="other") == confined
    assert refused(service, LEGS, ACME, app_id="acme", room_id="theirs") == (404, "room not found")
    assert refused(service, "/v1/rooms/theirs/ws", ACME) == (404, "room not found")
    assert refused(service, "/v1/rooms/nobody/ws", ACME) == (404, "room not found")
    acme, other = (VsiClient(address(service), f"?token={one}") for one in (ACME, OTHER))
    # as browsers have to
    peer = opened(address(service), LEGS, app_id="acme", room_id="r", token=ACME)
    leg = peer.message("connected")["leg_id"]
    acme.event("leg.joined_room", leg_id=leg)
    assert other.ok("list_legs") == [] and not other.seen("leg.ringing")
    assert other.error("delete_leg", id=leg) == (404, "leg not found")
    hers = in_a_room(service, "r", ACME)
    assert http(service, OTHER)("GET", f"/v1/legs/{leg}").status == 404
    operator.ok("delete_leg", id=leg)
    assert reasons(acme, leg) or acme.event("leg.disconnected", leg_id=leg)
    for one in (operator, acme, other):
        one.close()
    hers.close()


def test_a_token_is_shown_to_nobody(start):
    service = start(access={"tokens": LINES})
    client = VsiClient(address(service), f"?token={CONTROL}")
    given = {"Authorization": f"Bearer {CONTROL}", "X-A": "1", "X-Webhook-Secret": "s"}
    opened(address(service), LEGS, headers=given)
    event = client.event("leg.ringing")
    assert event["sip_headers"] == {"X-A": "1"}
    assert client.ok("get_leg", id=event["leg_id"])["headers"] == {"X-A": "1"}
    client.close()


def test_there_are_only_so_many(switch, start, connect, there):
    service = start(media={"max_sessions": 1})
    client = connect(service)
    client.ok("create_room", id="r")
    peer, leg = connected(client, service)
    full = (503, "too many sessions of live audio")
    assert refused(service, LEGS) == full
    assert refused(service, "/v1/rooms/r/ws") == full
    assert client.error("create_leg", type="websocket", url=there.url) == full
    assert [one["id"] for one in client.ok("list_legs")] == [leg]
    peer.close()
    why(client, leg, "hangup")
    connected(client, service)


def test_a_thousand_that_never_ask(switch, service, client):
    """Nor do they keep others out."""
    half = []
    host, _, port = address(service).rpartition(":")
    for number in range(1000):
        sock = socket.create_connection((host, int(port)), timeout=20)
        half.append(sock)
        if number % 2:
            sock.sendall(f"GET {LEGS} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n".encode())
    peer, leg = connected(client, service, room_id="r")
    assert [one["id"] for one in client.ok("list_legs")] == [leg]
    for sock in half:
        sock.close()
    peer.close()
    why(client, leg, "hangup")
    eventually(lambda: nothing_left(switch, service), "nothing is left")


# -- where to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ws://127.0.0.1:1/", "url: 127.0.0.1 has a private address"),
        ("ws://[::1]/", "url: ::1 has a private address"),
        ("wss://10.0.0.1/x", "url: 10.0.0.1 has a private address"),
        ("ws://2130706433/", "url: 2130706433 has a private address"),
        ("ws://LOCALHOST/", "url: localhost is this machine"),
        ("http://example.com/", "url: only ws and wss URLs are supported"),
        ("example.com", "url: only ws and wss URLs are supported"),
        ("ws://", "url: invalid URL"),
        ("ws://a:0/", "url: invalid URL"),
        ("ws:/x", "url: invalid URL"),
    ],
)
def test_private_addresses_and_what_is_no_url(start, connect, url, error):
    client = connect(start(streams={"allow_private_urls": False}))
    code, said = client.error("create_leg", type="websocket", url=url)
    assert code == 400 and said.lower().startswith(error.lower())
    assert client.ok("list_legs") == []


def test_a_name_that_leads_to_a_private_address(start, connect, monkeypatch):
    """What a name stands for is looked at when it is connected to."""
    client = connect(start(streams={"allow_private_urls": False}))
    name = socket.gethostname()
    try:
        private = socket.gethostbyname(name)
    except OSError:
        pytest.skip("this machine's name cannot be resolved")
    leg = client.ok("create_leg", type="websocket", url=f"ws://{name}:1/")["id"]
    assert private
    why(client, leg, "ws_dial_failed")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "x"},
        {"upgrade": "h2c"},
        {"Sec-WebSocket-Key": "x"},
        {"sec-websocket-protocol": "x"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"X A": "1"},
        {"": "1"},
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "1\x00"},
        {"X-A": "1", "x-a": "2"},
        {"X-A": "x" * 4000, "X-B": "x" * 4000, "X-C": "x" * 4000, "X-D": "x" * 4000, "X-E": "x" * 4000},
    ],
)
def test_headers_that_would_make_it_another_request(client, there, headers):
    code, error = client.error("create_leg", type="websocket", url=there.url, headers=headers)
    assert code == 400 and error.startswith("headers: ")
    assert client.ok("list_legs") == [] and not there.requests


def test_amd_takes_sip(client, there):
    refused_ = (400, "AMD is only supported on SIP legs")
    assert client.error("create_leg", type="websocket", url=there.url, amd={}) == refused_


# -- what is said of them -----------------------------------------------------------------------------------


def test_what_is_said_is_in_no_log(service, client, there, log):
    peer, leg = connected(client, service, rtt="true", webhook_secret="whsec-77")
    secrets = ("the-safe-is-behind", "my-card-is-4929", "whsec-77", "Basic aGk6", "key=12345")
    peer.send({"type": "text", "text": secrets[0]})
    client.event("rtt.received")
    client.ok("send_leg_rtt", id=leg, text=secrets[1])
    peer.message("text")
    out = client.ok(
        "create_leg", type="websocket", url=f"{there.url}?{secrets[4]}", headers={"Authorization": secrets[3]}
    )["id"]
    client.event("leg.connected", leg_id=out)
    there.peer().close()
    why(client, out, "hangup")
    for line in log.above_debug:
        text = json.dumps(line, ensure_ascii=False)
        assert not [secret for secret in secrets if secret in text], line


def test_metrics(service, client):
    connected(client, service)
    client.ok("create_room", id="r")
    in_a_room(service)
    text = http(service)("GET", "/metrics").raw.decode()
    for kind in ("websocket", "room_websocket"):
        assert f'vsi_esl_live_sessions{{kind="{kind}",provider=""}} 1.0' in text
    assert "vsi_esl_streams 2.0" in text


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("step", ["leg_as_pair", "unicast", "answer_as_peer"])
def test_one_that_is_being_made_when_the_connection_is_lost(switch, client, service, monkeypatch, step, done):
    """It comes up when the switch is back, with all that was told to it, or ends if there is no channel."""
    if switch.name != "sandbox":
        pytest.skip("loses connections when a test says so")
    node = service.ctx.nodes.default
    original = getattr(node.live, step)

    def lost(*arguments):
        monkeypatch.undo()
        if done:
            original(*arguments)
        switch.drop_connections()
        eventually(lambda: not node.ready, "it is lost")
        raise SwitchUnavailable("the connection to the switch was lost")

    monkeypatch.setattr(node.live, step, lost)
    peer = leg_socket(Server(address(service)))
    leg = client.event("leg.ringing")["leg_id"]
    eventually(lambda: node.reconnects and node.ready, "it is back")
    if step == "leg_as_pair" and not done:
        assert client.event("leg.disconnected", leg_id=leg)["cdr"]["reason"] == "unobserved"
        peer.ended()
    else:
        client.event("leg.connected", leg_id=leg)
        client.ok("leg_play_start", id=leg, tone="dial")
        eventually(lambda: len(peer.heard) > 20, "it hears")
        peer.hang_up()
        client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: not channels(switch, service), "nothing is left")
    assert client.types().count("leg.ringing") == 1
