"""The routing matrix and roles."""

from __future__ import annotations


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


def test_routing_errors(client):
    for command, payload in (
        ("room_routing_get", {"id": "x"}),
        ("room_routing_set", {"room_id": "x"}),
        ("room_routing_update", {"room_id": "x"}),
    ):
        assert client.error(command, **payload) == (404, "room x not found")
    client.ok("create_room", id="r")
    for matrix in ([], {"a": "b"}, {"a": [1]}, "x", {"a": ["x" * 300]}):
        assert client.error("room_routing_set", room_id="r", matrix=matrix)[0] == 400
    assert client.error("room_routing_update", room_id="r", updates=[{"sources": 5}])[0] == 400
    assert client.ok("room_routing_get", id="r") == {"matrix": {}}
    full = {str(number): [] for number in range(256)}
    client.ok("room_routing_set", room_id="r", matrix=full)
    more = [{"listener_role": "0", "sources": ["x"]}, {"listener_role": "one more", "sources": []}]
    assert client.error("room_routing_update", room_id="r", updates=more) == (400, "more than 256 rows")
    assert client.ok("room_routing_get", id="r") == {"matrix": full}


def test_null_in_an_array_is_an_empty_member_of_it(client):
    """As Go's decoder takes it: a row without a name and sources, a role without a name."""
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"": ["x"], "a": [None, "b", ""]})
    assert client.ok("room_routing_update", room_id="r", updates=[None]) == {"matrix": {"a": ["", "b"]}}
    assert client.ok("room_routing_update", room_id="r", updates=None) == {"matrix": {"a": ["", "b"]}}
    for wrong in ([[]], ["x"], [0], {}, "x", [None, 5]):
        code, message = client.error("room_routing_update", room_id="r", updates=wrong)
        assert (code, message.partition(":")[0]) == (400, "invalid payload"), wrong
    for wrong in ({"a": 0}, {"a": ""}, {"a": False}, {"a": {}}, [], "x"):
        assert client.error("room_routing_set", room_id="r", matrix=wrong)[0] == 400, wrong
    assert client.ok("room_routing_get", id="r") == {"matrix": {"a": ["", "b"]}}
