"""The state of a switch on its way to Redis: behind, in order, refused when the switch is another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import gevent
import orjson
import pytest

from tests.support.drivers import eventually
from vsi_esl.cluster import connection, shipping
from vsi_esl.cluster.connection import RedisConnection
from vsi_esl.cluster.leases import LeaseBook
from vsi_esl.cluster.shipping import Row, Shipping
from vsi_esl.model.channel import Channel
from vsi_esl.model.leg import Leg
from vsi_esl.model.legtypes import SIP_INBOUND
from vsi_esl.model.room import Room
from vsi_esl.storage.state import NODE, StateStore
from vsi_esl.storage.thread import StorageThread


@pytest.fixture
def redis(redis_server, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisConnection]:
    monkeypatch.setattr(connection, "LOOK_S", 0.05)
    monkeypatch.setattr(connection, "BACKOFF_MAX_S", 0.1)
    one = RedisConnection(redis_server.settings)
    one.start()
    assert one.wait_available(20)
    yield one
    one.stop()


def place(table: str, key: Row, row: Row) -> str:
    if table in NODE:
        return str(row[NODE[table]])
    return str(orjson.loads(row[2]).get("node", "")) if table == "items" else ""


Make = Callable[..., tuple[StateStore, Shipping]]


@pytest.fixture
def make(thread: StorageThread, redis: RedisConnection) -> Iterator[Make]:
    """A state, and what ships it; `refused` gets the switches that are another's."""
    made: list[tuple[StateStore, Shipping]] = []

    def make_it(refused: Callable[[str], None] = lambda _: None) -> tuple[StateStore, Shipping]:
        state = StateStore(":memory:", thread)
        one = Shipping(state, redis, place, refused)
        redis.on_change(lambda there: one.check_server() if there else None)
        one.check_server()
        one.start()
        made.append((state, one))
        return state, one

    yield make_it
    for state, one in made:
        one.stop(0.1)
        state.close()


def leg(id: str, node: str = "east", room: str = "") -> Leg:
    one = Leg(id, SIP_INBOUND, 100.0, channel=Channel(node))
    one.room_id = room
    return one


def there(redis: RedisConnection, switch: str = "east") -> dict[str, Any]:
    """What Redis has of a switch, by field."""
    found = redis.command("HGETALL", redis.key("state", switch))
    return {field.decode(): orjson.loads(value) for field, value in found.items()}


def where(redis: RedisConnection) -> dict[str, str]:
    found = redis.command("HGETALL", redis.key("where"))
    return {name.decode(): switch.decode() for name, switch in found.items()}


def test_rows_of_our_switches_are_shipped_and_only_those(make, redis):
    state, one = make()
    LeaseBook(redis, "a", "id").take({"east": 0})
    state.save_room(Room("a|b", 8000, "vsi-1", node="east"))
    one.own("east", 1, whole=True)
    state.save_legs([leg("l1"), leg("l2", "west")])
    state.save_item("recording", "r", {"id": "r", "node": "east"})
    state.save_item("own", "x", {"id": "x"})
    state.save_fact("own", "x")
    assert one.flush(20)
    assert set(there(redis)) == {"rooms|a|b", "legs|l1", "items|recording|r", "#fence"}
    assert there(redis)["#fence"] == 1 and there(redis, "west") == {}
    assert where(redis) == {"room/a|b": "east", "leg/l1": "east"}
    state.forget_leg("l1")
    state.forget_item("recording", "r")
    assert one.flush(20)
    assert set(there(redis)) == {"rooms|a|b", "#fence"} and where(redis) == {"room/a|b": "east"}


def test_another_service_reads_what_was_written(make, redis):
    state, one = make()
    one.own("east", 1, whole=True)
    state.save_legs([leg("l1", room="a|b")])
    state.save_room(Room("a|b", 16000, "vsi-1", node="east", matrix={"x": ["y"]}))
    assert one.flush(20)
    other, reader = make()
    fence, rows = reader.read("east")
    assert fence == 1 and set(rows) == {("legs", ("l1",)), ("rooms", ("a|b",))}
    other.replace((), [(table, row) for (table, _), row in rows.items()])
    reader.adopted("east", rows)
    (room,) = other.rooms()
    assert (room.id, room.sample_rate, room.matrix, room.node) == ("a|b", 16000, {"x": ["y"]}, "east")
    assert other.legs()["l1"].room_id == "a|b"
    assert set(reader.keys_of("east")) == set(rows)
    other.replace(rows, ())
    assert other.rooms() == [] and other.legs() == {}


def test_the_last_change_of_a_row_counts_whatever_waited(make, redis, monkeypatch):
    monkeypatch.setattr(shipping, "BATCH", 3)
    state, one = make()
    one.own("east", 1, whole=False)
    for number in range(10):
        for id in ("l1", "l2", "l3", "l4", "l5"):
            state.save_legs([leg(id, room=f"r{number}")])
    state.forget_leg("l5")
    assert one.flush(20)
    rows = {field: row[3] for field, row in there(redis).items() if field != "#fence"}
    assert rows == {f"legs|l{number}": "r9" for number in range(1, 5)}
    assert one.shipped == 5 and one.batches == 2


def test_while_redis_is_away_one_row_of_each_waits_and_nothing_is_lost(make, redis, redis_server):
    state, one = make()
    one.own("east", 1, whole=True)
    state.save_legs([leg("l1")])
    assert one.flush(20)
    redis_server.stop()
    eventually(lambda: not redis.available, "it is gone")
    for number in range(100):
        state.save_legs([leg("l1", room=f"r{number}"), leg(f"x{number % 5}")])
    assert len(one) == 6 and not one.flush(0.1)
    redis_server.start()
    assert redis.wait_available(20) and one.flush(20)
    assert there(redis)["legs|l1"][3] == "r99" and len(there(redis)) == 7


def test_one_switch_is_waited_for_whatever_comes_of_another(make, redis, redis_server):
    state, one = make()
    for switch in ("east", "west"):
        one.own(switch, 1, whole=False)

    def busy() -> None:
        for number in count():
            state.save_legs([leg("other", "west", room=f"r{number}")])
            gevent.sleep(0.001)

    other = gevent.spawn(busy)
    try:
        for number in range(5):
            state.save_legs([leg(f"l{number}")])
            assert not one.all_sent("east")
            assert one.flush_one("east", 20) and f"legs|l{number}" in there(redis)
    finally:
        other.kill()
    redis_server.stop()
    eventually(lambda: not redis.available, "it is gone")
    state.save_legs([leg("late")])
    assert not one.flush_one("east", 20)


def test_what_could_not_be_sent_is_sent_again_whatever_the_reason(make, redis, monkeypatch):
    monkeypatch.setattr(shipping, "RETRY_S", 0.01)
    state, one = make()
    one.own("east", 1, whole=False)
    run, failed = redis.run, []

    def failing(*words: Any) -> Any:
        if not failed:
            failed.append(words)
            raise ValueError("nobody foresaw it")
        return run(*words)

    monkeypatch.setattr(redis, "run", failing)
    state.save_legs([leg("l1")])
    assert one.flush_one("east", 20) and failed and "legs|l1" in there(redis)


def test_one_that_has_lost_all_is_given_everything_again(make, redis, redis_server):
    state, one = make()
    one.own("east", 4, whole=True)
    state.save_legs([leg(f"l{number}") for number in range(7)])
    assert one.flush(20)
    redis_server.empty()
    eventually(lambda: redis.available and len(there(redis)) == 8, "all is there again")
    assert there(redis)["#fence"] == 4


def test_so_many_changes_wait_that_everything_is_sent_instead(make, redis, redis_server, monkeypatch):
    monkeypatch.setattr(shipping, "MOST", 10)
    state, one = make()
    one.own("east", 1, whole=True)
    assert one.flush(20)
    redis_server.stop()
    eventually(lambda: not redis.available, "it is gone")
    for number in range(30):
        state.save_legs([leg(f"l{number}")])
        assert len(one) <= 10
    redis_server.start()
    assert redis.wait_available(20) and one.flush(20)
    assert len(there(redis)) == 31


def test_what_comes_behind_anothers_turn_is_turned_down(make, redis):
    refused: list[str] = []
    state, one = make(refused.append)
    here, next_one = LeaseBook(redis, "a", "id"), LeaseBook(redis, "b", "id")
    here.take({"east": 0})
    one.own("east", 1, whole=True)
    state.save_legs([leg("l1")])
    assert one.flush(20)
    here.give("east", 1)
    next_one.take({"east": 0})
    state.save_legs([leg("l1", room="late"), leg("l2")])
    eventually(lambda: refused == ["east"], "it is told so")
    assert one.turned_down == 1 and there(redis)["legs|l1"][3] == "" and "legs|l2" not in there(redis)
    state.save_legs([leg("l3")])
    assert len(one) == 0  # nothing of that switch any more


def test_a_row_that_moves_to_another_switch_is_there_only(make, redis):
    state, one = make()
    one.own("east", 1, whole=True), one.own("west", 1, whole=True)
    state.save_room(Room("r", 8000, "vsi-1", node="east"))
    assert one.flush(20)
    state.save_room(Room("r", 8000, "vsi-1", node="west"))
    assert one.flush(20)
    assert ("rooms|r" in there(redis), "rooms|r" in there(redis, "west")) == (False, True)
    assert where(redis) == {"room/r": "west"}
