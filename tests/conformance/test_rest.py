"""The conventions of the REST face. That its commands do what the VSI commands do is shown by running all
of tests/conformance and tests/service with --face=rest."""

from __future__ import annotations

import socket

import pytest

from tests.support.calls import answered


def test_objects_say_first_whose_they_are(http, server):
    answer = http("POST", "/v1/rooms", {"id": "r", "app_id": "a"})
    assert answer.status == 201
    assert answer.raw.startswith(
        f'{{"instance_id":"{server.instance_id}","id":"r"'.encode()
    ) and answer.raw.endswith(b"}\n")
    assert answer.headers["Content-Type"] == "application/json"
    rooms = http("GET", "/v1/rooms")
    assert rooms.raw.startswith(b"[") and rooms.raw.endswith(b"]\n")
    assert [room["id"] for room in rooms.body] == ["r"]
    assert "instance_id" not in rooms.body[0]


@pytest.mark.beyond("plain text in the reference where there is no route")
def test_errors_have_a_body(http, server):
    missing = http("GET", "/v1/legs/nobody")
    assert missing.raw == f'{{"instance_id":"{server.instance_id}","error":"leg not found"}}\n'.encode()
    assert missing.status == 404
    assert http("GET", "/v1/nothing").error == (404, "not found")
    assert http("GET", "/v1/legs/").error == (404, "not found")
    wrong = http("PUT", "/v1/legs")
    assert wrong.error == (405, "method not allowed")
    assert {"GET", "POST"} <= set(wrong.headers["Allow"].split(", "))


@pytest.mark.beyond("some count as empty in the reference")
@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("POST", "/v1/legs", 400, "invalid JSON"),
        ("POST", "/v1/legs/x/dtmf", 400, "invalid JSON"),
        ("PATCH", "/v1/legs/x/role", 400, "invalid JSON"),
        ("POST", "/v1/legs/x/play", 400, "invalid JSON"),
        ("POST", "/v1/rooms/x/legs", 400, "invalid JSON"),
        ("PUT", "/v1/rooms/x/routing", 400, "invalid JSON"),
        ("POST", "/v1/legs/x/answer", 400, "invalid request body: "),
        ("POST", "/v1/legs/x/early-media", 400, "invalid request body: "),
        ("DELETE", "/v1/legs/x", 400, "invalid request body: "),
        ("POST", "/v1/legs/x/record", 400, "invalid request body: "),
        ("POST", "/v1/rooms/x/record", 400, "invalid request body: "),
        ("POST", "/v1/rooms", 400, "invalid request body: "),
        ("POST", "/v1/legs/x/mute", 404, "leg not found"),
    ],
)
@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b'"x"'])
def test_bodies_that_cannot_be_read(http, method, path, status, error, body):
    answer = http(method, path, raw=body)
    assert answer.status == status
    assert answer.body["error"].startswith(error)
    assert http("GET", "/v1/rooms").body == []


@pytest.mark.beyond("some count as empty in the reference")
def test_bodies_may_be_left_out(http):
    assert http("POST", "/v1/rooms").status == 201
    assert http("POST", "/v1/rooms", raw=b"\x0b").error[0] == 400, "no blank of JSON's"
    assert http("POST", "/v1/rooms", raw=b"  ").status == 201
    for method, path in (("POST", "/v1/legs/x/answer"), ("DELETE", "/v1/legs/x")):
        assert http(method, path).error == (404, "leg not found")
    assert http("POST", "/v1/legs").error == (400, "invalid JSON")


NOTHING = (b"null", b" null\n", b"nullx", b"{}", b"{} and more", b"{}}", b'{}{"id":"y"}', b'{"id":null}')


@pytest.mark.parametrize("body", NOTHING)
def test_bodies_that_mean_nothing(http, body):
    """Go's decoder takes the first value, and from `null` nothing."""
    for method, path, error in (
        ("POST", "/v1/legs", (400, 'unknown leg type ""')),
        ("POST", "/v1/legs/x/answer", (404, "leg not found")),
        ("DELETE", "/v1/legs/x", (404, "leg not found")),
        ("POST", "/v1/legs/x/record", (404, "leg not found")),
        ("POST", "/v1/legs/x/dtmf", (404, "leg not found")),
        ("PATCH", "/v1/legs/x/role", (404, "leg x not found")),
    ):
        answer = http(method, path, raw=body)
        assert (answer.status, "JSON" in answer.body["error"]) == (error[0], False), (path, answer)
        if error[0] == 404:
            assert answer.error == error
    assert http("POST", "/v1/rooms", raw=body).status == 201


@pytest.mark.parametrize(
    ("body", "room"),
    [
        (rb'{"id":"a\ud800b"}', "a\ufffdb"),
        (rb'{"id":"\\ud800"}', r"\ud800"),
        (b'{"id":"a\xe2\x82b"}', "a\ufffd\ufffdb"),
        (b'{"id":"a","x":1e999}', "a"),
        (b'{"id":"a","x":' + b"9" * 5000 + b"}", "a"),
        (b'{"id":"a"}garbage', "a"),
        (b'{"id":"a","ID":"b"}', "b"),
        (b'{"ID":"b","id":"a","Id":null}', "a"),
    ],
)
def test_what_can_be_read_is_read_as_the_reference_reads_it(http, body, room):
    created = http("POST", "/v1/rooms", raw=body)
    assert (created.status, created.body["id"]) == (201, room)


@pytest.mark.beyond("it counts as empty in the reference")
@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"a","sample_rate":1e999}',
        b'{"id":"a","sample_rate":' + b"9" * 5000 + b"}",
        b'{"id":"a","sample_rate":99999999999999999999}',
        b'{"id":"a","sample_rate":"8000"}',
        b'{"id":"a\n"}',
        b'{"id":"a"',
        b'{"id":"a","x":' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
)
def test_what_cannot_be_read_creates_nothing(http, body):
    assert http("POST", "/v1/rooms", raw=body).status == 400
    assert http("GET", "/v1/rooms").body == []


def test_members_of_the_path_win(http):
    http("POST", "/v1/rooms", {"id": "a"})
    http("POST", "/v1/rooms", {"id": "b"})
    created = http(
        "POST", "/v1/rooms/a/bridges", {"id": "x", "room_id": "a", "bridge_id": "y", "ROOM_ID": "b"}
    )
    assert (created.status, created.body["id"], created.body["room_id"]) == (201, "x", "b")
    patched = http("PATCH", "/v1/rooms/a/bridges/x", {"direction": "send", "bridge_id": "z", "room_id": "c"})
    assert patched.body["direction"] == "send"


@pytest.mark.beyond("the reference has no path for an id with a slash")
def test_ids_with_slashes_and_more(http):
    name = "a/b c%2Fé?#"
    assert http("POST", "/v1/rooms", {"id": name}).status == 201
    path = "/v1/rooms/a%2Fb%20c%252F%C3%A9%3F%23"
    assert http("GET", path).body["id"] == name
    assert http("DELETE", path).body["status"] == "deleted"
    assert http("GET", "/v1/rooms/a/b").error == (404, "not found")


@pytest.mark.beyond("it counts as empty in the reference")
def test_a_body_that_breaks_off(http):
    host, _, port = http.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        sock.sendall(
            b"POST /v1/rooms HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{"
        )
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert http("GET", "/v1/rooms").body == []


@pytest.mark.beyond("the reference has none")
def test_request_ids(http):
    assert http("GET", "/v1/legs", X_Request_Id="mine-1").headers["X-Request-Id"] == "mine-1"
    first, second = (http("GET", "/v1/legs").headers["X-Request-Id"] for _ in range(2))
    assert first and second and first != second
    made = http("GET", "/v1/legs", X_Request_Id="x" * 500).headers["X-Request-Id"]
    assert len(made) == 16


def test_a_call_over_rest(switch, client, http, server):
    _, leg = answered(switch, client)
    assert http("GET", f"/v1/legs/{leg}").body == {"instance_id": server.instance_id} | client.ok(
        "get_leg", id=leg
    )
    assert http("POST", f"/v1/legs/{leg}/mute").body == {"instance_id": server.instance_id, "status": "muted"}
    client.event("leg.muted", leg_id=leg)
    held = http("POST", f"/v1/legs/{leg}/hold")
    assert (held.status, held.body["status"]) == (202, "holding")
    client.event("leg.hold", leg_id=leg)
    gone = http("DELETE", f"/v1/legs/{leg}", {"reason": "busy"})
    assert (gone.status, gone.body["status"]) == (202, "hanging_up")
    client.event("leg.disconnected", leg_id=leg)


@pytest.mark.beyond("405 in the reference")
@pytest.mark.parametrize("path", ["/v1/rooms", "/v1/rooms/r", "/v1/rooms/none", "/healthz", "/v1/nothing"])
def test_head_is_get_without_the_body(http, path):
    http("POST", "/v1/rooms", {"id": "r"})
    there, head = http("GET", path), http("HEAD", path)
    assert (head.status, head.raw) == (there.status, b"")
    assert head.headers["Content-Length"] == str(len(there.raw))
    assert http("HEAD", "/v1/legs/x/mute").status == 405
