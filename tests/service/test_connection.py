"""The VSI connection itself: frames, filters, limits, closing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import gevent
import pytest
import websocket

from tests.support.drivers import eventually
from tests.support.http import HttpClient
from vsi_esl.events.rooms import RoomCreated
from vsi_esl.web.replay import EventStream


def address(service) -> str:
    return f"127.0.0.1:{service.http.server.server_port}"


def test_protocol_commands_that_are_not_there_yet_say_so_by_name(client):
    assert client.error("get_sip_trunk") == (501, "get_sip_trunk is not implemented by this server")


def test_shutdown_closes_with_1001(client, service):
    service.stop()
    assert client.closed.wait(20)
    assert client.close_code == 1001


def test_a_frame_over_the_limit_closes_with_1009(start, connect):
    client = connect(start(vsi={"max_frame_bytes": 2000}))
    client.ws.send(json.dumps({"type": "get_leg", "payload": {"id": "x" * 1900}}))
    client.frame("error")
    client.ws.send("x" * 2001)
    assert client.closed.wait(20)
    assert client.close_code == 1009


def test_ping_counts_from_one_with_both_names(start, connect):
    client = connect(start(vsi={"ping_interval": 0.05}))
    client.frame("ping")
    eventually(lambda: sum(f["type"] == "ping" for f in client.frames) >= 2, "two pings")
    pings = [frame for frame in client.frames if frame["type"] == "ping"]
    assert pings[0] == {"event_id": 1, "seq": 1, "type": "ping"}
    assert pings[1]["seq"] == 2


def flood(service, count: int) -> None:
    """Publish large events, giving the writers a turn after each."""
    for number in range(count):
        service.ctx.bus.publish(RoomCreated(room_id=f"flood-{number}", app_id="x" * 20_000))
        gevent.sleep(0)


def test_a_client_that_does_not_read_loses_events_and_is_told_how_many(start, connect):
    service = start(vsi={"event_buffer_size": 16, "write_timeout": 60})
    slow = connect(service)
    slow._reader.kill()  # reads nothing from here on
    subscription = service.ctx.bus._subscriptions[0]
    published = 0
    while subscription.dropped_total < 50:
        flood(service, 100)
        published += 100
        assert published < 50_000
    slow.ws.settimeout(20)
    received = told = 0
    last = RoomCreated(room_id="last")
    while received + told < published:
        frame = json.loads(slow.ws.recv())
        if frame["type"] == "events_dropped":
            assert set(frame) == {"count", "type"}
            told += frame["count"]
            assert received < published - told + 1  # told before what was queued behind the gap
        else:
            received += 1
        if len(subscription) == 0 and last is not None:
            # the loss is only told together with a later event
            service.ctx.bus.publish(last)
            last, published = None, published + 1
    assert told == subscription.dropped_total


def test_a_client_that_cannot_be_told_any_more_is_disconnected(service, client, monkeypatch, log):
    def fail(*_: object) -> list[bytes]:
        raise ValueError("a fault")

    monkeypatch.setattr(EventStream, "take", fail)
    service.ctx.emit(RoomCreated(room_id="a"))  # what it waits for
    service.ctx.emit(RoomCreated(room_id="b"))
    assert client.closed.wait(20)
    assert client.close_code == 1011
    assert len(log.named("events not sent to a client")) == 1


def test_a_client_that_never_reads_is_disconnected(start, connect):
    service = start(vsi={"event_buffer_size": 16, "write_timeout": 0.2})
    slow = connect(service)
    slow._reader.kill()
    rounds = 0
    while service.http.clients:
        flood(service, 100)
        rounds += 1
        assert rounds < 500


def test_a_slow_command_delays_no_other_connection(service, connect, monkeypatch):
    slow, quick = connect(service), connect(service)
    release = gevent.event.Event()
    monkeypatch.setattr(service.ctx.legs, "get", lambda leg_id: release.wait(10) and None)
    number = slow.send("get_leg", id="x")
    quick.ok("create_room", id="meanwhile")
    slow.event("room.created")
    assert number not in slow.replies
    release.set()
    slow.reply(number)


def test_too_many_clients_are_turned_away(start, connect):
    service = start(vsi={"max_clients": 1})
    connect(service)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(service)
    assert refused.value.status_code == 503


@pytest.mark.own_switch  # FreeSWITCH keeps a module that a test before had in use (docs/differences.md)
def test_readiness_names_modules_that_are_lacking(service, switch, log):
    ask = HttpClient(address(service))
    assert "missing_modules" not in ask("GET", "/readyz").body["switch"]
    assert switch.esl("unload mod_sndfile").startswith("+OK")
    eventually(lambda: "missing_modules" in ask("GET", "/readyz").body["switch"], "it is noticed")
    assert ask("GET", "/readyz").body["switch"]["missing_modules"] == ["mod_sndfile"]
    assert ask("GET", "/readyz").status == 200
    (line,) = log.named("modules not loaded on the switch")
    assert line["needed_for"] == {"mod_sndfile": "playback and recordings"}
    assert switch.esl("load mod_sndfile").startswith("+OK")
    eventually(lambda: "missing_modules" not in ask("GET", "/readyz").body["switch"], "it is back")


def test_readiness_follows_the_switch(service, switch):
    with urllib.request.urlopen(f"http://{address(service)}/readyz", timeout=20) as answer:
        assert json.load(answer)["status"] == "ready"
    with urllib.request.urlopen(f"http://{address(service)}/healthz", timeout=20) as answer:
        assert json.load(answer)["status"] == "ok"
    service.ctx.draining = True
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{address(service)}/readyz", timeout=20)
    assert refused.value.code == 503
    refused.value.close()


def test_a_frame_whose_type_is_none_is_refused_under_its_request_id(client):
    client.ws.send('{"type":["list_legs"],"request_id":"7"}')
    assert client.reply("7")["data"] == {"code": 400, "message": "invalid JSON"}


def test_payload_rules(client):
    assert client.error("get_leg") == (404, "leg not found")
    assert client.error("get_leg", id=None) == (404, "leg not found")
    assert client.error("get_leg", id=5) == (400, "invalid payload: id: must be a string")
    assert client.error("create_room", sample_rate="8000")[0] == 400
    assert client.error("create_room", sample_rate=8000.0)[0] == 400
    assert client.error("create_room", sample_rate=True)[0] == 400
    client.ws.send('{"type":"get_leg","request_id":"p","payload":[1]}')
    assert client.reply("p")["data"] == {"code": 400, "message": "invalid payload: must be an object"}
    client.ws.send('{"TYPE":"create_room","Request_ID":"c","PayLoad":{"ID":"case","id":"exact","x":1}}')
    assert client.reply("c")["data"]["id"] == "exact"


def test_stop_closes_with_1000(client):
    client.ws.send('{"type":"stop"}')
    assert client.closed.wait(20)
    assert client.close_code == 1000
