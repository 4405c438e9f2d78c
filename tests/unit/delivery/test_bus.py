"""Fan-out of events."""

from __future__ import annotations

import json

from vsi_esl.delivery.bus import EventBus, timestamp
from vsi_esl.delivery.filters import MAX_REMEMBERED_APP_IDS, AppFilter
from vsi_esl.events.rooms import RoomCreated


def test_timestamps_drop_trailing_zeros():
    assert timestamp(1_779_790_501_204_881_000) == "2026-05-26T10:15:01.204881Z"
    assert timestamp(1_779_790_501_000_000_000) == "2026-05-26T10:15:01Z"


def test_losses_are_told_with_the_next_event():
    bus = EventBus("i")
    queue = bus.subscribe(2, AppFilter(""))
    for number in range(5):
        bus.publish(RoomCreated(room_id=str(number)))
    lost, frames = queue.take(1)
    assert (lost, json.loads(frames[0])["room_id"]) == (3, "0")
    lost, frames = queue.take(10)
    assert (lost, json.loads(frames[0])["room_id"]) == (0, "1")
    assert queue.take(10) == (0, [])
    assert not queue.ready.is_set()
    assert (bus.dropped, queue.dropped_total) == (3, 3)


def test_unsubscribed_queues_get_nothing():
    bus = EventBus("i")
    queue = bus.subscribe(2, AppFilter(""))
    bus.unsubscribe(queue)
    bus.unsubscribe(queue)
    bus.publish(RoomCreated(room_id="1"))
    assert len(queue) == 0


class Counting(AppFilter):
    """Counts how often it is asked."""

    asked = 0

    def passes(self, app_id: str) -> bool:
        self.asked += 1
        return super().passes(app_id)


def test_filters_are_asked_once_for_each_app_id_and_not_for_each_event():
    bus = EventBus("i")
    filters = [Counting(f"^tenant-{number}$") for number in range(50)]
    queues = [bus.subscribe(1000, one) for one in filters]
    for number in range(200):
        bus.publish(RoomCreated(room_id=str(number), app_id=f"tenant-{number % 4}"))
    assert [len(queue) for queue in queues] == [50] * 4 + [0] * 46
    assert {one.asked for one in filters} == {4}


def test_who_comes_later_gets_what_comes_later():
    bus = EventBus("i")
    first = bus.subscribe(10, AppFilter("^a$"))
    bus.publish(RoomCreated(room_id="1", app_id="a"))
    second = bus.subscribe(10, AppFilter("^a"))
    bus.publish(RoomCreated(room_id="2", app_id="a"))
    bus.unsubscribe(first)
    bus.publish(RoomCreated(room_id="3", app_id="a"))
    assert (len(first), len(second)) == (2, 2)


def test_of_more_app_ids_than_are_remembered_each_is_told_right():
    bus = EventBus("i")
    some, every = bus.subscribe(100_000, AppFilter("7$")), bus.subscribe(100_000, AppFilter(""))
    for number in range(2 * MAX_REMEMBERED_APP_IDS):
        bus.publish(RoomCreated(room_id="r", app_id=str(number)))
    assert len(every) == 2 * MAX_REMEMBERED_APP_IDS
    assert len(some) == sum(str(number).endswith("7") for number in range(2 * MAX_REMEMBERED_APP_IDS))
    assert len(bus._takers) <= MAX_REMEMBERED_APP_IDS
