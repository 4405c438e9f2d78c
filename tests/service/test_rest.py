"""Routes of the REST face that are not there yet, its limits, and how it answers without a switch."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.drivers import eventually
from tests.support.held import held
from tests.support.http import HttpClient
from vsi_esl.protocol import registry
from vsi_esl.protocol.names import CONNECTION_COMMANDS, known_commands
from vsi_esl.protocol.routes import routes


@pytest.fixture
def http(service) -> HttpClient:
    return HttpClient(f"127.0.0.1:{service.http.server.server_port}")


def test_every_command_has_a_route():
    assert set(routes()) == set(known_commands()) - CONNECTION_COMMANDS
    taken = [(rest.method, rest.path.replace("{leg_id}", "{id}")) for rest in routes().values()]
    assert len(set(taken)) == len(taken) == 71 + 28


def test_a_body_that_is_too_large(start):
    service = start(vsi={"max_frame_bytes": 65536})
    http = HttpClient(f"127.0.0.1:{service.http.server.server_port}")
    fits = json.dumps({"id": "r", "x": "y" * 60000}).encode()
    assert http("POST", "/v1/rooms", raw=fits).status == 201
    assert http("POST", "/v1/rooms/r/legs", raw=b"x" * 65537).error == (413, "request body too large")


@pytest.mark.parametrize("name", registry.pending())
def test_commands_to_come(http, client, name):
    message = f"{name} is not implemented by this server"
    rest = routes()[name]
    answer = http(rest.method, "/v1" + re.sub(r"{\w+}", "x", rest.path), raw=b"not even JSON")
    assert answer.error == client.error(name) == (501, message)


def test_no_switch(switch, http, service, client):
    node = service.ctx.nodes.default
    with held(node, "_connect", before=True):
        switch.drop_connections()
        eventually(lambda: not node.ready, "it is lost")
        answer = http("POST", "/v1/legs", {"type": "sip", "to": "sip:a@127.0.0.1"})
    assert answer.status == 503
    eventually(lambda: node.ready, "it is back")  # a real one takes a moment, and the next test needs it


@pytest.mark.parametrize("path", ["/v1/legs/websocket", "/v1/rooms/a%2Fb/ws?x=1"])
def test_streams_want_an_upgrade(http, path):
    assert http("GET", path).error == (426, "this is a WebSocket endpoint")
    key = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13"}
    other = http("GET", "/v1/legs", Connection="Upgrade", Upgrade="websocket", **key)
    assert other.error == (404, "no WebSocket here")
