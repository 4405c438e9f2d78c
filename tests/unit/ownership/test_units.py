"""Switches that are had together: taken, handed over and lost in one, whatever becomes of each."""

from __future__ import annotations

import pytest

from tests.support.drivers import eventually
from tests.support.owners import BOTH, told
from vsi_esl.config.settings import ListedSwitch
from vsi_esl.ownership import owning
from vsi_esl.ownership.hands import Load
from vsi_esl.ownership.units import units_of
from vsi_esl.switch.lines.fence import Fence


def test_switches_with_tethers_are_one_unit_unless_their_groups_say_otherwise():
    listed = [
        ListedSwitch("west", tether="10.0.0.2:5072"),
        ListedSwitch("lone"),
        ListedSwitch("east", tether="10.0.0.1:5072"),
        ListedSwitch("n1", tether="10.0.1.1:5072", group="north"),
        ListedSwitch("n2", group="north"),
        ListedSwitch("north"),
    ]
    assert units_of(listed) == [("east", "west"), ("lone",), ("n1", "n2"), ("north",)]


def test_it_is_taken_in_one_and_the_share_is_by_units(service):
    a, b = service("a", BOTH, ("lone",)), service("b", BOTH, ("lone",))
    for one in (a, b, a, b):
        one.ownership._book.turn(one.ownership.switches, {}, told(one))
    a.tick()
    b.tick()
    assert (a.has(), b.has()) == (set(BOTH), {"lone"})
    assert a.hands.done == [("take", *BOTH)]


def test_it_is_handed_over_in_one_and_taken_without_a_wait(service, switches):
    a = service("a", BOTH, ("lone",))
    a.tick()
    assert a.has() == {*BOTH, "lone"}
    a.hands.load = lambda switch: Load(0, 9 if switch == "lone" else 1)  # the unit with fewer legs goes
    b = service("b", BOTH, ("lone",))
    b.tick()
    a.tick()
    a.tick()
    assert a.has() == {"lone"} and ("hand over", *BOTH) in a.hands.done
    b.tick()
    assert b.has() == set(BOTH)
    assert [b.ownership._turns[one]._quiet for one in BOTH] == [True, True]


def test_one_that_is_out_of_reach_is_had_with_the_others(service, switches):
    switches.dead = {"west"}
    a, b = service("a"), service("b")
    b.tick()
    a.tick()
    assert (a.has(), b.has()) in ((set(BOTH), set()), (set(), set(BOTH)))


def test_of_one_that_is_out_of_reach_for_us_others_may_have_all_first(service, switches, monkeypatch):
    monkeypatch.setattr(owning, "PARTLY_S", 60.0)
    switches.away = {"west"}
    a = service("a")
    a.tick()
    assert a.has() == set()
    switches.away = set()
    a.tick()
    assert a.has() == set(BOTH)


def test_nothing_is_taken_of_what_another_has_a_part_of(service):
    a = service("a")
    a.book.take({"west": 0})
    b = service("b")
    b.tick()
    assert b.has() == set() and b.hands.done == []
    a.tick()
    assert a.has() == set(BOTH)


def test_who_loses_one_lets_go_of_all(service, switches):
    a = service("a")
    a.tick()
    switches.shown["west"] = Fence(9, "b")
    a.ownership.outbid("west", 9)
    assert a.has() == set()
    eventually(lambda: a.hands.done[-1] == ("forget", *BOTH), "it is forgotten")
    assert a.ownership.lost == 2
    a.tick()
    assert a.has() == set(), "left alone for a while"
    a.ownership.outbid("west", 10)
    a.ownership.refused("east")
    assert a.ownership.lost == 2


def test_one_that_redis_gave_to_two_comes_together_again(service):
    """Its leases were lost, and each was faster for one."""
    a, b = service("a"), service("b")
    a.tick()
    turns = a.ownership._turns
    assert a.book.give("west", turns["west"].fence.number)
    assert b.book.take({"west": 0})
    b.ownership._took(BOTH, {"west": (9, False)})
    b.redis.command("SET", b.redis.key("lease", "west"), "9 b id-b", "PX", 60000)
    b.redis.command("SET", b.redis.key("fence", "west"), "9")
    del turns["west"]
    a.tick()
    assert (a.has(), b.has()) == ({"east"}, {"west"})
    b.tick()
    assert b.has() == set() and b.hands.done[-1] == ("hand over", "west")
    a.tick()
    assert a.has() == set(BOTH)


def test_without_redis_all_of_it_is_ours_when_one_shows_our_turn_and_none_anothers(service, switches):
    a = service("a")
    a.hands.fences = {"east": 4, "west": 6}
    switches.shown = {"east": Fence(4, "a"), "west": Fence(7, "b")}
    remembered = dict(a.hands.fences)
    a.ownership._take_again(BOTH, remembered)
    assert a.has() == set()
    switches.away = {"west"}
    a.ownership._take_again(BOTH, remembered)
    assert a.has() == set(BOTH) and a.hands.fences == remembered


@pytest.mark.parametrize(("units", "same"), [([BOTH], False), ([("east",), ("west",)], True)])
def test_services_with_other_groups_do_not_share(service, units, same):
    one, other = service("a", ("west",), ("east",)), service("b", *units)
    assert (one.ownership._group == other.ownership._group) is same
