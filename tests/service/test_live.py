"""Live sessions: whom they hear, who hears them, and their ends."""

from __future__ import annotations

import os
from pathlib import Path

import gevent
import pytest

from tests.support.calls import answered, in_room
from tests.support.drivers import eventually
from tests.support.live import Held
from tests.support.service import Scrape
from vsi_esl.errors import Conflict, NotFound, Unavailable
from vsi_esl.live.plan import Hears, Speaks
from vsi_esl.live.sessions import Sessions

CYCLES = 200


@pytest.fixture
def service(start):
    return start(media={"workers": 1})


def listened(switch, client, **call):
    """A caller whose codec can be listened to, answered and in no room."""
    return answered(switch, client, codecs=["PCMU"], **call)


def nothing_left(switch, *legs: str) -> bool:
    """No internal channel of live audio on the switch, and nothing attached to these legs."""
    return not switch.channels("lv-") and not any("lv-" in switch.esl(f"uuid_buglist {leg}") for leg in legs)


def test_a_caller_hears_itself_wherever_it_is(switch, service, client):
    peer, leg = listened(switch, client)
    peer.says(500)
    held = Held(service, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG)
    peer.hears(500)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    client.ok("mute_leg", id=leg)
    peer.hears(500)
    client.ok("remove_leg_from_room", room_id="r", leg_id=leg)
    peer.hears(500)
    assert held.close().reason == "closed"
    peer.hears(500, False)
    eventually(lambda: nothing_left(switch, leg), "nothing is left")
    assert [what for what, _ in held.reports] == ["attached"]


def test_a_leg_is_heard_and_everybody_in_its_room_spoken_to(switch, service, client):
    one, leg = listened(switch, client)
    two, other = listened(switch, client)
    for each in (leg, other):
        client.ok("add_leg_to_room", room_id="r", leg_id=each)
    one.says(500)
    two.says(900)
    client.ok("mute_leg", id=leg)
    two.hears(500, False)
    held = Held(service, leg_id=leg, room_id="r", hears=Hears.LEG, speaks=Speaks.TO_ROOM)
    two.hears(500)
    one.hears(500)
    one.hears(900)
    held.close()
    two.hears(500, False)
    eventually(lambda: nothing_left(switch, leg, other), "nothing is left")


def test_a_room_is_heard_and_spoken_into_from_before_its_first_leg_on(switch, service, client):
    client.ok("create_room", id="r")
    held = Held(service, room_id="r", hears=Hears.ROOM, speaks=Speaks.TO_ROOM).attached()
    one, leg = listened(switch, client)
    client.ok("add_leg_to_room", room_id="r", leg_id=leg)
    one.says(500)
    one.hears(500)
    assert [member["id"] for member in client.ok("get_room", id="r")["participants"]] == [leg]
    one.hang_up()
    assert held.end().reason == "owner"
    client.event("leg.disconnected", leg_id=leg)
    eventually(lambda: nothing_left(switch), "nothing is left")
    assert not [one for one in client.events if one["type"].startswith("speaking")]


def test_a_room_that_is_deleted(switch, service, client):
    _, leg = in_room(switch, client)
    plans = (
        {"room_id": "r", "hears": Hears.ROOM},
        {"room_id": "r", "leg_id": leg, "hears": Hears.LEG, "speaks": Speaks.TO_ROOM},
    )
    held = [Held(service, **plan).attached() for plan in plans]
    told = []
    service.ctx.bus.add_sink(lambda event, *_: told.append((event.type, sum(len(one.ends) for one in held))))
    client.ok("delete_room", id="r")
    assert [one.end().reason for one in held] == ["owner", "owner"]
    client.event("room.deleted")
    assert ("room.deleted", 2) in told
    eventually(lambda: nothing_left(switch), "nothing is left")


def test_what_is_begun_in_a_room_while_it_is_deleted(switch, service, client):
    in_room(switch, client)
    moments, refused = service.ctx.moments, []

    def too_late(ctx, room):
        with pytest.raises(NotFound):
            Held(service, room_id="r", hears=Hears.ROOM)
        refused.append(room.id)

    moments.room_deleting.subscribe(too_late)
    moments.room_deleted.subscribe(too_late)
    client.ok("delete_room", id="r")
    assert refused == ["r", "r"]
    eventually(lambda: nothing_left(switch) and not len(service.ctx.get(Sessions)), "nothing is left")


def test_it_is_closed_before_it_has_begun(switch, service, client):
    _, leg = listened(switch, client)
    held = [
        Held(service, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG),
        Held(service, leg_id=leg, hears=Hears.LEG),
    ]
    for one in held:
        one.session.close()
        one.session.close()
        one.session.tell("anything")
    assert [one.end().reason for one in held] == ["closed", "closed"]
    eventually(lambda: nothing_left(switch, leg), "nothing is left")
    gevent.sleep(0)
    assert [len(one.ends) for one in held] == [1, 1]


def test_what_cannot_be_begun(switch, start, connect):
    service = start(media={"workers": 1, "max_sessions": 1})
    client = connect(service)
    switch.call()
    ringing = client.event("leg.ringing")["leg_id"]
    with pytest.raises(Conflict):
        Held(service, leg_id=ringing, hears=Hears.LEG)
    with pytest.raises(NotFound):
        Held(service, leg_id="nobody", hears=Hears.LEG)
    with pytest.raises(NotFound):
        Held(service, room_id="nowhere", hears=Hears.ROOM)
    assert not service.ctx.get(Sessions).pool.workers, "no worker for that"
    client.ok("answer_leg", id=ringing)
    client.event("leg.connected")
    with pytest.raises(TypeError):
        Held(service, leg_id=ringing, hears=Hears.LEG, parameters={"beyond JSON": 1 << 64})
    held = Held(service, leg_id=ringing, hears=Hears.LEG).attached()
    with pytest.raises(Unavailable):
        Held(service, leg_id=ringing, hears=Hears.LEG)
    scrape = Scrape(service)
    assert scrape.value("vsi_esl_live_sessions", kind="test", provider="") == 1
    assert scrape.value("vsi_esl_live_sessions_refused_total") == 1
    assert scrape.value("vsi_esl_media_workers") == 1
    held.close()
    ended = {"kind": "test", "reason": "closed"}
    eventually(
        lambda: Scrape(service).value("vsi_esl_live_sessions_ended_total", **ended) == 1, "it is counted"
    )


def test_the_service_is_stopped(switch, start, connect):
    """Nothing of its sessions is left on the switch, and the call goes on."""
    service = start(media={"workers": 1})
    client = connect(service)
    _, leg = listened(switch, client)
    held = Held(service, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG).attached()
    worker = service.ctx.get(Sessions).pool.workers[0]
    service.stop()
    assert [end.reason for end in held.ends] == ["closed"]
    eventually(lambda: not Path(f"/proc/{worker.pid}").exists(), "its worker is gone")
    eventually(lambda: nothing_left(switch, leg), "nothing is left")
    assert switch.esl(f"uuid_exists {leg}").strip() == "true"


def test_many_one_after_the_other_leave_nothing(switch, service, client):
    """Closed at once, while they are being attached, and when they are."""
    _, leg = listened(switch, client)
    sessions = service.ctx.get(Sessions)
    Held(service, leg_id=leg, hears=Hears.LEG, speaks=Speaks.TO_LEG).attached().close()
    eventually(lambda: nothing_left(switch, leg), "nothing is left")
    eventually(lambda: not len(sessions) and not sessions.pool.workers[0].sessions, "it is over")
    worker = sessions.pool.workers[0].pid

    def descriptors() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (os.getpid(), worker)]

    before = descriptors()
    for number in range(CYCLES):
        speaks = Speaks.TO_LEG if number % 2 else Speaks.TO_NOBODY
        held = Held(service, leg_id=leg, hears=Hears.LEG, speaks=speaks)
        if number % 4 == 1:
            gevent.sleep(number / CYCLES * 0.04)
        elif number % 4 > 1:
            held.attached()
        assert held.close().reason == "closed"
    eventually(lambda: nothing_left(switch, leg), "nothing is left")
    eventually(lambda: not service.ctx.state.items("live"), "all forks are forgotten")
    eventually(lambda: not len(sessions) and not sessions.pool.workers[0].sessions, "all are over")
    assert not sessions.pool.restarts
    eventually(lambda: descriptors() == before, f"as many descriptors as before: {before}")
    bond = service.ctx.nodes.default.bond  # there when a leg has been in a room
    assert set(switch.channels()) - {bond} == {leg}


@pytest.mark.parametrize("spare", [0, 1])
def test_a_worker_is_ready_before_the_first_session(start, spare):
    service = start(media={"spare_worker": bool(spare)})
    assert len(service.ctx.get(Sessions).pool) == spare
