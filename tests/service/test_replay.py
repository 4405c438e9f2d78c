"""A client that reconnects with ?since= misses nothing and gets nothing twice."""

from __future__ import annotations

import uuid

import gevent
import pytest
import websocket

from tests.support.calls import answered
from vsi_esl.events.rooms import RoomDeleted


def make_events(service, count: int, app_id: str = "") -> None:
    for number in range(count):
        service.ctx.emit(RoomDeleted(room_id=f"r{number}", app_id=app_id))


def rooms(client) -> list[str]:
    return [event["room_id"] for event in client.events]


def wait_for(client, count: int) -> list[str]:
    """The rooms of the first `count` events."""
    client._wait(lambda: len(client.events) >= count or None, f"{count} events", 15)
    return rooms(client)


def test_missed_events_come_first_and_once(switch, client, service, connect):
    peer, leg = answered(switch, client)
    (connected,) = client.seen("leg.connected")
    last = connected["event_id"]
    watcher = connect(service)
    client.close()
    peer.hang_up()
    watcher.event("leg.disconnected", leg_id=leg)
    again = connect(service, f"?since={last}")
    again.event("leg.disconnected", leg_id=leg)
    again.ok("create_room", id="live")
    again.event("room.created", room_id="live")
    assert again.types() == ["leg.disconnected", "room.created"]
    assert again.first == {"type": "connected"}


def test_events_over_a_restart(switch, client, service, start, connect):
    make_events(service, 1)
    last = client.event("room.deleted")["event_id"]
    make_events(service, 3)
    service.stop()
    second = start()
    make_events(second, 2)
    again = connect(second, f"?since={last}")
    assert wait_for(again, 5) == ["r0", "r1", "r2", "r0", "r1"]
    assert not [frame for frame in again.frames if frame["type"] == "events_dropped"]


def test_what_is_gone_is_counted(start, connect):
    service = start(replay={"max_events": 100})
    client = connect(service)
    make_events(service, 1)
    last = client.event("room.deleted")["event_id"]
    make_events(service, 250)
    again = connect(service, f"?since={last}")
    assert wait_for(again, 100)[0] == "r150"
    assert again.frames[0] == {"type": "events_dropped", "count": 150}


def test_nothing_is_kept_when_so_configured(start, connect):
    service = start(replay={"max_events": 0})
    client = connect(service)
    make_events(service, 1)
    last = client.event("room.deleted")["event_id"]
    make_events(service, 7)
    again = connect(service, f"?since={last}")
    make_events(service, 1)
    assert wait_for(again, 1) == ["r0"]
    assert again.frames[0] == {"type": "events_dropped", "count": 7}


def test_only_the_clients_own_app(client, service, connect):
    make_events(service, 1)
    last = client.event("room.deleted")["event_id"]
    make_events(service, 2, "a")
    make_events(service, 3, "b")
    again = connect(service, f"?app_id=^b$&since={last}")
    assert wait_for(again, 3) == ["r0", "r1", "r2"]
    assert {event["app_id"] for event in again.events} == {"b"}


def test_an_id_of_another_history(client, service, connect):
    """How many are gone cannot be known: at least one is said, and all that is kept follows."""
    make_events(service, 2)
    again = connect(service, f"?since={uuid.uuid4()}")
    assert wait_for(again, 2) == ["r0", "r1"]
    assert again.frames[0] == {"type": "events_dropped", "count": 1}


def test_what_is_no_event_id(service, connect):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        connect(service, "?since=yesterday")
    assert caught.value.status_code == 400
    assert b"invalid since: not an event id" in caught.value.resp_body


def test_events_are_published_while_the_past_is_sent(client, service, connect):
    """No event is lost or doubled where the past meets the present."""
    make_events(service, 1)
    last = client.event("room.deleted")["event_id"]
    make_events(service, 3000)
    again = connect(service, f"?since={last}")
    for _ in range(50):
        make_events(service, 40)
        gevent.sleep(0)
    wait_for(again, 5000)
    ids = [event["event_id"] for event in again.events]
    assert len(ids) == len(set(ids)) == 5000
    assert ids == sorted(ids)


def test_a_reader_that_is_slower_than_the_history_forgets(start, connect):
    service = start(replay={"max_events": 1000})
    client = connect(service)
    make_events(service, 1)
    last = client.event("room.deleted")["event_id"]
    make_events(service, 1000)
    pages_of = service.ctx.history.after
    overtaken = []

    def after(cursor: int):
        page = pages_of(cursor)
        if not overtaken:
            overtaken.append(True)
            make_events(service, 1200)
        return page

    service.ctx.history.after = after
    again = connect(service, f"?since={last}")
    client.close()
    again._wait(lambda: "r1199" in rooms(again)[-1:] or None, "the last event", 15)
    dropped = sum(frame["count"] for frame in again.frames if frame["type"] == "events_dropped")
    assert len(again.events) + dropped == 2200
    assert dropped > 0
