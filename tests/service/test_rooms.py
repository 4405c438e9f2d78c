"""Rooms: creating, joining, moving, leaving, deleting."""

from __future__ import annotations

from tests.support.calls import answered


def test_an_operator_kick_takes_the_leg_out_of_the_room_only(switch, client, service):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    live = service.ctx.legs.get(leg)
    switch.esl(f"conference {live.channel.conference} kick {live.channel.member_id}")
    client.event("leg.left_room", leg_id=leg, room_id="r")
    assert client.ok("get_leg", id=leg)["state"] == "connected"
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)


def test_a_room_deleted_under_a_joining_leg(switch, client, service, monkeypatch):
    _, leg = answered(switch, client)
    client.ok("create_room", id="r")
    enter = service.ctx.nodes.default.switch.enter

    def delete_then_enter(one, conference, rate):
        if room := service.ctx.rooms.find("r"):
            service.ctx.rooms.remove(room)
        enter(one, conference, rate)

    monkeypatch.setattr(service.ctx.nodes.default.switch, "enter", delete_then_enter, raising=False)
    assert client.error("add_leg_to_room", room_id="r", leg_id=leg) == (400, "room r not found")
    live = service.ctx.legs.get(leg)
    assert (live.channel.conference, live.room_id, live.channel.parked) == ("", "", True)
