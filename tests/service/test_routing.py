"""The routing matrix and roles."""

from __future__ import annotations

import json
from itertools import product

from tests.support.calls import answered, in_room


def kept_apart(switch, service, legs):
    """The (listener, source) pairs of these legs that the switch keeps apart, by their names here."""
    room = service.ctx.rooms.find("r")
    names = {service.ctx.legs.get(leg).channel.member_id: name for name, leg in legs.items()}
    found = set()
    if switch.name == "sandbox":
        conference = switch.switch.conferences.by_name[room.conference]
        found = {(str(listener), str(source)) for listener, source in conference.relations}
    else:
        for member in names:
            for line in switch.esl(f"conference {room.conference} relate {member}").splitlines():
                words = line.split()
                if len(words) >= 5 and words[1] == "->" and words[4] == "NOHEAR":
                    found.add((words[0], words[2]))
    return {(names[one], names[two]) for one, two in found if one in names and two in names}


def test_rows_change_together(switch, client, service):
    """A row that goes and comes back in one update lets nobody in between hear what it forbids."""
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"customer": ["agent"]})
    legs = {role: in_room(switch, client, role=role)[1] for role in ("customer", "spy")}
    told = []
    command_many = service.ctx.nodes.default.command_many
    service.ctx.nodes.default.command_many = lambda lines, *more: (
        told.extend(lines) or command_many(lines, *more)
    )
    updates = [
        {"listener_role": "customer", "sources": None},
        {"listener_role": "spy", "sources": []},
        {"listener_role": "customer", "sources": ["agent"]},
    ]
    client.ok("room_routing_update", room_id="r", updates=updates)
    assert kept_apart(switch, service, legs) == {("customer", "spy"), ("spy", "customer")}
    assert [line for line in told if line.endswith("clear")] == []


def test_the_switch_keeps_apart_what_the_matrix_forbids(switch, client, service):
    legs = {role: in_room(switch, client, role=role)[1] for role in ("customer", "agent", "boss", "")}
    assert kept_apart(switch, service, legs) == set()
    client.ok(
        "room_routing_set",
        room_id="r",
        matrix={"customer": ["agent"], "agent": ["customer", "boss"], "boss": []},
    )
    expected = {("customer", "boss"), ("customer", ""), ("agent", "")}
    expected |= set(product(["boss"], ["customer", "agent", ""]))
    assert kept_apart(switch, service, legs) == expected
    client.ok("room_routing_update", room_id="r", updates=[{"listener_role": "boss"}])
    assert kept_apart(switch, service, legs) == {("customer", "boss"), ("customer", ""), ("agent", "")}
    client.ok("set_leg_role", leg_id=legs[""], role="agent")
    assert kept_apart(switch, service, legs) == {("customer", "boss"), ("", "agent"), ("agent", "")}
    client.ok("room_routing_set", room_id="r", matrix={})
    assert kept_apart(switch, service, legs) == set()


def test_who_joins_later_is_routed_from_the_start(switch, client, service):
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"customer": ["agent"]})
    legs = {role: in_room(switch, client, role=role)[1] for role in ("customer", "agent", "spy")}
    assert kept_apart(switch, service, legs) == {("customer", "spy")}
    flags = {
        one["uuid"]: one["flags"]
        for conference in json.loads(switch.esl("conference json_list"))
        for one in conference["members"]
    }
    for leg in legs.values():
        assert (flags[leg]["can_speak"], flags[leg]["can_hear"]) == (True, True)


def test_leaving_and_coming_back(switch, client, service):
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"customer": ["agent"]})
    legs = {role: in_room(switch, client, role=role)[1] for role in ("customer", "spy")}
    for name in ("customer", "spy"):
        client.ok("remove_leg_from_room", room_id="r", leg_id=legs[name])
        client.ok("add_leg_to_room", room_id="r", leg_id=legs[name])
        assert kept_apart(switch, service, legs) == {("customer", "spy")}
    client.ok("remove_leg_from_room", room_id="r", leg_id=legs["spy"])
    client.ok("set_leg_role", leg_id=legs["spy"], role="agent")
    client.ok("add_leg_to_room", room_id="r", leg_id=legs["spy"])
    assert kept_apart(switch, service, legs) == set()


def test_mute_and_deaf_are_kept_through_a_routed_join(switch, client):
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"a": []})
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg, role="a", mute=True, deaf=True)
    (member,) = [
        one
        for conference in json.loads(switch.esl("conference json_list"))
        for one in conference["members"]
        if one["uuid"] == leg
    ]
    assert (member["flags"]["can_speak"], member["flags"]["can_hear"]) == (False, False)


def test_the_matrix_survives_a_restart(switch, start, connect):
    from tests.support.service import crash

    service = start()
    client = connect(service)
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"customer": ["agent"]})
    legs = {role: in_room(switch, client, role=role)[1] for role in ("customer", "spy")}
    crash(service)
    service = start()
    client = connect(service)
    assert client.ok("room_routing_get", id="r") == {"matrix": {"customer": ["agent"]}}
    client.ok("set_leg_role", leg_id=legs["spy"], role="agent")
    assert kept_apart(switch, service, legs) == set()
    client.ok("set_leg_role", leg_id=legs["spy"], role="spy")
    assert kept_apart(switch, service, legs) == {("customer", "spy")}


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
