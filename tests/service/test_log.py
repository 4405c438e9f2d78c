"""What the log tells an operator: the way of a call, who is connected, and who was not let in."""

from __future__ import annotations

import pytest
import websocket

from tests.support.calls import answered
from tests.support.drivers import eventually
from tests.support.http import HttpClient
from tests.support.service import address
from tests.support.vsi import VsiClient
from vsi_esl.access.tokens import line_of, new_token


def told(line: dict, *names: str) -> list:
    return [line.get(name) for name in names]


def test_every_event_is_a_line_with_its_ids(switch, log, service, connect, request):
    client = connect(service)
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    client.ok("delete_leg", id=leg)
    client.event("leg.disconnected", leg_id=leg)
    lines = [line for line in log.lines if line["event"] == "vsi event"]
    assert [told(line, "type", "event_id") for line in lines] == [
        [event["type"], event["event_id"]] for event in client.events
    ]
    by_type = {line["type"]: line for line in lines}
    assert told(by_type["leg.joined_room"], "leg_id", "room_id") == [leg, "r"]
    assert told(by_type["leg.disconnected"], "leg_id", "reason") == [leg, "api_hangup"]
    assert by_type["room.created"]["command"] == "add_leg_to_room"
    assert {line["level"] for line in lines} == {"debug"}


def test_each_command_is_a_debug_line_with_its_outcome(log, service, connect):
    client = connect(service)
    client.ok("create_room", id="r")
    client.error("get_leg", id="nobody")
    lines = [line for line in log.lines if line["event"] == "command done"]
    shown = [told(line, "command", "code", "level") for line in lines]
    assert shown == [["create_room", "ok", "debug"], ["get_leg", "404", "debug"]]
    assert all(line["ms"] >= 0 and line["request_id"] for line in lines)


def test_a_connection_says_whose_it_is_when_it_opens_and_closes(log, start):
    secret = new_token()
    service = start(access={"tokens": (line_of("crm", "control", secret),)})
    client = VsiClient(address(service), f"?token={secret}")
    client.send("stop")
    assert client.closed.wait(20)
    client.close()
    eventually(lambda: log.named("vsi connection closed") != [], "it is told")
    (opened,), (closed,) = log.named("vsi connection opened"), log.named("vsi connection closed")
    assert told(opened, "client", "address") == ["crm", "127.0.0.1"]
    assert told(closed, "client", "address", "code") == ["crm", "127.0.0.1", 1000]
    assert secret not in log.stream.getvalue()


@pytest.mark.parametrize("query", ["", "?token=wrong-token-of-somebody"])
def test_who_is_not_let_in_is_a_line_with_address_and_reason(log, start, query):
    service = start(access={"tokens": (line_of("crm", "control", new_token()),)})
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(f"ws://{address(service)}/v1/vsi{query}", timeout=20)
    (line,) = log.named("connection refused")
    assert told(line, "address", "code", "level") == ["127.0.0.1", 401, "info"]
    assert "bearer token" in line["reason"]
    assert "wrong-token" not in log.stream.getvalue()
    assert HttpClient(address(service))("GET", "/v1/legs").status == 401
    assert len(log.named("connection refused")) == 2


def test_an_upgrade_that_is_none_is_refused_in_one_line(log, service):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "12"}
    assert HttpClient(address(service))("GET", "/v1/vsi", **headers).status == 426
    (line,) = log.named("connection refused")
    assert told(line, "address", "code") == ["127.0.0.1", 426]
    assert "version" in line["reason"]


def test_the_websocket_library_says_nothing(log, service, connect):
    client = connect(service)
    client.ok("list_legs")
    assert [line for line in log.lines if not line["logger"].startswith("vsi_esl")] == []


def test_the_line_of_a_missing_switch_says_where_it_was_looked_for(log, start):
    start(wait=False, switch={"port": 1})
    eventually(lambda: log.named("switch not available") != [], "it is told")
    assert log.named("switch not available")[0]["address"].endswith(":1")
