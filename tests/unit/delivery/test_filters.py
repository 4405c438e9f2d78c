"""Which events a listener gets."""

from __future__ import annotations

import time

import pytest

from vsi_esl.delivery.bus import EventBus
from vsi_esl.delivery.filters import AppFilter
from vsi_esl.errors import Invalid
from vsi_esl.events.rooms import RoomCreated


def test_filtered_events_are_not_losses():
    bus = EventBus("i")
    queue = bus.subscribe(1, AppFilter("^a"))
    for app in ("b", "a", "b", None):
        bus.publish(RoomCreated(room_id="1", app_id=app))
    assert queue.take(5)[0] == 0
    assert bus.dropped == 0


def test_a_pattern_that_would_hang_backtracking_engines():
    started = time.monotonic()
    assert not AppFilter("(a+)+$").passes("a" * 5000 + "!")
    assert time.monotonic() - started < 20  # one that backtracks does not end


@pytest.mark.parametrize("pattern", ["(", "[", "a" * 5000, "a**"])
def test_bad_patterns(pattern):
    with pytest.raises(Invalid, match=r"^invalid app_id regex: "):
        AppFilter(pattern)
