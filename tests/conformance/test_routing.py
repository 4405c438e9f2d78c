"""The routing matrix and roles."""

from __future__ import annotations

import pytest


@pytest.mark.beyond("the reference changes row by row, with an event each")
def test_matrix_commands(client):
    client.ok("create_room", id="r")
    assert client.ok("room_routing_get", id="r") == {"matrix": {}}
    matrix = {"customer": ["agent", "agent"], "agent": ["customer", "boss"], "bot": None}
    stored = {"customer": ["agent"], "agent": ["customer", "boss"], "bot": []}
    assert client.ok("room_routing_set", room_id="r", matrix=matrix) == {"matrix": stored}
    event = client.event("room.routing_changed", room_id="r")
    assert (event["matrix"], event["reason"]) == (stored, "set")
    updates = [
        {"listener_role": "bot", "sources": None},
        {"listener_role": "boss", "sources": []},
        {"listener_role": "agent", "sources": ["boss"]},
    ]
    final = {"customer": ["agent"], "agent": ["boss"], "boss": []}
    assert client.ok("room_routing_update", room_id="r", updates=updates) == {"matrix": final}
    event = client.event("room.routing_changed")
    assert (event["matrix"], event["reason"]) == (final, "update")
    assert client.ok("room_routing_update", room_id="r") == {"matrix": final}
    assert client.ok("room_routing_set", room_id="r") == {"matrix": {}}
    assert client.event("room.routing_changed")["reason"] == "set"  # no other came between


def test_null_in_an_array_is_an_empty_member_of_it(client):
    """As Go's decoder takes it: a row without a name and sources, a role without a name."""
    client.ok("create_room", id="r")

    def shown(answer: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
        return {role: sorted(sources) for role, sources in answer["matrix"].items()}  # they have no order

    client.ok("room_routing_set", room_id="r", matrix={"": ["x"], "a": [None, "b", ""]})
    assert shown(client.ok("room_routing_update", room_id="r", updates=[None])) == {"a": ["", "b"]}
    assert shown(client.ok("room_routing_update", room_id="r", updates=None)) == {"a": ["", "b"]}
    for wrong in ([[]], ["x"], [0], {}, "x", [None, 5]):
        code, message = client.error("room_routing_update", room_id="r", updates=wrong)
        assert (code, message.partition(":")[0]) == (400, "invalid payload"), wrong
    for wrong in ({"a": 0}, {"a": ""}, {"a": False}, {"a": {}}, [], "x"):
        assert client.error("room_routing_set", room_id="r", matrix=wrong)[0] == 400, wrong
    assert shown(client.ok("room_routing_get", id="r")) == {"a": ["", "b"]}
