"""The VSI connection itself: frames, filters, limits, closing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import gevent
import pytest
import websocket

from tests.support.drivers import eventually
from tests.support.vsi import VsiClient
from vsi_esl.events.rooms import RoomCreated


def address(service) -> str:
    return f"127.0.0.1:{service.http.server.server_port}"


def test_first_frame_says_connected_and_nothing_else(client):
    assert client.first == {"type": "connected"}


def test_request_id_is_echoed_and_left_out_when_there_was_none(client):
    client.ws.send('{"type":"list_legs","request_id":"x-1"}')
    client.ws.send('{"type":"list_rooms"}')
    assert client.reply("x-1") == {"type": "list_legs.result", "request_id": "x-1", "data": []}
    assert client.frame("list_rooms.result") == {"type": "list_rooms.result", "data": []}


def test_replies_come_in_request_order(client):
    numbers = [client.send("list_legs" if n % 2 else "get_leg", id="nobody") for n in range(50)]
    client.reply(numbers[-1])
    assert [frame["request_id"] for frame in client.frames if "request_id" in frame] == numbers


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        '"text"',
        "nul",
        '{"type":5}',
        '{"type":"list_legs","request_id":7}',
        "{} and more",
        "nullx",
        '{"a":NaN}',
        "[" * 5000,
    ],
)
def test_what_is_no_command_frame_is_invalid_json(client, frame):
    client.ws.send(frame)
    assert client.frame("error") == {"type": "error", "data": {"code": 400, "message": "invalid JSON"}}
    assert client.ok("list_legs") == []


def test_a_frame_whose_type_is_none_is_refused_under_its_request_id(client):
    client.ws.send('{"type":["list_legs"],"request_id":"7"}')
    assert client.reply("7")["data"] == {"code": 400, "message": "invalid JSON"}


def test_null_is_a_frame_without_members(client):
    client.ws.send("null")
    assert client.frame("error") == {"type": "error", "data": {"code": 400, "message": "unknown command: "}}


@pytest.mark.parametrize(
    ("payload", "room"),
    [
        (r'{"id":"a\ud800b"}', "a\ufffdb"),
        (r'{"id":"\udc00\ud83d\ude00\ud83d"}', "\ufffd😀\ufffd"),
        ('{"id":"a","x":1e999}', "a"),
        ('{"id":"a","x":-' + "9" * 5000 + "}", "a"),
        ('{"id":"a","ID":"b"}', "b"),
    ],
)
def test_what_can_be_read_is_read_as_the_reference_reads_it(client, payload, room):
    client.ws.send(f'{{"type":"create_room","request_id":"x","payload":{payload}}}')
    assert client.reply("x")["data"]["id"] == room


@pytest.mark.parametrize(
    "payload",
    [
        '{"sample_rate":1e999}',
        '{"sample_rate":99999999999999999999}',
        '{"sample_rate":' + "9" * 5000 + "}",
        '{"sample_rate":8e3}',
        '{"id":1e999}',
        '{"id":["a"]}',
        "[null]",
        "1e999",
    ],
)
def test_what_cannot_be_read_is_refused_under_its_request_id(client, payload):
    client.ws.send(f'{{"type":"create_room","request_id":"x","payload":{payload}}}')
    refused = client.reply("x")["data"]
    assert (refused["code"], refused["message"].partition(":")[0]) == (400, "invalid payload")
    assert client.ok("list_rooms") == []


def test_unknown_command(client):
    assert client.error("make_coffee") == (400, "unknown command: make_coffee")
    client.ws.send('{"request_id":"none"}')
    assert client.reply("none")["data"] == {"code": 400, "message": "unknown command: "}


def test_protocol_commands_that_are_not_there_yet_say_so_by_name(client):
    assert client.error("leg_tts") == (501, "leg_tts is not implemented by this server yet")


def test_payload_rules(client):
    assert client.error("get_leg") == (404, "leg not found")
    assert client.error("get_leg", id=None) == (404, "leg not found")
    assert client.error("get_leg", id=5) == (400, "invalid payload: id: must be a string")
    assert client.error("create_room", sample_rate="8000")[0] == 400
    assert client.error("create_room", sample_rate=8000.0)[0] == 400
    assert client.error("create_room", sample_rate=True)[0] == 400
    client.ws.send('{"type":"get_leg","request_id":"p","payload":[1]}')
    assert client.reply("p")["data"] == {"code": 400, "message": "invalid payload: must be an object"}
    client.ws.send('{"TYPE":"create_room","Request_ID":"c","PayLoad":{"ID":"case","id":"exact","x":1}}')
    assert client.reply("c")["data"]["id"] == "exact"


def test_commands_without_payload_ignore_whatever_there_is(client):
    client.ws.send('{"type":"list_legs","request_id":"p","payload":"nonsense"}')
    assert client.reply("p")["data"] == []


def test_pong_is_never_answered(client):
    client.ws.send('{"type":"pong","request_id":"p"}')
    client.ok("list_legs")
    assert "p" not in client.replies


def test_stop_closes_with_1000(client):
    client.ws.send('{"type":"stop"}')
    assert client.closed.wait(5)
    assert client.close_code == 1000


def test_shutdown_closes_with_1001(client, service):
    service.stop()
    assert client.closed.wait(5)
    assert client.close_code == 1001


def test_a_frame_over_the_limit_closes_with_1009(start, connect):
    client = connect(start(vsi={"max_frame_bytes": 2000}))
    client.ws.send(json.dumps({"type": "get_leg", "payload": {"id": "x" * 1900}}))
    client.frame("error")
    client.ws.send("x" * 2001)
    assert client.closed.wait(5)
    assert client.close_code == 1009


def test_binary_frames_are_ignored(client):
    client.ws.send_binary(b'{"type":"list_legs","request_id":"b"}')
    client.ok("list_legs")
    assert "b" not in client.replies


def test_ping_counts_from_one_with_both_names(start, connect):
    client = connect(start(vsi={"ping_interval": 0.05}))
    client.frame("ping")
    eventually(lambda: sum(f["type"] == "ping" for f in client.frames) >= 2, "two pings")
    pings = [frame for frame in client.frames if frame["type"] == "ping"]
    assert pings[0] == {"event_id": 1, "seq": 1, "type": "ping"}
    assert pings[1]["seq"] == 2


def test_events_carry_the_envelope(client):
    client.ok("create_room", id="r", app_id="shop")
    event = client.event("room.created")
    assert event["instance_id"] == "test-1"
    assert event["app_id"] == "shop"
    assert event["room_id"] == "r"
    assert event["timestamp"].endswith("Z")
    assert len(event["event_id"]) == 36
    assert list(event) == sorted(event)


def test_all_clients_get_the_same_event_id(client, service, connect):
    other = connect(service)
    client.ok("create_room", id="r")
    assert client.event("room.created")["event_id"] == other.event("room.created")["event_id"]


def test_app_id_filter_searches_unanchored(service, connect):
    sales, everyone = connect(service, "?app_id=sal"), connect(service)
    for room, app in (("1", "sales"), ("2", "support"), ("3", ""), ("4", "wholesale")):
        everyone.ok("create_room", id=room, app_id=app)
    sales.event("room.created", room_id="4")
    assert [event["room_id"] for event in sales.events] == ["1", "4"]
    assert len(sales.ok("list_rooms")) == 4  # commands are not filtered


def test_a_filter_that_matches_nothing_at_all_passes_events_without_app_id(service, connect):
    client = connect(service, "?app_id=^$")
    client.ok("create_room", id="with", app_id="x")
    client.ok("create_room", id="without")
    client.event("room.created", room_id="without")
    assert len(client.events) == 1


@pytest.mark.parametrize("pattern", ["(", "a{99999}", "(?<x>a)(?=b)"])
def test_a_bad_filter_is_refused_before_the_upgrade(service, pattern):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        VsiClient(address(service), "?app_id=" + urllib.request.quote(pattern))
    assert refused.value.status_code == 400
    body = json.loads(refused.value.resp_body)
    assert body["instance_id"] == "test-1"
    assert body["error"].startswith("invalid app_id regex: ")


def test_other_paths_and_plain_gets_are_no_websocket(service):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"ws://{address(service)}/v1/other", timeout=5)
    assert refused.value.status_code == 404
    with pytest.raises(urllib.error.HTTPError) as plain:
        urllib.request.urlopen(f"http://{address(service)}/v1/vsi", timeout=5)
    assert plain.value.code == 426
    plain.value.close()


def flood(service, count: int) -> None:
    """Publish large events, giving the writers a turn after each."""
    for number in range(count):
        service.ctx.bus.publish(RoomCreated(room_id=f"flood-{number}", app_id="x" * 20_000))
        gevent.sleep(0)


def test_a_client_that_does_not_read_loses_events_and_is_told_how_many(start, connect):
    service = start(vsi={"event_buffer_size": 16, "write_timeout": 60})
    slow = connect(service)
    slow._reader.kill()  # reads nothing from here on
    subscription = service.ctx.bus._subscriptions[0]
    published = 0
    while subscription.dropped_total < 50:
        flood(service, 100)
        published += 100
        assert published < 50_000
    slow.ws.settimeout(5)
    received = told = 0
    last = RoomCreated(room_id="last")
    while received + told < published:
        frame = json.loads(slow.ws.recv())
        if frame["type"] == "events_dropped":
            assert set(frame) == {"count", "type"}
            told += frame["count"]
            assert received < published - told + 1  # told before what was queued behind the gap
        else:
            received += 1
        if len(subscription) == 0 and last is not None:
            # the loss is only told together with a later event
            service.ctx.bus.publish(last)
            last, published = None, published + 1
    assert told == subscription.dropped_total


def test_a_client_that_never_reads_is_disconnected(start, connect):
    service = start(vsi={"event_buffer_size": 16, "write_timeout": 0.2})
    slow = connect(service)
    slow._reader.kill()
    rounds = 0
    while service.http.clients:
        flood(service, 100)
        rounds += 1
        assert rounds < 500


def test_a_slow_command_delays_no_other_connection(service, connect, monkeypatch):
    slow, quick = connect(service), connect(service)
    release = gevent.event.Event()
    monkeypatch.setattr(service.ctx.legs, "get", lambda leg_id: release.wait(10) and None)
    number = slow.send("get_leg", id="x")
    quick.ok("create_room", id="meanwhile")
    slow.event("room.created")
    assert number not in slow.replies
    release.set()
    slow.reply(number)


def test_too_many_clients_are_turned_away(start, connect):
    service = start(vsi={"max_clients": 1})
    connect(service)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(service)
    assert refused.value.status_code == 503


def test_readiness_follows_the_switch(service, switch):
    with urllib.request.urlopen(f"http://{address(service)}/readyz", timeout=5) as answer:
        assert json.load(answer)["status"] == "ready"
    with urllib.request.urlopen(f"http://{address(service)}/healthz", timeout=5) as answer:
        assert json.load(answer)["status"] == "ok"
    service.ctx.draining = True
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address(service)}/readyz", timeout=5)
    assert refused.value.code == 503
    refused.value.close()
