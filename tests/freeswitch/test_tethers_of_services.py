"""Two real switches with tethers between them, and two services: the one that has them is killed under calls
over tethers, and the other has both, the calls between them, and who hears whom. As two groups each service
has one of them, until a leg of one joins a room of the other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.drivers import eventually
from tests.support.freeswitch import PrivateSwitch
from tests.support.hearing import hears, in_room
from tests.support.redisserver import RedisServer
from tests.support.services import REAL_TIMES, OneOfSeveral
from tests.support.sipua import UserAgent
from vsi_esl.switch.lines import fence

BOTH = {"east", "west"}
LONGEST_S = 60.0


@pytest.fixture
def switches(tmp_path: Path) -> Iterator[dict[str, PrivateSwitch]]:
    found = {name: PrivateSwitch(tmp_path / f"fs-{name}", tether=True) for name in sorted(BOTH)}
    try:
        for one in found.values():
            one.start()
        yield found
    finally:
        for one in found.values():
            one.kill9()  # it takes its time to end
            one.stop()


@pytest.fixture
def begin(
    switches: dict[str, PrivateSwitch], redis_server: RedisServer, tmp_path: Path
) -> Iterator[Callable[..., list[OneOfSeveral]]]:
    """Start services a and b, with these groups of the switches."""
    made: list[OneOfSeveral] = []

    def start(**groups: str) -> list[OneOfSeveral]:
        at = {
            name: SimpleNamespace(host="127.0.0.1", port=one.esl_port, password=one.password)
            for name, one in switches.items()
        }
        entries = {name: {"tether": f"127.0.0.1:{one.tether_port}"} for name, one in switches.items()}
        for name, group in groups.items():
            entries[name]["group"] = group
        made.extend(
            OneOfSeveral(name, tmp_path, redis_server, at, hurried=not REAL_TIMES, entries=entries)
            for name in ("a", "b")
        )
        return [one.listening() for one in made]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def services(begin: Callable[..., list[OneOfSeveral]]) -> tuple[OneOfSeveral, OneOfSeveral]:
    """The first by name, which has both, and the other."""
    first, second = begin()
    eventually(lambda: first.owned() == BOTH and not second.owned(), "the first has both", LONGEST_S)
    return first, second


@pytest.fixture
def agents(switches: dict[str, PrivateSwitch]) -> Iterator[dict[str, UserAgent]]:
    found = {name: UserAgent(("127.0.0.1", one.sip_port)) for name, one in switches.items()}
    yield found
    for agent in found.values():
        agent.stop()


def ends(switch: PrivateSwitch) -> list[str]:
    """The ends of calls between switches that there are."""
    return sorted(re.findall(r'"uuid":"(te-[0-9a-f]+)"', switch.api("show channels as json")))


def test_the_owner_is_killed_and_the_other_has_both_and_the_calls_between_them(switches, services, agents):
    owner, taker = services
    client, other = owner.connect(), taker.connect()
    client.ok("create_room", id="r")
    client.ok("room_routing_set", room_id="r", matrix={"guest": ["host"], "host": ["guest"]})
    b, there = in_room(client, agents["west"], 700, role="host")
    a, here = in_room(client, agents["east"], 440, role="guest")
    c, second = in_room(client, agents["east"], 1000, role="guest")
    far, _ = in_room(client, agents["east"], 1300, room="mine")
    client.ok("bridge_create", room_id="mine", peer_room_id="r", bridge_id="x")
    client.ok("leg_record_start", id=here)
    client.event("recording.started")
    hears(b, 440)
    hears(a, 700)
    hears(a, 1000, False)
    before = [ends(one) for one in switches.values()]
    assert [len(one) for one in before] == [3, 3]
    eventually(lambda: not owner.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)
    client.close()
    began = time.monotonic()
    owner.kill()
    hears(b, 440)  # the audio goes on while nobody has them
    eventually(lambda: taker.owned() == BOTH, "the other has both", LONGEST_S)
    seconds = time.monotonic() - began
    print(f"both switches were had again after {seconds:.1f} s")
    assert {fence.read(one.api(fence.SHOWN)).service for one in switches.values()} == {taker.name}
    eventually(lambda: len(other.ok("get_room", id="r")["participants"]) == 3, "it knows them", LONGEST_S)
    hears(b, 440)
    hears(b, 1000)
    hears(a, 700)
    hears(a, 1000, False)
    hears(c, 440, False)
    assert [ends(one) for one in switches.values()] == before
    other.ok("mute_leg", id=second)
    hears(b, 1000, False)
    other.ok("set_leg_role", leg_id=here, role="host")  # by the matrix that came from the other service
    hears(c, 440)
    assert other.ok("leg_record_stop", id=here)["file"]
    assert other.event("recording.finished", leg_id=here)["file"]
    other.ok("bridge_delete", room_id="mine", bridge_id="x")
    eventually(lambda: [len(ends(one)) for one in switches.values()] == [2, 2], "its call is over", LONGEST_S)
    for id in ends(switches["east"]):  # what ends is made anew by the one that has both now
        switches["east"].api(f"uuid_kill {id}")
    hears(c, 700)
    hears(a, 1300, False)
    left = {one["leg_id"] for one in other.events if one["type"] == "leg.left_room"}
    assert not left & {here, there, second}
    a.bye()
    assert other.event("leg.disconnected", leg_id=here)["cdr"]["reason"] == "remote_bye"
    for call in (b, c, far):
        call.bye()
    eventually(lambda: all(ends(one) == [] for one in switches.values()), "nothing is left", LONGEST_S)
    other.close()


def test_a_leg_joins_a_room_of_another_group_for_which_one_service_has_both(switches, begin, agents):
    both = begin(east="one", west="two")
    eventually(lambda: [len(one.owned()) for one in both] == [1, 1], "each has one", LONGEST_S)
    client, other = (one.connect() for one in both)
    b, there = in_room(client, agents["west"], 700)
    c, _ = in_room(client, agents["west"], 1000)
    a, here = in_room(client, agents["east"], 440, room="mine")
    eventually(lambda: not any(one.figure("vsi_esl_state_unshipped") for one in both), "in Redis", LONGEST_S)
    began = time.monotonic()
    client.ok("add_leg_to_room", room_id="r", leg_id=here)
    print(f"the leg was in the room after {time.monotonic() - began:.1f} s")
    hears(a, 700)
    hears(a, 1000)
    hears(b, 440)
    assert [len(ends(one)) for one in switches.values()] == [1, 1]
    assert BOTH in [one.owned() for one in both] and set() in [one.owned() for one in both]
    owner, next_one = sorted(both, key=lambda one: len(one.owned()), reverse=True)
    told = other if next_one is both[1] else client
    eventually(lambda: not owner.figure("vsi_esl_state_unshipped"), "all is in Redis", LONGEST_S)
    owner.stop()  # they change hands as one, with the call between them
    eventually(lambda: next_one.owned() == BOTH, "the other has both", LONGEST_S)
    hears(a, 700)
    hears(b, 440)
    assert [len(ends(one)) for one in switches.values()] == [1, 1]
    owner.start()
    owner.listening()
    told.ok("add_leg_to_room", room_id="mine", leg_id=here)
    eventually(
        lambda: all(ends(one) == [] for one in switches.values()), "no call is between them", LONGEST_S
    )
    hears(a, 700, False)
    eventually(lambda: [len(one.owned()) for one in both] == [1, 1], "they part", LONGEST_S)
    eventually(
        lambda: [one.readyz()["cluster"]["grown_groups"] for one in both] == [[], []], "both know", LONGEST_S
    )
    assert told.ok("get_leg", id=here)["room_id"] == "mine" and told.ok("get_leg", id=there)["room_id"] == "r"
    for call in (a, b, c):
        call.bye()
    client.close(), other.close()
