"""The VSI connection itself: frames, filters, limits, closing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
import websocket

from tests.support.vsi import VsiClient


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


@pytest.mark.beyond("the reference gives this error no code")
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


def test_commands_without_payload_ignore_whatever_there_is(client):
    client.ws.send('{"type":"list_legs","request_id":"p","payload":"nonsense"}')
    assert client.reply("p")["data"] == []


def test_pong_is_never_answered(client):
    client.ws.send('{"type":"pong","request_id":"p"}')
    client.ok("list_legs")
    assert "p" not in client.replies


def test_binary_frames_are_ignored(client):
    client.ws.send_binary(b'{"type":"list_legs","request_id":"b"}')
    client.ok("list_legs")
    assert "b" not in client.replies


def test_events_carry_the_envelope(client, server):
    client.ok("create_room", id="r", app_id="shop")
    event = client.event("room.created")
    assert event["instance_id"] == server.instance_id
    assert event["app_id"] == "shop"
    assert event["room_id"] == "r"
    assert event["timestamp"].endswith("Z")
    assert len(event["event_id"]) == 36
    assert list(event) == sorted(event)


def test_all_clients_get_the_same_event_id(client, connect):
    other = connect()
    client.ok("create_room", id="r")
    assert client.event("room.created")["event_id"] == other.event("room.created")["event_id"]


def test_app_id_filter_searches_unanchored(connect):
    sales, everyone = connect("?app_id=sal"), connect()
    for room, app in (("1", "sales"), ("2", "support"), ("3", ""), ("4", "wholesale")):
        everyone.ok("create_room", id=room, app_id=app)
    sales.event("room.created", room_id="4")
    assert [event["room_id"] for event in sales.events] == ["1", "4"]
    assert len(sales.ok("list_rooms")) == 4  # commands are not filtered


def test_a_filter_that_matches_nothing_at_all_passes_events_without_app_id(connect):
    client = connect("?app_id=^$")
    client.ok("create_room", id="with", app_id="x")
    client.ok("create_room", id="without")
    client.event("room.created", room_id="without")
    assert len(client.events) == 1


@pytest.mark.parametrize("pattern", ["(", "a{99999}", "(?<x>a)(?=b)"])
def test_a_bad_filter_is_refused_before_the_upgrade(server, pattern):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        VsiClient(server.address, "?app_id=" + urllib.request.quote(pattern))
    assert refused.value.status_code == 400
    body = json.loads(refused.value.resp_body)
    assert body["instance_id"] == server.instance_id
    assert body["error"].startswith("invalid app_id regex: ")


@pytest.mark.beyond("the reference says 400 to a plain GET")
def test_other_paths_and_plain_gets_are_no_websocket(server):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"ws://{server.address}/v1/other", timeout=20)
    assert refused.value.status_code == 404
    with pytest.raises(urllib.error.HTTPError) as plain:
        urllib.request.urlopen(f"http://{server.address}/v1/vsi", timeout=20)
    assert plain.value.code == 426
    plain.value.close()
