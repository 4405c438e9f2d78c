"""Two services on one Redis with two real switches: a client of either sees and commands the calls of both,
also when one of them is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import in_room
from tests.support.redisserver import RedisServer
from tests.support.services import OneOfSeveral
from tests.support.sipua import UserAgent
from tests.support.vsi import VsiClient
from tests.support.waiting import eventually

LONGEST_S = 60.0


def views(client: VsiClient) -> dict[str, str]:
    """Leg -> its room, as a client is shown them."""
    return {leg["id"]: leg.get("room_id", "") for leg in client.ok("list_legs")}


@pytest.fixture
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSwitch]:
    switch = PrivateSwitch(tmp_path_factory.mktemp("second"))
    switch.start()
    yield switch
    switch.stop()


def test_calls_of_two_switches_by_two_services_of_which_one_is_killed(
    redis_server: RedisServer, switch: PrivateSwitch, second: PrivateSwitch, tmp_path: Path, agent: UserAgent
):
    both = {
        name: SimpleNamespace(host="127.0.0.1", port=one.esl_port, password=one.password)
        for name, one in (("east", switch), ("west", second))
    }
    services = [OneOfSeveral(name, tmp_path, redis_server, both) for name in ("a", "b")]
    caller = UserAgent(("127.0.0.1", second.sip_port))
    clients = []
    try:
        for one in services:
            one.listening()
        eventually(lambda: all(len(one.owned()) == 1 for one in services), "each has one switch", LONGEST_S)
        clients = [one.connect() for one in services]
        client, other = clients
        here, first = in_room(client, agent, 440)
        there, last = in_room(client, caller, 700, room="elsewhere")
        for one in clients:
            eventually(lambda one=one: views(one).keys() == {first, last}, "the calls of both")
            assert one.ok("leg_play_start", id=first, tone="busy")["status"] == "playing"
            one.ok("leg_play_start", id=last, tone="busy")
        for one in clients:
            eventually(lambda one=one: one.types().count("playback.started") == 4, "all is told")
        assert {one["event_id"] for one in client.events} == {one["event_id"] for one in other.events}
        assert client.error("add_leg_to_room", room_id="r", leg_id=last)[0] == 501
        seen = client.events[-1]["event_id"]
        services[0].kill()
        eventually(lambda: services[1].owned() == {"east", "west"}, "the other has both", LONGEST_S)
        again = services[1].connect(since=seen)
        clients.append(again)
        eventually(lambda: views(again) == {first: "r", last: "elsewhere"}, "the calls of both")
        assert not here.ended and not there.ended
        for leg in (first, last):
            again.ok("delete_leg", id=leg)
            again.event("leg.disconnected", leg_id=leg)
        hung_up = [one["leg_id"] for one in again.events if one["type"] == "leg.disconnected"]
        assert sorted(hung_up) == sorted((first, last))
        assert not again.seen("leg.ringing")
    finally:
        for one in clients:
            one.close()
        for one in services:
            one.close()
        caller.stop()
