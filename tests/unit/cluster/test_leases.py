"""Leases as Redis keeps them: one holder each, with a fence that only grows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.drivers import eventually
from vsi_esl.cluster import leases
from vsi_esl.cluster.connection import RedisConnection
from vsi_esl.cluster.leases import Holder, LeaseBook, Peer

SWITCHES = ("east", "west")
TOLD = {"weight": 2, "leaving": False, "group": "x"}


@pytest.fixture
def redis(redis_server) -> Iterator[RedisConnection]:
    one = RedisConnection(redis_server.settings)
    one.start()
    assert one.wait_available(20)
    yield one
    one.stop()


@pytest.fixture
def here(redis) -> LeaseBook:
    return LeaseBook(redis, "a", "id-a")


@pytest.fixture
def there(redis) -> LeaseBook:
    return LeaseBook(redis, "b", "id-b")


def test_a_lease_has_one_holder_and_each_turn_a_higher_fence(here, there):
    assert here.take({"east": 0}) == {"east": (1, False)}
    assert there.take({"east": 0}) == {}
    view = there.turn(SWITCHES, {}, TOLD)
    assert view.holders == {"east": Holder(1, "a", "id-a")} and view.fences == {"east": 1, "west": 0}
    assert not there.give("east", 1) and here.give("east", 1)
    assert there.take({"east": 0}) == {"east": (2, True)}  # handed over: nobody need be waited for
    assert here.turn(SWITCHES, {"east": 1}, TOLD).kept == {"east": False}


def test_one_that_ran_out_is_had_again_by_its_holder_unless_another_was_faster(here, there, redis):
    here.take({"east": 0}), here.take({"west": 0})
    redis.command("DEL", redis.key("lease", "east"), redis.key("lease", "west"))
    assert there.take({"west": 0}) == {"west": (2, False)}
    assert here.turn(SWITCHES, {"east": 1, "west": 1}, TOLD).kept == {"east": True, "west": False}
    assert 0 < redis.command("PTTL", redis.key("lease", "east")) <= leases.LEASE_S * 1000


def test_it_runs_out_when_nobody_renews_it(here, there, redis, monkeypatch):
    monkeypatch.setattr(leases, "LEASE_S", 0.2)
    here.take({"east": 0})
    eventually(lambda: there.take({"east": 0}) == {"east": (2, False)}, "it can be had")


def test_a_redis_that_has_lost_all_gets_the_owners_leases_back_and_higher_fences(here, there, redis):
    for _ in range(3):
        here.take({"east": 0})
        here.give("east", redis.command("GET", redis.key("fence", "east")))
    here.take({"east": 0})
    redis.command("FLUSHALL")
    assert here.turn(SWITCHES, {"east": 4}, TOLD).kept == {"east": True}
    assert redis.command("GET", redis.key("fence", "east")) == b"4"
    redis.command("FLUSHALL")
    assert there.take({"east": 4}) == {"east": (5, False)}  # above what the switch shows


def test_a_later_process_of_the_same_service_has_its_lease_at_once(here, redis):
    here.take({"east": 0})
    later, namesake = LeaseBook(redis, "a", "id-a"), LeaseBook(redis, "a", "another")
    assert namesake.take({"east": 0}) == {}
    assert later.take({"east": 0}) == {"east": (2, False)}


def test_services_know_of_each_other_until_they_leave(here, there, redis):
    here.turn(SWITCHES, {}, TOLD)
    assert there.turn(SWITCHES, {}, {"weight": 1, "leaving": True, "group": "y"}).peers == {
        "a": Peer("a", "id-a", 2, False, "x"),
        "b": Peer("b", "id-b", 1, True, "y"),
    }
    here.farewell()
    assert list(there.turn(SWITCHES, {}, TOLD).peers) == ["b"]
    namesake = LeaseBook(redis, "b", "another")
    view = namesake.turn(SWITCHES, {}, TOLD)
    assert (view.alone, view.peers["b"].id) == (False, "id-b")


def test_what_a_service_says_that_cannot_be_read_is_left_out(here, redis):
    redis.command("SET", redis.key("service", "odd"), b'{"id": 1}')
    redis.command("ZADD", redis.key("services"), 1e15, "odd")
    redis.command("SET", redis.key("lease", "east"), "nonsense")
    view = here.turn(SWITCHES, {}, TOLD)
    assert (list(view.peers), view.holders) == (["a"], {})


def test_several_are_taken_in_one_step_or_none_of_them(here, there, redis):
    assert here.take({"west": 3}) == {"west": (4, False)}
    assert there.take({"east": 0, "west": 9}) == {}
    assert redis.command("GET", redis.key("lease", "east")) is None
    assert here.take({"east": 6, "west": 0}) == {"east": (7, False), "west": (5, False)}
    assert here.give("east", 7) and there.take({"east": 0, "west": 0}) == {}
    assert here.give("west", 5)
    assert there.take({"east": 0, "west": 8}) == {"east": (8, True), "west": (9, False)}
