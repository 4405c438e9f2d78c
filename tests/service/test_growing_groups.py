"""Two groups of one switch each and two services: a leg of one comes into a room of the other, for which one
service has both switches from then on, until the last leg has left."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.support.drivers import eventually
from tests.support.http import HttpClient
from tests.support.redisserver import RedisServer
from tests.support.tethered import BOTH, LONGEST_S, Site, each_hears_the_other, shipped, told

ROOMS = "rooms r and home are on different switches"
ONE, APART = [["east", "west"]], []


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**more: Any) -> Site:
        made.append(Site(tmp_path, redis_server, "east", "west", groups="one two", hurried=True, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def grown(one: Site) -> list[Any]:
    """What each service that listens says of them."""
    return [service.readyz()["cluster"]["grown_groups"] for service in one.services if service.running]


def together(one: Site, said: list[Any]) -> None:
    """Until each service has read of it: who asks for it is answered before the others have."""
    eventually(lambda: grown(one) == said, "all know of it", LONGEST_S)


def tethered(one: Site, ends: list[int]) -> None:
    eventually(lambda: one.tethers() == ends, f"{ends} ends of tethers", LONGEST_S)


def in_time(client: Any, leg: str) -> None:
    """It joins room r, as soon as that is not refused for the moment."""
    replies: list[dict[str, Any]] = []

    def done() -> bool:
        replies.append(client.reply(client.send("add_leg_to_room", room_id="r", leg_id=leg), timeout=30))
        return replies[-1]["type"] != "error" or replies[-1]["data"]["code"] != 503

    eventually(done, "it is not refused for the moment", LONGEST_S)
    assert replies[-1]["type"] != "error", replies[-1]


def handed_over(one: Site) -> float:
    """How many switches, as all services count."""
    return sum(service.figure("vsi_esl_switches_handed_over_total") for service in one.services)


def parted(one: Site) -> None:
    """Each service has one switch again."""
    eventually(lambda: one.shared_out() and grown(one) == [APART, APART], "they part", LONGEST_S)


def test_a_leg_joins_a_room_of_another_group_and_leaves_it(site):
    one = site()
    first, second = one.owner()
    client, other = one.client(first), one.client(second)
    b, there = one.joined("west", client)
    one.joined("west", client)
    a, here = one.joined("east", client, "home")
    for service in one.services:
        shipped(service)
    placed = client.ok("add_leg_to_room", room_id="r", leg_id=here)
    assert placed["status"] == "moved" and placed["from"] == "home"
    client.event("leg.joined_room", leg_id=here, room_id="r")
    each_hears_the_other(a, b)
    assert second.owned() == BOTH, "the one with more legs has kept its own"
    together(one, [ONE, ONE])
    tethered(one, [1, 1])
    eventually(lambda: told(client, other, leg=here).count("leg.joined_room") == 2, "both were told")
    listed = HttpClient(second.address)("GET", "/switches").body
    assert {entry["name"]: entry["changes_hands_with"] for entry in listed} == {
        "east": ["west"],
        "west": ["east"],
    }
    assert "changes hands with" in second.listed()

    def figures() -> list[float]:
        return [
            sum(service.figure(name) for service in one.services)
            for name in ("vsi_esl_groups_united_total", "vsi_esl_groups_parted_total")
        ]

    eventually(lambda: figures() == [1, 0] and second.figure("vsi_esl_groups_grown") == 1, "it is counted")
    # what is done there from now on needs no service to be asked
    d, further = one.joined("east", client)
    each_hears_the_other(d, b)
    assert second.figure("vsi_esl_groups_united_total") == 0
    client.ok("remove_leg_from_room", room_id="r", leg_id=further)
    client.ok("delete_leg", id=here)
    client.event("leg.disconnected", leg_id=here)
    parted(one)
    eventually(lambda: second.figure("vsi_esl_groups_parted_total") == 1, "it is counted")
    tethered(one, [0, 0])
    assert "room_id" not in client.ok("get_leg", id=further)
    assert client.ok("get_leg", id=there)["room_id"] == "r"
    assert "changes hands with" not in second.listed()


def test_two_legs_join_crosswise_at_once(site):
    one = site()
    first, second = one.owner()
    client, other = one.client(first), one.client(second)
    a, here = one.joined("east", client, "ours")
    _, there = one.joined("west", client, "theirs")
    for service in one.services:
        shipped(service)
    before = handed_over(one)
    asked = client.send("add_leg_to_room", room_id="theirs", leg_id=here)
    also = other.send("add_leg_to_room", room_id="ours", leg_id=there)
    assert [client.reply(asked)["type"], other.reply(also)["type"]] == ["add_leg_to_room.result"] * 2
    a.hears(700, wanted=False)
    c, _ = one.joined("east", client, "theirs")
    each_hears_the_other(a, c)
    together(one, [ONE, ONE])
    eventually(lambda: BOTH in [service.owned() for service in one.services], "one has both")
    eventually(lambda: handed_over(one) > before, "it is counted")
    assert handed_over(one) == before + 1, "one hand-over will do"


def test_rooms_are_bridged_across(site):
    one = site()
    client = one.client(one.owner()[0])
    a, _ = one.joined("east", client, "ours")
    b, _ = one.joined("west", client, "theirs")
    for service in one.services:
        shipped(service)
    client.ok("bridge_create", room_id="ours", peer_room_id="theirs", bridge_id="x")
    each_hears_the_other(a, b)
    together(one, [ONE, ONE])
    client.ok("bridge_delete", room_id="ours", bridge_id="x")
    parted(one)


def test_a_call_is_transferred_to_one_of_another_group(site):
    one = site()
    client = one.client(one.owner()[0])
    _, here = one.joined("east", client, "ours")
    _, there = one.joined("west", client, "theirs")
    for service in one.services:
        shipped(service)
    told = client.ok("leg_transfer", id=here, target="sip:x@127.0.0.1", replaces_leg_id=there)
    assert told["status"] == "transfer_initiated"
    together(one, [ONE, ONE])


def test_one_that_has_both_notes_it_and_they_stay_together_when_the_other_is_back(site):
    one = site()
    first, second = one.owner()
    client = one.client(first)
    b, _ = one.joined("west", client)
    a, here = one.joined("east", client, "home")
    shipped(second)
    second.kill()
    eventually(lambda: first.owned() == BOTH, "it has both", LONGEST_S)
    client.ok("add_leg_to_room", room_id="r", leg_id=here)
    each_hears_the_other(a, b)
    second.start()
    second.listening()
    # the other has the note; were they two, each would have one of them
    eventually(lambda: grown(one) == [ONE, ONE], "it knows of it", LONGEST_S)

    def the_first_has_both() -> bool:
        return bool(second.readyz()["cluster"]["owners"] == dict.fromkeys(BOTH, first.name))

    eventually(the_first_has_both, "it knows who has them", LONGEST_S)
    for _ in range(20):
        assert the_first_has_both()
        gevent.sleep(0.1)
    client.ok("delete_leg", id=here)
    parted(one)


def test_the_owner_of_two_that_are_one_is_killed(site):
    one = site()
    first, second = one.owner()
    client, other = one.client(first), one.client(second)
    b, _ = one.joined("west", client)
    a, here = one.joined("east", client, "home")
    for service in one.services:
        shipped(service)
    client.ok("add_leg_to_room", room_id="r", leg_id=here)
    owner, next_one = (first, second) if first.owned() == BOTH else (second, first)
    later = other if next_one is second else client
    shipped(owner)
    tethered(one, [1, 1])
    owner.kill()
    eventually(lambda: next_one.owned() == BOTH, "the other has both", LONGEST_S)
    eventually(lambda: len(later.ok("get_room", id="r")["participants"]) == 2, "it knows them", LONGEST_S)
    each_hears_the_other(a, b)
    assert one.tethers() == [1, 1]
    together(one, [ONE])
    later.ok("delete_leg", id=here)
    eventually(lambda: grown(one) == [APART], "they part", LONGEST_S)
    assert next_one.owned() == BOTH, "there is nobody else"


def test_who_is_to_hand_over_is_killed_and_the_leg_joins_when_the_other_has_both(site):
    one = site()
    first, second = one.owner()
    client = one.client(first)
    b, _ = one.joined("west", client)
    a, here = one.joined("east", client, "home")
    one.joined("east", client, "home")
    for service in one.services:
        shipped(service)
    second.signal(signal.SIGSTOP)  # it has fewer legs
    asked = client.send("add_leg_to_room", room_id="r", leg_id=here)
    gevent.sleep(0.1)
    second.kill()
    reply = client.reply(asked)
    while reply["type"] == "error":
        assert reply["data"]["code"] == 503
        eventually(lambda: first.owned() == BOTH, "it has both", LONGEST_S)
        reply = client.reply(client.send("add_leg_to_room", room_id="r", leg_id=here))
    each_hears_the_other(a, b)
    together(one, [ONE])


def test_who_is_to_have_both_is_killed_and_the_other_has_them(site, redis_server):
    one = site()
    first, second = one.owner()
    client = one.client(first)
    b, _ = one.joined("west", client)
    one.joined("west", client)
    a, here = one.joined("east", client, "home")
    for service in one.services:
        shipped(service)
    asked = client.send("add_leg_to_room", room_id="r", leg_id=here)

    def noted() -> str:
        """The service that is to have both."""
        return str(redis_server.command("HGET", "vsi:grown", "east west")).rpartition(" ")[2]

    eventually(lambda: noted() == second.name, "it is noted")
    second.kill()
    reply = client.reply(asked, timeout=30)
    if reply["type"] == "error":
        assert reply["data"]["code"] == 503
    eventually(lambda: first.owned() == BOTH, "the other has both", LONGEST_S)
    if reply["type"] == "error":
        in_time(client, here)
    each_hears_the_other(a, b)
    together(one, [ONE])


def test_without_redis_no_groups_become_one(site, redis_server):
    one = site()
    first, second = one.owner()
    client = one.client(first)
    one.joined("west", client)
    _, here = one.joined("east", client, "home")
    shipped(second)
    second.kill()
    eventually(lambda: first.owned() == BOTH, "it has both", LONGEST_S)
    redis_server.stop()
    eventually(lambda: not first.readyz()["cluster"]["redis"]["ready"], "Redis is away", LONGEST_S)
    why = "and without Redis east and west cannot become one group"
    refusal = 503, f"leg {here} is on another switch than room r, {why}"
    assert client.error("add_leg_to_room", room_id="r", leg_id=here) == refusal
    redis_server.start()
    eventually(lambda: first.readyz()["cluster"]["redis"]["ready"], "Redis is back", LONGEST_S)
    in_time(client, here)


def test_they_stay_two_where_one_service_says_so(site):
    one = site(service={"grow_groups": False})
    first, second = one.owner()
    client = one.client(first)
    one.joined("west", client)
    _, here = one.joined("east", client, "home")
    for service in one.services:
        shipped(service)
    why = "east and west are of different groups; they stay so (service.grow_groups)"
    refusal = 501, f"leg {here} is on another switch than room r, and {why}"
    assert client.error("add_leg_to_room", room_id="r", leg_id=here) == refusal
    rooms = refusal[1].replace(f"leg {here} is on another switch than room r", ROOMS)
    assert client.error("bridge_create", room_id="r", peer_room_id="home") == (501, rooms)
    second.kill()
    eventually(lambda: first.owned() == BOTH, "it has both", LONGEST_S)
    assert client.error("add_leg_to_room", room_id="r", leg_id=here) == refusal
