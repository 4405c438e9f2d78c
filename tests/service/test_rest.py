"""Routes of the REST face that are not there yet, its limits, and how it answers without a switch."""

from __future__ import annotations

import json

import pytest

from tests.support.http import HttpClient
from vsi_esl.protocol import registry
from vsi_esl.protocol.names import COMMANDS, CONNECTION_COMMANDS
from vsi_esl.protocol.routes import routes


@pytest.fixture
def http(service) -> HttpClient:
    return HttpClient(f"127.0.0.1:{service.http.server.server_port}")


def test_every_command_has_a_route():
    assert set(routes()) == set(COMMANDS) - CONNECTION_COMMANDS
    taken = [(rest.method, rest.path.replace("{leg_id}", "{id}")) for rest in routes().values()]
    assert len(set(taken)) == len(taken) == 71


def test_a_body_that_is_too_large(start):
    service = start(vsi={"max_frame_bytes": 65536})
    http = HttpClient(f"127.0.0.1:{service.http.server.server_port}")
    fits = json.dumps({"id": "r", "x": "y" * 60000}).encode()
    assert http("POST", "/v1/rooms", raw=fits).status == 201
    assert http("POST", "/v1/rooms/r/legs", raw=b"x" * 65537).error == (413, "request body too large")


@pytest.mark.parametrize("name", registry.pending())
def test_commands_to_come(http, client, name):
    message = f"{name} is not implemented by this server yet"
    rest = routes()[name]
    answer = http(rest.method, "/v1" + rest.path.replace("{id}", "x"), raw=b"not even JSON")
    assert answer.error == client.error(name) == (501, message)


def test_no_switch(switch, http, service, client):
    switch.drop_connections()
    client._wait(lambda: not service.ctx.nodes.default.ready or None, "the loss", 5)
    answer = http("POST", "/v1/legs", {"type": "sip", "to": "sip:a@127.0.0.1"})
    assert answer.status == 503


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/v1/legs/websocket", "legs over a WebSocket"),
        ("/v1/rooms/a%2Fb/ws?x=1", "room participants over a WebSocket"),
    ],
)
def test_streams_to_come(http, path, what):
    message = f"{what} are not implemented by this server yet"
    assert http("GET", path).error == (501, message)
    key = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13"}
    assert http("GET", path, Connection="Upgrade", Upgrade="websocket", **key).error == (501, message)
    other = http("GET", "/v1/legs", Connection="Upgrade", Upgrade="websocket", **key)
    assert other.error == (404, "no WebSocket here")
