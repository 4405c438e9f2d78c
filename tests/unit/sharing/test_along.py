"""The state goes to Redis in one step with what was told of it: neither is there without the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest
from gevent.event import Event as Signal

from tests.support.redisserver import RedisServer
from tests.support.sharing import Side, eventually
from vsi_esl.cluster import shipping
from vsi_esl.cluster.along import Along
from vsi_esl.cluster.connection import RedisRefused, RedisUnavailable
from vsi_esl.cluster.shipping import Shipping
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import Leg
from vsi_esl.model.legtypes import SIP_INBOUND
from vsi_esl.storage.state import NODE, StateStore
from vsi_esl.storage.thread import StorageThread


class Service(Side):
    """One that has the switches east and west, and a state whose rows are shipped."""

    def __init__(self, path: Path, server: RedisServer, thread: StorageThread) -> None:
        super().__init__("a", path, server.settings)
        self.state = StateStore(":memory:", thread)
        self.refused: list[str] = []
        self.shipping = Shipping(
            self.state, self.redis, lambda table, _, row: str(row[NODE[table]]), self.refused.append
        )
        self.events.along = self.shipping.along
        self.shipping.all_told = lambda: not self.events.waiting
        for switch in ("east", "west"):
            self.shipping.own(switch, 4, whole=False)
        self.shipping.start()

    def happens(self, leg: str, room: str = "", switch: str = "east") -> None:
        """What is told and kept of a leg."""
        self.mark = f"{switch} 4"
        self.publish()
        self.changes(leg, room, switch)

    def changes(self, leg: str, room: str = "", switch: str = "east") -> None:
        """What is kept of it alone."""
        one = Leg(leg, SIP_INBOUND, 100.0, channel=Channel(switch))
        one.room_id = room
        self.state.save_legs([one])

    def there(self, switch: str = "east") -> dict[str, str]:
        """The room of each leg that Redis has."""
        rows = self.redis.command("HGETALL", self.redis.key("state", switch))
        return {
            field.decode().partition("|")[2]: orjson.loads(row)[3]
            for field, row in rows.items()
            if field != b"#fence"
        }

    def told(self) -> int:
        return int(self.redis.command("XLEN", self.events.keys.stream))

    def intercept(self, asked: Callable[[Callable[[], Any]], Any]) -> None:
        """Have `asked` do each "add events"; it is given what does it."""
        run = self.redis.run

        def instead(script: str, *more: Any) -> Any:
            return asked(lambda: run(script, *more)) if script == "add events" else run(script, *more)

        self.redis.run = instead  # type: ignore[method-assign]


@pytest.fixture
def a(redis_server: RedisServer, tmp_path: Path, thread: StorageThread, monkeypatch) -> Iterator[Service]:
    """One whose rows do not go by themselves."""
    monkeypatch.setattr(shipping, "GATHER_S", 600.0)
    one = Service(tmp_path, redis_server, thread)
    one.ready()
    yield one
    one.shipping.stop(0)
    one.kill()
    one.state.close()


@pytest.fixture
def moving(a: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """One whose rows go by themselves as well."""
    monkeypatch.setattr(shipping, "GATHER_S", 0.005)
    monkeypatch.setattr(shipping, "RETRY_S", 0.01)
    a.shipping.stop(0)
    a.shipping.start()
    a.state.follow(a.shipping.changed)
    return a


def test_what_was_told_is_known_in_the_same_step(a):
    seen: list[tuple[int, dict[str, str]]] = []

    def look(done: Callable[[], Any]) -> Any:
        before = a.told(), a.there()
        answer = done()
        seen.extend((before, (a.told(), a.there())))
        return answer

    a.intercept(look)
    a.happens("l1", "r")
    eventually(lambda: not a.events.waiting)
    assert seen == [(0, {}), (1, {"l1": "r"})]
    assert len(a.shipping) == 0 and a.shipping.all_sent("east") and a.shipping.shipped == 1
    assert a.redis.command("HGET", a.redis.key("where"), "leg/l1") == b"east"
    a.publish()
    a.state.forget_leg("l1")
    eventually(lambda: not a.events.waiting)
    assert a.there() == {} and a.redis.command("HLEN", a.redis.key("where")) == 0


def test_each_switch_has_its_own_rows_and_they_come_with_many_events(a):
    for number in range(30):
        a.happens(f"l{number % 3}", f"r{number}", "east" if number % 2 else "west")
    eventually(lambda: not a.events.waiting)
    # one that has gone to the other switch is there only
    assert (a.there("west"), a.there()) == ({"l1": "r28"}, {"l0": "r27", "l2": "r29"})


def test_what_another_service_has_by_now_is_not_taken_and_the_rest_is(a):
    a.redis.command("SET", a.redis.key("fence", "west"), 5)
    a.changes("l2", "late", "west")
    a.happens("l1", "r")
    eventually(lambda: not a.events.waiting)
    assert (a.told(), a.there(), a.there("west")) == (1, {"l1": "r"}, {})
    assert a.refused == ["west"] and a.shipping.turned_down == 1
    a.changes("l2", "later", "west")
    assert len(a.shipping) == 0


def test_rows_of_events_that_are_refused_are_not_there_either(a):
    a.redis.command("SET", a.redis.key("fence", "east"), 5)
    a.happens("l1", "r")
    eventually(lambda: not a.events.waiting)
    assert (a.told(), a.there()) == (0, {}) and a.refused in ([], ["east"])


def test_the_last_change_counts_when_an_answer_was_lost(a):
    lost = []

    def without_answer(done: Callable[[], Any]) -> Any:
        answer = done()
        if not lost:
            lost.append(answer)
            a.changes("l1", "newer")
            raise RedisUnavailable("redis: no answer in time")
        return answer

    a.intercept(without_answer)
    a.happens("l1", "r")
    eventually(lambda: lost and not a.events.waiting and not a.events.apart)
    assert a.there() == {"l1": "r"} and len(a.shipping) == 1
    a.publish()
    eventually(lambda: not a.events.waiting)
    assert a.there() == {"l1": "newer"}


def test_a_row_that_redis_does_not_take_holds_up_no_event(moving):
    a, tried = moving, []

    def refused(done: Callable[[], Any]) -> Any:
        tried.append(len(a.shipping))
        if len(tried) == 1:
            raise RedisRefused("redis: it refused a command; see the log")
        return done()

    a.intercept(refused)
    a.happens("l1", "r")
    eventually(lambda: not a.events.waiting)
    assert len(tried) == 2 and a.told() == 1
    eventually(lambda: a.there() == {"l1": "r"}, "it is tried again by itself")


def test_more_than_goes_together_goes_by_itself(moving, monkeypatch):
    monkeypatch.setattr(shipping, "BATCH", 3)
    for number in range(5):
        moving.happens(f"l{number}", "r")
    eventually(lambda: not moving.events.waiting and not len(moving.shipping))
    eventually(lambda: moving.shipping.all_sent("east"))
    assert len(moving.there()) == 5 and moving.shipping.batches == 2


def test_what_goes_by_itself_is_not_ahead_of_events_and_does_not_wait_for_ever(moving, monkeypatch):
    """Known before it was told, it would be told by nobody if the service was killed then."""
    monkeypatch.setattr(moving.events, "along", lambda: nullcontext(Along()))
    go, held, looks = Signal(), [], []
    all_told = moving.shipping.all_told
    moving.shipping.all_told = lambda: looks.append(1) or all_told()

    def late(done: Callable[[], Any]) -> Any:
        held.append(moving.there())
        go.wait()
        held.append(moving.there())
        return done()

    moving.intercept(late)
    moving.happens("l1", "r")
    eventually(lambda: held and len(looks) > 10, "it waits")
    assert not moving.shipping.all_sent("east")
    go.set()
    eventually(lambda: moving.there() == {"l1": "r"}, "and then it is known")
    assert held == [{}, {}]
    go.clear()
    monkeypatch.setattr(shipping, "HOLDS", 2)
    moving.happens("l2", "r")
    eventually(lambda: len(moving.there()) == 2, "though nothing can be told")
    go.set()


def test_an_older_row_never_comes_behind_a_newer_one(moving):
    """Both ways at once, for some time."""
    for number in range(400):
        (moving.happens if number % 3 else moving.changes)("l1", f"r{number}")
        if number % 5 == 0:
            gevent.sleep(0.001)
    eventually(lambda: not moving.events.waiting and moving.shipping.all_sent("east"))
    assert moving.there() == {"l1": "r399"}
