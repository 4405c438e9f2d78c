"""Two switches with tethers between them and two services: whoever has one has the other, and finds the calls
between them again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.drivers import eventually
from tests.support.redisserver import RedisServer
from tests.support.tethered import BOTH, LONGEST_S, Site, each_hears_the_other, shipped, told
from vsi_esl.switch.lines import fence


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(*switches: str, **more: Any) -> Site:
        made.append(Site(tmp_path, redis_server, *(switches or ("east", "west")), **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_owner_is_killed_and_the_next_one_has_both_switches_and_the_calls_between(site):
    one = site("east", "west", "lone")
    owner, taker = one.owner()
    assert owner.owned() == BOTH and taker.owned() == {"lone"}
    client, later = one.client(owner), one.client(taker)
    b, there = one.joined("west", client)
    a, here = one.joined("east", client)
    c, muted = one.joined("east", client, mute=True)
    each_hears_the_other(a, b)
    assert one.tethers() == [2, 2]
    before = sorted(one.switches["east"].channels("te-"))
    shipped(owner)
    owner.kill()
    eventually(lambda: taker.owned() >= BOTH, "the other has both", LONGEST_S)
    shown = [fence.read(one.switches[name].switch.globals[fence.VARIABLE]) for name in BOTH]
    assert {found.service for found in shown if found} == {taker.name}
    eventually(lambda: len(later.ok("get_room", id="r")["participants"]) == 3, "it knows them", LONGEST_S)
    each_hears_the_other(a, b)
    c.says(1000)
    b.hears(1000, wanted=False)
    later.ok("unmute_leg", id=muted)
    b.hears(1000)
    assert sorted(one.switches["east"].channels("te-")) == before
    for leg in (there, here):
        assert told(client, later, leg=leg) == ["leg.ringing", "leg.connected", "leg.joined_room"]
    # what is done from now on is done by the tethers that were found
    later.ok("add_leg_to_room", room_id="home", leg_id=here)
    later.event("leg.joined_room", leg_id=here, room_id="home")
    eventually(lambda: one.tethers() == [1, 1], "one of them is over")
    later.ok("add_leg_to_room", room_id="r", leg_id=here)
    later.event("leg.joined_room", leg_id=here, room_id="r")
    each_hears_the_other(a, b)


def test_both_are_handed_over_together_and_come_back(site):
    one = site()
    owner, other = one.owner()
    client, later = one.client(owner), one.client(other)
    b, _ = one.joined("west", client)
    a, here = one.joined("east", client)
    client.ok("create_room", id="far")
    d, far = one.joined("west", client, "far")
    client.ok("bridge_create", room_id="r", peer_room_id="far", bridge_id="x")
    before = one.tethers()
    owner.stop()
    eventually(lambda: other.owned() == BOTH, "the other has both", LONGEST_S)
    eventually(lambda: len(later.ok("get_room", id="r")["participants"]) == 2, "it knows them", LONGEST_S)
    each_hears_the_other(a, b)
    assert one.tethers() == before
    assert told(client, later, leg=here) == ["leg.ringing", "leg.connected", "leg.joined_room"]
    eventually(
        lambda: all(other.heard("switch taken", switch=name, handed_over=True) for name in BOTH), "at once"
    )
    owner.start()
    owner.listening()
    one.owner()
    assert one.tethers() == before
    later.ok("add_leg_to_room", room_id="r", leg_id=far)
    later.event("leg.joined_room", leg_id=far, room_id="r")
    d.says(1000)
    a.hears(1000)


def test_a_service_that_stood_still_lets_go_of_both(site):
    one = site()
    owner, other = one.owner()
    client, later = one.client(owner), one.client(other)
    b, _ = one.joined("west", client)
    a, here = one.joined("east", client)
    shipped(owner)
    owner.signal(signal.SIGSTOP)
    try:
        eventually(lambda: other.owned() == BOTH, "the other has both", LONGEST_S)
        each_hears_the_other(a, b)
    finally:
        owner.signal(signal.SIGCONT)
    lost = "switch is another service's now"
    eventually(lambda: all(owner.heard(lost, switch=name) for name in BOTH), "it has let go", LONGEST_S)
    each_hears_the_other(a, b)
    assert one.tethers() == [1, 1]
    assert told(client, later, leg=here) == ["leg.ringing", "leg.connected", "leg.joined_room"]
    one.owner()  # which is there again, and has its share
    later.ok("delete_leg", id=here)
    later.event("leg.disconnected", leg_id=here)
    eventually(lambda: one.tethers() == [0, 0], "nothing is left")


def test_one_that_is_out_of_reach_holds_up_nothing(site):
    one = site()
    owner, other = one.owner()
    client, later = one.client(owner), one.client(other)
    b, there = one.joined("west", client)
    a, here = one.joined("east", client)
    _, home = one.joined("east", client, "home")
    shipped(owner)
    one.switches["west"].freeze()
    try:
        owner.kill()
        eventually(lambda: "east" in other.owned(), "the other has what there is", LONGEST_S)
        eventually(lambda: later.ok("get_leg", id=home)["room_id"] == "home", "it knows it", LONGEST_S)
        later.ok("mute_leg", id=home)
        # of what cannot be asked the state tells
        assert later.ok("get_leg", id=here)["room_id"] == "r"
        both_its_own = dict.fromkeys(BOTH, other.name)
        eventually(
            lambda: other.readyz()["cluster"]["owners"] == both_its_own, "it is to have both", LONGEST_S
        )
    finally:
        one.switches["west"].thaw()
    eventually(lambda: other.owned() == BOTH, "the other has both", LONGEST_S)
    eventually(lambda: len(later.ok("get_room", id="r")["participants"]) == 2, "and knows it", LONGEST_S)
    each_hears_the_other(a, b)
    assert one.tethers() == [1, 1]
    for leg in (here, there):
        assert told(client, later, leg=leg) == ["leg.ringing", "leg.connected", "leg.joined_room"]
