"""Rooms: creating, joining, moving, leaving, deleting."""

from __future__ import annotations

from gevent.event import Event as Signal

from tests.support.calls import answered
from vsi_esl.errors import StorageFailed


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


BEGUN_IN_A_ROOM = {
    "room_stt_start": {"provider": "deepgram"},
    "room_tts": {"text": "hello", "provider": "local"},
    "room_play_start": {"tone": "us_dial"},
    "room_record_start": {},
    "room_agent_pipecat": {"websocket_url": "ws://127.0.0.1:9/bot"},
}


def being_deleted(service, client):
    """A room whose features have their last words, until that is set."""
    begun, go_on = Signal(), Signal()
    service.ctx.moments.room_deleting.subscribe(lambda *_: begun.set() or go_on.wait(10))
    request = client.send("delete_room", id="r")
    assert begun.wait(20)
    return request, go_on


def test_nothing_begins_in_a_room_that_is_being_deleted(switch, start, connect):
    """Its events would come behind the room's last."""
    service = start(providers={"deepgram_key": "k"})
    client, other = connect(service), connect(service)
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.event("leg.joined_room", leg_id=leg)
    request, go_on = being_deleted(service, client)
    for command, payload in BEGUN_IN_A_ROOM.items():
        assert other.error(command, id="r", **payload) == (404, "room not found"), command
    assert other.error("delete_room", id="r") == (404, "room r not found")
    go_on.set()
    assert client.reply(request)["data"] == {"status": "deleted"}
    client.event("leg.disconnected", leg_id=leg)
    assert client.types(room_id="r")[-1] == "room.deleted"


def test_a_room_that_could_not_be_deleted_goes_on(switch, client, service, connect, monkeypatch):
    _, leg = answered(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    request, go_on = being_deleted(service, client)

    def fails(*_, **__):
        raise StorageFailed("storage: no room")

    monkeypatch.setattr(service.ctx.state, "forget_room", fails)
    go_on.set()
    assert client.reply(request)["data"]["code"] == 503
    assert client.ok("room_play_start", id="r", tone="us_dial")["status"] == "playing"
