"""Groups that are one for a while: noted, had by one, handed over in one, and two again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.owners import One, told
from vsi_esl.cluster.connection import RedisUnavailable
from vsi_esl.cluster.leases import Peer
from vsi_esl.errors import NotSupported, Unavailable
from vsi_esl.ownership import groups, growing
from vsi_esl.ownership.shares import evens_out

EAST, WEST, NORTH = ("east-1", "east-2"), ("west",), ("north",)
ALL = (EAST, WEST, NORTH)
WHAT = "leg L is on another switch than room R"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "LOOK_S", 0.0)


@pytest.fixture
def two(service: Any) -> tuple[One, One]:
    """A has east and north, b has west."""
    a, b = service("a", *ALL), service("b", *ALL)
    for one in (a, b):
        one.book.turn(one.ownership.switches, {}, told(one))
    b.book.take({"west": 0})
    a.tick(), b.tick(), a.tick()
    assert (a.has(), b.has()) == ({*EAST, "north"}, {"west"})
    return a, b


def united(one: One) -> list[Any]:
    return [list(unit) for unit in one.ownership.groups.grown]


def test_the_service_that_is_noted_has_both_whoever_notes_it(two):
    a, b = two
    b.ownership.growing.unite("east-2", "west", WHAT, "b")
    a.tick()  # reads it, and hands over
    assert a.has() == {"north"} and ("hand over", *EAST) in a.hands.done
    b.tick()
    assert b.has() == {*EAST, "west"} and a.has() == {"north"}
    assert [turn._quiet for turn in (b.ownership._turns[one] for one in EAST)] == [True, True]
    assert united(a) == united(b) == [[*EAST, "west"]]
    # each has its share: one that has grown counts as one
    for _ in range(3):
        a.tick(), b.tick()
    assert (a.has(), b.has()) == ({"north"}, {*EAST, "west"})


def test_the_first_who_notes_it_says_who_has_both(two):
    a, b = two
    a.ownership.growing.unite("east-1", "west", WHAT, "a")
    b.ownership.growing.unite("west", "east-1", WHAT, "b")
    b.tick(), a.tick(), b.tick()
    assert a.has() == {*EAST, "west", "north"} and b.has() == set()
    assert [one.ownership.groups.united for one in two] == [1, 0]
    assert len([done for done in a.hands.done + b.hands.done if done[0] == "hand over"]) == 1


def test_a_chain_of_them_has_one_keeper_for_all_who_look(two):
    a, b = two
    a.ownership.growing.unite("east-1", "west", WHAT, "b")
    b.ownership.growing.unite("west", "north", WHAT, "a")
    for _ in range(3):
        a.tick(), b.tick()
    assert b.has() == {*EAST, "west", "north"} and a.has() == set(), "the older note counts"
    assert united(a) == united(b) == [[*sorted((*EAST, "north", "west"))]]


def test_they_part_when_nothing_is_between_them(two, monkeypatch):
    monkeypatch.setattr(groups, "QUIET_S", 0.0)
    a, b = two
    b.hands.used = [("east-2", "west")]
    b.ownership.growing.unite("east-1", "west", WHAT)
    a.tick(), b.tick(), b.tick(), b.tick()
    assert united(b) == [[*EAST, "west"]], "there is something"
    b.hands.used = []
    b.hands.unknown = {"east-2"}
    b.tick(), b.tick()
    assert united(b) == [[*EAST, "west"]], "the calls on one of them are not known"
    b.hands.unknown = set()
    b.tick()
    assert united(b) == [] and b.ownership.groups.parted == 1
    a.tick()
    assert united(a) == []


def test_they_part_only_after_a_while(two):
    a, b = two
    b.ownership.growing.unite("east-1", "west", WHAT)
    a.tick(), b.tick(), b.tick(), b.tick()
    assert united(b) == [[*EAST, "west"]]


def test_what_begins_while_a_note_is_taken_back_notes_it_anew(two, monkeypatch):
    a, b = two
    b.ownership.growing.unite("east-1", "west", WHAT)
    a.tick(), b.tick()
    monkeypatch.setattr(groups, "QUIET_S", 0.0)
    part = b.book.part
    seen = []

    def meanwhile(pair: str, note: str) -> bool:
        seen.append(b.ownership.groups.together("east-1", "west"))
        return part(pair, note)

    monkeypatch.setattr(b.book, "part", meanwhile)
    b.tick(), b.tick()
    assert seen == [False], "it is not relied on any more"
    b.ownership.growing.unite("east-1", "west", WHAT)
    assert b.ownership.groups.together("east-1", "west")
    b.ownership.groups.seen({}, 0.0)
    assert united(b) == [[*EAST, "west"]], "by a look that was begun before"


def test_a_note_that_redis_has_lost_is_made_anew_while_it_is_needed(two):
    a, b = two
    b.ownership.growing.unite("east-1", "west", WHAT)
    b.hands.used = [("west", "east-1")]
    a.tick(), b.tick()
    b.redis.command("DEL", b.redis.key("grown"))
    b.tick()
    a.tick()
    assert united(a) == united(b) == [[*EAST, "west"]]


def test_a_note_that_brings_nobody_together_is_taken_back(two, monkeypatch):
    monkeypatch.setattr(groups, "SPLIT_S", 0.0)
    a, b = two
    a.hands.shipped = lambda switches: False  # so that it cannot hand over
    b.ownership.growing.unite("east-1", "west", WHAT)
    a.tick(), b.tick()
    assert united(b) == [] and a.has() == {*EAST, "north"}


def test_what_an_older_service_has_is_two_again_for_all(two):
    """It takes and hands over each for itself, and would wait for ever that somebody takes one of them."""
    a, b = two
    b.ownership.growing.unite("east-1", "west", WHAT, "b")
    a.tick(), b.tick()
    assert b.has() == {*EAST, "west"}
    leases = {one: turn.fence.number for one, turn in b.ownership._turns.items()}
    b.book.turn(b.ownership.switches, leases, told(b, grows=None))
    a.tick()
    assert united(a) == [] and a.ownership.groups.parted == 1


def test_one_that_lets_no_groups_grow_keeps_those_that_have(two):
    a, b = two
    b.ownership.growing.unite("east-1", "west", WHAT, "b")
    b.ownership.growing.allowed = False
    b.tick(), a.tick(), b.tick(), a.tick()
    assert b.has() == {*EAST, "west"} and united(a) == [[*EAST, "west"]]


def test_a_hand_over_is_given_up_when_what_it_is_of_has_grown(two):
    a, _ = two
    a.ownership.growing.unite("east-1", "north", WHAT, "a")
    a.ownership._hand_over(NORTH)
    assert a.has() == {*EAST, "north"} and not any(done[0] == "hand over" for done in a.hands.done)


def test_nothing_is_handed_over_to_one_that_leaves(two):
    a, b = two
    b.ownership.growing.unite("east-1", "west", WHAT, "b")
    b.book.turn(b.ownership.switches, {"west": b.hands.fences["west"]}, told(b, leaving=True))
    a.tick()
    assert a.has() == {*EAST, "north"}


def test_who_is_to_have_both_is_gone_and_the_other_has_them(two):
    a, b = two
    b.ownership.growing.unite("east-1", "west", WHAT, "b")
    a.tick()
    assert a.has() == {"north"}
    for key in (b.redis.key("lease", "west"), b.redis.key("service", "b")):
        b.redis.command("DEL", key)
    a.ownership._pauses._cool.clear()
    a.tick()
    assert a.has() == {*EAST, "west", "north"}


def test_after_a_restart_without_redis_they_are_one_still(service, switches):
    a = service("a", *ALL)
    a.tick()
    a.ownership.growing.unite("east-1", "west", WHAT)
    again = service("a", *ALL)
    assert united(again) == []
    remembered = a.hands.remembered_groups
    fresh = groups.Groups(again.book, ALL, remembered, lambda text: None)
    assert fresh.grown == [("east-1", "east-2", "west")]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"grows": None}, "service b is of a version in which groups do not become one"),
        ({"grows": False}, "service b lets them stay so (service.grow_groups)"),
        ({"group": "x"}, "service b has other groups in its settings"),
    ],
)
def test_one_that_would_not_know_of_it_is_named(service, more, why):
    a, b = service("a", *ALL), service("b", *ALL)
    b.book.turn(b.ownership.switches, {}, told(b, **more))
    a.tick()
    with pytest.raises(NotSupported) as refused:
        a.ownership.growing.unite("west", "east-1", WHAT)
    assert refused.value.message == f"{WHAT}, and east-1 and west are of different groups; {why}"


def test_without_redis_they_stay_two_and_those_that_are_one_stay_one(two, monkeypatch):
    a, _ = two

    def away(*words: Any) -> Any:
        raise RedisUnavailable("redis: gone")

    a.ownership.growing.unite("east-1", "north", WHAT)
    monkeypatch.setattr(a.book, "grow", away)
    a.ownership.growing.unite("east-2", "north", WHAT)
    a.ownership.growing.unite("east-2", "east-1", WHAT)
    with pytest.raises(Unavailable) as refused:
        a.ownership.growing.unite("north", "west", WHAT)
    assert refused.value.message == f"{WHAT}, and without Redis north and west cannot become one group"


def test_what_is_being_handed_over_is_not_relied_on(two):
    a, _ = two
    a.ownership._moving._units.append(NORTH)
    with pytest.raises(Unavailable, match="east-1 and north go from one service to another"):
        a.ownership.growing.unite("east-1", "north", WHAT)


def test_one_that_has_grown_is_not_handed_over_for_an_odd_number():
    peers = [peer("a"), peer("b")]
    assert not evens_out("b", peers, {"b": 1})
    assert not evens_out("b", peers, {"a": 1, "b": 2})
    assert evens_out("b", peers, {"b": 2})
    assert not evens_out("b", [peer("a", leaving=True), peers[1]], {"b": 9})
    assert evens_out("b", [peer("a", weight=3), peers[1]], {"a": 1, "b": 1})


def peer(name: str, **more: Any) -> Peer:
    return Peer(name, f"id-{name}", **more)
