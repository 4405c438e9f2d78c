"""Fan-out of events."""

from __future__ import annotations

import json

from vsi_esl.delivery.bus import EventBus, timestamp
from vsi_esl.delivery.filters import AppFilter
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
