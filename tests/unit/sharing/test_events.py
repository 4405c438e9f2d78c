"""Events of several services in one stream: all of them, once, in one order, also around an outage."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gevent
import pytest

from tests.support.redisserver import RedisServer
from tests.support.sharing import REPLAY, Client, Side, eventually, mine, of
from vsi_esl.cluster.connection import RedisUnavailable
from vsi_esl.sharing import events

Starter = Callable[..., Side]


@pytest.fixture
def start(redis_server: RedisServer, tmp_path: Path) -> Iterator[Starter]:
    running: list[Side] = []

    def begin(name: str, **more) -> Side:
        running.append(Side(name, tmp_path, redis_server.settings, **more))
        return running[-1]

    yield begin
    for one in running:
        one.kill()


@pytest.fixture
def a(start: Starter) -> Side:
    return start("a").ready()


@pytest.fixture
def b(start: Starter) -> Side:
    return start("b").ready()


def cut(server: RedisServer, *sides: Side) -> None:
    """Stop Redis; returns when all have noticed."""
    server.stop()
    for one in sides:
        one.publish()
    eventually(lambda: all(one.events.apart for one in sides))


def mended(server: RedisServer, *sides: Side) -> None:
    server.start()
    eventually(lambda: not any(one.events.apart or one.events.waiting for one in sides))


def test_all_clients_have_all_events_in_one_order_with_one_id(a, b):
    here, there = a.client(), b.client()
    for _ in range(50):
        a.publish(3)
        b.publish(2)
        gevent.sleep(0)
    assert here.has(250) == there.has(250)
    assert here.ids == there.ids and len(set(here.ids)) == 250
    assert of("a", here.got) == mine("a", 150)
    assert of("b", here.got) == mine("b", 100)
    assert here.dropped == there.dropped == 0


def test_a_filter_counts_at_every_service(a, b):
    there = b.client(pattern="^x$")
    a.publish(app_id="y")
    a.publish(app_id="x")
    assert there.has(1) == [("a", 2)]


def test_a_client_that_reads_at_once_loses_nothing_however_much_comes_together(a, b):
    """The smallest queue that can be set is enough for it."""
    here, there = a.client(size=16), b.client(size=16)
    a.publish(2000)
    for client in (here, there):
        eventually(lambda client=client: len(client.got) + client.dropped >= 2000)
        assert client.dropped == 0
        assert client.got == mine("a", 2000)


def test_nor_while_redis_is_away(redis_server, a):
    here = a.client(size=16)
    cut(redis_server, a)
    a.publish(2000)
    eventually(lambda: len(here.got) + here.dropped >= 2001)
    assert here.dropped == 0
    assert here.got == mine("a", 2001)


def test_since_is_good_at_another_service(a, b):
    first = a.client()
    a.publish(5)
    b.publish(5)
    first.has(10)
    last, seen = first.ids[6], first.got[:7]
    first.close()
    a.publish(700)  # more than a page
    again = b.client(last)
    b.publish(3)
    assert seen + again.has(706) == b.client("0" * 32).has(713)
    assert again.dropped == 0


def test_what_is_forgotten_in_memory_is_had_from_the_stream(a, b, start):
    first = a.client()
    a.publish(20)
    b.publish(20)
    first.has(40)
    third = start("c").ready()
    again = third.client(first.ids[9])
    third.publish()
    assert first.has(41)[10:] == again.has(31)


def test_an_unknown_id_gets_all_there_is_and_is_told_so(a, b):
    a.publish(5)
    b.client().has(0)
    eventually(lambda: b.events.read == 5)
    client = b.client("01234567-89ab-4def-8123-456789abcdef")
    assert client.has(5) == mine("a", 5)
    assert client.dropped == 1


def test_own_clients_go_on_without_redis_and_all_have_all_when_it_is_back(redis_server, a, b):
    here, there = a.client(), b.client()
    a.publish(3)
    assert there.has(3)
    cut(redis_server, a, b)
    a.publish(500)
    assert of("a", here.has(504)) == mine("a", 504)
    assert of("a", there.got) == mine("a", 3)
    mended(redis_server, a, b)
    a.publish(2)
    for client in (here, there):
        assert of("a", client.has(507)) == mine("a", 506)
        assert of("b", client.got) == mine("b", 1)
        assert len(client.got) == 507
        assert client.dropped == 0


def test_since_an_event_told_without_redis_at_the_other_service(redis_server, a, b):
    here = a.client()
    b.publish(2)
    here.has(2)
    cut(redis_server, a, b)
    a.publish(10)
    b.publish(10)
    here.has(13)
    last, seen = here.ids[7], here.got[:8]
    mended(redis_server, a, b)
    again = b.client(last)
    again.has(16)
    assert sorted(seen + again.got) == sorted(mine("a", 11) + mine("b", 13))
    assert of("b", again.got) == mine("b", 11, first=3)
    assert of("a", again.got) == mine("a", 5, first=7)


def test_since_without_redis_is_good_for_what_the_service_told_itself(redis_server, a, b):
    here = a.client()
    b.publish(3)
    here.has(3)
    cut(redis_server, a, b)
    a.publish(5)
    here.has(9)
    assert a.client(here.ids[1]).has(7) == here.got[2:]
    b.client().close()
    with pytest.raises(RedisUnavailable):
        b.client(here.ids[5])


def test_what_a_killed_service_had_not_handed_on_comes_with_the_next(redis_server, a, start, tmp_path):
    b = start("b").ready()
    there = b.client()
    here = a.client()
    cut(redis_server, a, b)
    a.publish(20)
    here.has(21)
    a.history.flush()
    ids = list(here.ids)
    a.kill()
    redis_server.start()
    start("a", facts=a.facts).ready()
    assert of("a", there.has(22)) == mine("a", 21)
    assert [id for id, one in zip(there.ids, there.got, strict=True) if one[0] == "a"] == ids


def test_a_server_that_lost_everything_has_it_again_and_nobody_hears_it_twice(redis_server, a, b):
    here, there = a.client(), b.client()
    a.publish(10)
    b.publish(10)
    here.has(20), there.has(20)
    redis_server.empty()
    a.publish(1)
    b.publish(1)
    mended_without_start(a, b)
    a.publish(1)
    for client in (here, there):
        client.has(23)
        assert of("a", client.got) == mine("a", 12)
        assert of("b", client.got) == mine("b", 11)
    eventually(lambda: a.redis.command("XLEN", a.events.keys.stream) == 23)


def test_numbers_that_a_crash_has_left_are_not_waited_for(a, start):
    """A hand-over would wait for them, and /metrics show them as events, until the next one is told."""
    a.publish(5)
    eventually(lambda: a.events.sent == 5)
    a.kill()
    again = start("a", facts=a.facts).ready()
    assert again.history.newest > 5
    eventually(lambda: not again.events.waiting)
    there = again.client()
    again.publish()
    assert there.has(1) == [("a", 1)] and there.dropped == 0


def mended_without_start(*sides: Side) -> None:
    eventually(lambda: not any(one.events.apart or one.events.waiting for one in sides))


def test_an_answer_that_was_lost_adds_nothing_twice(a, b):
    there = b.client()
    run, calls = a.redis.run, []

    def without_answer(*words):
        answer = run(*words)
        if words[0] == "add events" and not calls:
            calls.append(answer)
            raise RedisUnavailable("redis: no answer in time")
        return answer

    a.redis.run = without_answer
    here = a.client()
    a.publish(3)
    here.has(3)
    eventually(lambda: not a.events.apart)
    a.publish(2)
    assert there.has(5) == here.has(5) == mine("a", 5)
    assert len(set(there.ids)) == 5
    assert calls


def test_an_error_that_nobody_foresaw_does_not_keep_events_for_ever(a, b, monkeypatch):
    there = b.client()
    monkeypatch.setattr(events, "BLOCK_S", 0.1)
    run, calls = a.redis.run, []

    def failing(*words):
        if words[0] == "add events" and not calls:
            calls.append(words)
            raise ValueError("I/O operation on closed file.")
        return run(*words)

    a.redis.run = failing
    a.publish(3)
    assert there.has(3) == mine("a", 3)
    assert calls


def test_events_of_a_switch_that_another_owns_are_refused(a, b):
    there = b.client()
    a.mark = "east 4"
    a.publish()
    there.has(1)
    a.redis.command("SET", a.redis.key("fence", "east"), 5)
    a.publish(2)
    a.mark = "west 1"
    a.publish()
    assert there.has(2) == [("a", 1), ("a", 4)]
    eventually(lambda: a.events.refused == 2, "it was answered")
    assert there.dropped == 0


def test_the_stream_is_bounded_and_what_is_gone_is_told(redis_server, start):
    few = replace(REPLAY, max_events=1000)
    one = start("a", replay=few).ready()
    early = one.client()
    for _ in range(30):
        one.publish(50)
        gevent.sleep(0.002)
    early.has(1500)
    eventually(lambda: one.redis.command("XLEN", one.events.keys.stream) == 1000)
    assert int(one.redis.command("GET", one.events.keys.bytes)) == sum(
        len(row[b"f"]) for _, row in one.redis.command("XRANGE", one.events.keys.stream, "-", "+")
    )
    other = start("b", replay=few).ready()
    late = other.client(early.ids[9])
    assert late.has(1000) == early.got[500:]
    assert 490 <= late.dropped <= 500


@pytest.mark.parametrize("seed", [1, 2])
def test_clients_that_come_and_go_around_outages_miss_nothing(redis_server, a, b, seed):
    chance = random.Random(seed)
    sides = (a, b)
    stayed = [one.client() for one in sides]
    roaming: list[tuple[Side, Client, list, set]] = [(one, one.client(), [], set()) for one in sides * 2]

    def move(at: int, towards: Side) -> None:
        _, client, got, seen = roaming[at]
        last = client.ids[-1] if client.ids else None
        if last is None:
            return
        try:
            other = towards.client(last)
        except RedisUnavailable:
            return
        client.close()
        got += client.got
        seen.update(client.ids)
        roaming[at] = towards, other, got, seen

    for _ in range(3):
        for down in (False, True):
            if down:
                cut(redis_server, a, b)
            for _ in range(10):
                for one in sides:
                    one.publish(chance.randrange(20))
                gevent.sleep(0.003)
                move(chance.randrange(4), chance.choice(sides))
        mended(redis_server, a, b)
    for one in sides:
        one.publish()
    everything = mine("a", a._number) + mine("b", b._number)
    for client in stayed:
        client.has(len(everything))
        assert sorted(client.got) == everything
        for name in "ab":
            assert of(name, client.got) == sorted(of(name, client.got))
    for _, client, got, _ in roaming:
        eventually(lambda client=client, got=got: set(got + client.got) == set(everything))
        for name in "ab":
            numbers = of(name, list(dict.fromkeys(got + client.got)))
            assert numbers == sorted(numbers)
