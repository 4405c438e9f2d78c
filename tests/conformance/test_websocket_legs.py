"""Legs over WebSockets, and WebSockets in rooms, as far as any server shows them."""

from __future__ import annotations

import time
from base64 import b64encode

import numpy as np
import pytest

from tests.support.calls import in_room, reasons
from tests.support.drivers import eventually
from tests.support.mediasocket import (
    BINARY,
    JSON,
    MediaServer,
    Refused,
    close_all,
    leg_socket,
    leg_up,
    opened,
)

RATES = (8000, 16000, 24000, 48000)
NOBODY = "00000000-0000-0000-0000-000000000000"
CLOSED = pytest.mark.beyond("ws_error in the reference when the peer's close frame comes first")


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def there():
    """Where legs are dialled to."""
    server = MediaServer()
    yield server
    server.stop()


def dialled(client, there: MediaServer, **request):
    """An outbound leg that is up."""
    leg = client.ok("create_leg", type="websocket", url=there.url, **request)["id"]
    client.event("leg.connected", leg_id=leg)
    return there.peer(max(1, len(there.peers))), leg


def reason(client, leg: str) -> str:
    """Why it ended; told once, and last."""
    end = client.event("leg.disconnected", leg_id=leg)
    assert "quality" not in end
    assert reasons(client, leg) == [end["cdr"]["reason"]]
    return end["cdr"]["reason"]


# -- inbound -----------------------------------------------------------------------------------------------


def test_a_client_becomes_a_leg(client, server):
    headers = {"X-Tenant": "a", "p-asserted-identity": "alice@example.com", "Other": "b"}
    peer = leg_socket(server, room_id="r", app_id="crm", more={"headers": headers})
    welcome = peer.message("connected")
    leg = welcome["leg_id"]
    assert welcome == {
        "format": "pcm_s16le",
        "leg_id": leg,
        "participant_id": leg,
        "sample_rate": 16000,
    } | {"type": "connected"}
    ringing = client.event("leg.ringing", leg_id=leg)
    shown = {"X-Tenant": "a", "P-Asserted-Identity": "alice@example.com"}
    assert ringing["leg_type"] == "websocket_in" and ringing["app_id"] == "crm"
    assert ringing["sip_headers"] == shown and "uri" not in ringing and "from" not in ringing
    client.event("leg.connected", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg, room_id="r")
    view = client.ok("get_leg", id=leg)
    assert view == {
        "id": leg,
        "type": "websocket_in",
        "state": "connected",
        "room_id": "r",
        "muted": False,
        "deaf": False,
        "accept_dtmf": True,
        "held": False,
        "app_id": "crm",
        "headers": shown,
    }
    assert client.ok("list_legs") == [view]
    assert client.ok("get_room", id="r")["participants"] == [view]
    client.ok("delete_leg", id=leg)
    assert peer.ended() in ("eof", "reset")
    assert reason(client, leg) == "api_hangup"
    types = [event["type"] for event in client.events if event.get("leg_id") == leg]
    assert types == ["leg.ringing", "leg.connected", "leg.joined_room", "leg.left_room", "leg.disconnected"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"sample_rate": 11025}, "wsmedia: invalid SampleRate 11025 (want 8000/16000/24000/48000)"),
        ({"sample_format": "f32"}, 'wsmedia: unsupported SampleFormat "f32"'),
        ({"wire_format": "opus"}, 'wsmedia: unsupported WireFormat "opus"'),
        ({"sample_rate": "fast"}, "sample_rate: "),
        ({"sample_rate": "9" * 30}, "sample_rate: "),
    ],
)
def test_what_cannot_be_is_refused_before_the_upgrade(client, server, query, error):
    with pytest.raises(Refused) as refused:
        opened(server.address, "/v1/legs/websocket", room_id="r", **query)
    assert refused.value.status == 400
    assert refused.value.error.startswith(error)
    assert client.ok("list_legs") == [] and client.ok("list_rooms") == []


@pytest.mark.parametrize(("wire", "rate"), [*((BINARY, rate) for rate in RATES), (JSON, 24000)])
def test_audio_goes_both_ways(switch, client, server, wire, rate):
    caller, _ = in_room(switch, client, "r")
    peer, leg = leg_up(client, server, room_id="r", wire=wire, rate=rate)
    peer.says(500)
    caller.says(900)
    peer.hears(900)
    caller.hears(500)
    peer.hears(500, False)
    assert set(peer.sizes) == {rate // 50 * 2}, "20 ms a message"
    peer.send({"type": "hangup"})
    client.event("leg.disconnected", leg_id=leg)


def test_a_leg_is_muted_deafened_and_moved(switch, client, server):
    caller, _ = in_room(switch, client, "r")
    other, _ = in_room(switch, client, "s")
    peer, leg = leg_up(client, server)
    caller.says(900)
    other.says(700)
    peer.says(500)
    peer.hears(900, False)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg, room_id="r")
    peer.hears(900)
    caller.hears(500)
    client.ok("mute_leg", id=leg)
    caller.hears(500, False)
    client.ok("unmute_leg", id=leg)
    client.ok("deaf_leg", id=leg)
    peer.hears(900, False)
    caller.hears(500)
    client.ok("undeaf_leg", id=leg)
    client.ok("add_leg_to_room", room_id="s", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg, room_id="s")
    peer.hears(700)
    other.hears(500)
    caller.hears(500, False)
    client.ok("remove_leg_from_room", room_id="s", leg_id=leg)
    client.event("leg.left_room", leg_id=leg, room_id="s")
    peer.hears(700, False)
    assert client.ok("get_leg", id=leg)["state"] == "connected"


def test_routing_counts_for_it(switch, client, server):
    caller, other = in_room(switch, client, "r")
    peer, leg = leg_up(client, server, room_id="r")
    client.ok("set_leg_role", leg_id=leg, role="agent")
    client.ok("set_leg_role", leg_id=other, role="customer")
    client.ok("room_routing_set", room_id="r", matrix={"customer": []})
    peer.says(500)
    caller.says(900)
    peer.hears(900)
    caller.hears(500, False)
    client.ok("room_routing_set", room_id="r", matrix={})
    caller.hears(500)


def test_texts_and_pings(client, server):
    peer, leg = leg_up(client, server, room_id="r", rtt="true")
    other, second = leg_up(client, server, room_id="r", rtt="1", wire=JSON)
    deaf, _ = leg_up(client, server, room_id="r")
    peer.send({"type": "text", "text": "hello"})
    heard = client.event("rtt.received", leg_id=leg)
    assert heard["text"] == "hello" and heard["seq"] == 1 and "loss_marker" not in heard
    assert other.message("text") == {"type": "text", "text": "hello"}
    client.ok("send_leg_rtt", id=second, text="only for you\n")
    assert other.message("text")["text"] == "only for you\n"
    peer.send({"type": "ping", "event_id": 7})
    assert peer.message("pong") == {"type": "pong", "event_id": 7}
    peer.send({"type": "ping"})
    assert peer.message("pong") == {"type": "pong"}
    client.ok("reject_leg_rtt", id=leg)
    peer.send({"type": "text", "text": "unheard"})
    peer.send({"type": "ping"})
    peer.message("pong")
    other.send({"type": "text", "text": "second"})
    assert client.event("rtt.received", leg_id=second)["text"] == "second"
    client.ok("accept_leg_rtt", id=leg)
    peer.send({"type": "text", "text": "again"})
    assert client.event("rtt.received", leg_id=leg)["text"] == "again"
    assert other.message("text")["text"] == "again"
    assert not [one for one in (*peer.messages, *deaf.messages) if one["type"] == "text"]


def test_without_rtt_there_is_no_text(client, server):
    peer, leg = leg_up(client, server)
    assert client.error("send_leg_rtt", id=leg, text="x") == (409, "RTT not negotiated for this leg")
    peer.send({"type": "text", "text": "unheard"})
    peer.send({"type": "ping", "event_id": 1})
    peer.message("pong")
    assert not client.seen("rtt.received")
    assert not peer.heard, "in no room there is nothing to hear"


def test_what_is_not_understood_is_ignored(switch, client, server):
    caller, _ = in_room(switch, client, "r")
    peer, _ = leg_up(client, server, room_id="r")
    tone = b64encode(bytes(640)).decode()
    for text in (
        b"no json",
        b"[1]",
        b'"x"',
        b"{}",
        b'{"type":"unknown"}',
        b'{"type":5}',
        b'{"type":"text","text":7}',
        b'{"type":"ping","event_id":"x"}',
        b'{"type":"pong","event_id":1}',
        b'{"audio":5}',
        b'{"audio":"%%%"}',
        b'{"audio":"' + tone.encode() + b'"}',
        b"\xff\xfe",
    ):
        peer.send_raw(text)
    for odd in (b"", b"x", bytes(641)):
        peer.say(odd)
    peer.send({"type": "ping", "event_id": 9})
    assert peer.message("pong") == {"type": "pong", "event_id": 9}
    assert not client.seen("leg.disconnected")
    peer.says(500)
    caller.hears(500)


@pytest.mark.parametrize("chunk_ms", [10, 30, 100])
def test_audio_comes_in_pieces_of_any_length(switch, client, server, chunk_ms):
    caller, _ = in_room(switch, client, "r")
    peer, _ = leg_up(client, server, room_id="r")
    size, number = 16 * chunk_ms, 0
    begun = time.monotonic()
    caller.keep()
    while number * chunk_ms < 1000:
        times = (np.arange(size) + number * size) / 16000
        peer.say((8000 * np.sin(2 * np.pi * 500 * times)).astype("<i2").tobytes())
        number += 1
        time.sleep(max(0.0, begun + number * chunk_ms / 1000 - time.monotonic()))
    eventually(
        lambda: (np.abs(caller.kept.astype(int)) > 1000).sum() > 4500,
        "at 8 kHz, nine tenths of a second are loud",
    )
    caller.hears(500, False)


@pytest.mark.beyond("the reference answers the stop only 30 s later, when the leg has said nothing")
def test_it_is_played_to_and_recorded(client, server, switch):
    peer, leg = leg_up(client, server)
    client.ok("leg_record_start", id=leg)
    playback = client.ok("leg_play_start", id=leg, tone="us_dial")["playback_id"]
    client.event("playback.started", playback_id=playback)
    peer.hears(350)
    client.ok("leg_play_stop", id=leg, playback_id=playback)
    client.ok("leg_record_stop", id=leg)
    client.event("recording.finished", leg_id=leg)
    peer.hears(350, False)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("answer_leg", (400, "only SIP and WhatsApp inbound legs can be answered")),
        ("leg_ring", (400, "only SIP inbound legs can be rung")),
        ("leg_early_media", (400, "only SIP inbound legs support early media")),
        ("hold_leg", (400, "only SIP legs support hold")),
        ("unhold_leg", (400, "only SIP legs support hold")),
        ("leg_amd_start", (400, "AMD is only supported on SIP legs")),
    ],
)
def test_what_takes_sip_is_refused(client, server, command, answer):
    _, leg = leg_up(client, server)
    assert client.error(command, id=leg) == answer


def test_digits_are_not_sent(client, server):
    _, leg = leg_up(client, server)
    assert client.error("send_leg_dtmf", id=leg, digits="1") == (500, "DTMF over WebSocket not supported")


@pytest.mark.parametrize(
    ("end", "why"),
    [
        pytest.param(lambda peer: peer.send({"type": "hangup"}), "hangup", marks=CLOSED),
        pytest.param(lambda peer: peer.send({"type": "stop"}), "hangup", marks=CLOSED),
        pytest.param(lambda peer: peer.close(1000), "hangup", marks=CLOSED),
        (lambda peer: peer.hang_up(), "hangup"),
        (lambda peer: peer.reset(), "connection_reset"),
    ],
    ids=["hangup", "stop", "close", "eof", "reset"],
)
def test_how_a_peer_ends(client, server, end, why):
    peer, leg = leg_up(client, server, room_id="r")
    eventually(lambda: len(peer.heard) > 2, "it hears")
    end(peer)
    assert reason(client, leg) == why
    assert client.ok("list_legs") == []


def test_a_room_that_is_deleted_takes_it_along(client, server):
    peer, leg = leg_up(client, server, room_id="r")
    client.ok("delete_room", id="r")
    assert reason(client, leg) == "room_deleted"
    peer.ended()


# -- outbound ----------------------------------------------------------------------------------------------


def test_a_leg_is_dialled(switch, client, there):
    caller, _ = in_room(switch, client, "r")
    headers = {"X-Correlation-ID": "abc"}
    view = client.ok(
        "create_leg", type="websocket", url=there.url, headers=headers, room_id="r", app_id="crm"
    )
    leg = view["id"]
    assert view["type"] == "websocket_out" and view["state"] == "ringing" and "headers" not in view
    ringing = client.event("leg.ringing", leg_id=leg)
    assert ringing["uri"] == there.url and ringing["sip_headers"] == headers
    assert ringing["leg_type"] == "websocket_out"
    client.event("leg.connected", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg, room_id="r")
    peer = there.peer()
    assert {name.lower(): value for name, value in there.requests[0].items()}["x-correlation-id"] == "abc"
    peer.send({"type": "connected", "sample_rate": 16000})
    peer.says(500)
    caller.says(900)
    caller.hears(500)
    peer.hears(900)
    assert not peer.messages
    assert "headers" not in client.ok("get_leg", id=leg)
    peer.close()
    assert reason(client, leg) in ("hangup", "ws_error")  # the latter in the reference, by chance


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({}, "url is required for type=websocket"),
        ({"url": ""}, "url is required for type=websocket"),
        ({"sample_rate": 44100}, "wsmedia: invalid SampleRate 44100 (want 8000/16000/24000/48000)"),
        ({"sample_format": "f32"}, 'wsmedia: unsupported SampleFormat "f32"'),
        ({"wire_format": "opus"}, 'wsmedia: unsupported WireFormat "opus"'),
    ],
)
def test_a_request_that_cannot_be(client, there, request_, error):
    given = request_ if not request_ or "url" in request_ else {"url": there.url, **request_}
    assert client.error("create_leg", type="websocket", **given) == (400, error)
    assert client.ok("list_legs") == []


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (500, "ws_dial_failed"),
        (200, "ws_dial_failed"),
    ],
)
def test_a_server_that_refuses(client, there, status, why):
    there.status = status
    leg = client.ok("create_leg", type="websocket", url=there.url)["id"]
    assert reason(client, leg) == why
    assert not client.seen("leg.connected")


def test_nobody_is_there(client):
    leg = client.ok("create_leg", type="websocket", url="ws://127.0.0.1:1/")["id"]
    assert reason(client, leg) == "service_unavailable"


def test_nobody_answers(client, there):
    there.status = 0
    leg = client.ok("create_leg", type="websocket", url=there.url, ring_timeout=1)["id"]
    other = client.ok("create_leg", type="websocket", url=there.url)["id"]
    assert reason(client, leg) == "ring_timeout"
    client.ok("delete_leg", id=other)
    assert reason(client, other) in ("api_hangup", "cancelled")


def test_a_call_that_may_not_last_longer(client, there):
    peer, leg = dialled(client, there, max_duration=1)
    assert reason(client, leg) == "max_duration"
    peer.ended()


# -- participants of rooms -----------------------------------------------------------------------------------


def test_no_room(server):
    with pytest.raises(Refused) as refused:
        opened(server.address, "/v1/rooms/nobody/ws")
    assert (refused.value.status, refused.value.error) == (404, "room not found")


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_who_takes_part_in_a_room_and_is_no_leg(switch, client, server, rate):
    client.ok("create_room", id="r", sample_rate=rate)
    peer = opened(server.address, "/v1/rooms/r/ws", wire=JSON, rate=rate)
    welcome = peer.message("connected")
    participant = welcome.pop("participant_id")
    assert participant.startswith("ws-") and len(participant) == 11
    assert welcome == {"type": "connected", "format": "pcm_s16le", "sample_rate": rate}
    peer.hears(900, False)
    assert not peer.heard, "in a room without legs there is nothing to hear"
    caller, leg = in_room(switch, client, "r")
    caller.says(900)
    peer.says(500)
    peer.hears(900)
    caller.hears(500)
    assert set(peer.sizes) == {rate // 50 * 2}
    peer.send({"type": "text", "text": "unheard"})
    peer.send({"type": "ping", "event_id": 3})
    peer.message("pong")
    assert [one["id"] for one in client.ok("list_legs")] == [leg]
    assert [one["id"] for one in client.ok("get_room", id="r")["participants"]] == [leg]
    client.ok("set_leg_role", leg_id=leg, role="customer")
    client.ok("room_routing_set", room_id="r", matrix={"customer": ["agent"]})
    caller.hears(500, False)
    peer.hears(900)
    client.ok("room_routing_set", room_id="r", matrix={})
    caller.hears(500)
    peer.send({"type": "stop"})
    peer.ended()
    caller.hears(500, False)
    assert not client.seen("rtt.received")
    assert {event.get("leg_id", leg) for event in client.events} == {leg}


def test_room_and_leg_speak_the_same(client, server):
    client.ok("create_room", id="r", sample_rate=16000)
    leg, _ = leg_up(client, server, room_id="r", wire=JSON)
    other = opened(server.address, "/v1/rooms/r/ws", wire=JSON)
    leg.says(500)
    other.hears(500)
    other.says(900)
    leg.hears(900)
