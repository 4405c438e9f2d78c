"""Work in order per leg or room."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event as Signal

from vsi_esl.errors import Conflict, SwitchUnavailable
from vsi_esl.work.workers import MAX_QUEUED_PER_KEY, Workers


def _raise(error: Exception) -> None:
    raise error


def test_work_is_in_order_per_key_and_concurrent_between_keys():
    workers, done, gate = Workers(), [], Signal()
    workers.submit("a", lambda: (gate.wait(20), done.append("a1")))
    second = workers.submit("a", lambda: done.append("a2"))
    workers.run("b", 5, lambda: done.append("b1"))
    gate.set()
    second.get(timeout=20)
    assert done == ["b1", "a1", "a2"]
    assert len(workers) == 0


def test_work_that_takes_too_long_or_fails():
    workers = Workers()
    with pytest.raises(SwitchUnavailable):
        workers.run("a", 0.01, Signal().wait, 5)
    with pytest.raises(Conflict):
        workers.run("b", 5, _raise, Conflict("x"))
    workers.stop()


def test_what_was_not_begun_in_time_is_not_done_later():
    workers, gate, done = Workers(), Signal(), []
    first = workers.submit("a", gate.wait, 5)
    with pytest.raises(SwitchUnavailable, match=r"not done within 0\.01 s"):
        workers.run("a", 0.01, done.append, "late")
    assert (len(workers), workers.withdrawn) == (0, 1)
    behind = workers.submit("a", done.append, "behind")
    gate.set()
    behind.get(timeout=20)
    assert first.get() and done == ["behind"]


def test_what_was_begun_in_time_is_finished():
    workers, gate, done = Workers(), Signal(), []

    def work() -> None:
        gate.wait(20)
        done.append("it")

    with pytest.raises(SwitchUnavailable):
        workers.run("a", 0.01, work)
    gate.set()
    workers.run("a", 5, gate.is_set)
    assert (done, workers.withdrawn) == (["it"], 0)


def test_a_deadline_around_it_is_not_its_own():
    workers, gate = Workers(), Signal()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        workers.run("a", 5, gate.wait, 5)
    assert workers.withdrawn == 0
    workers.stop()


def test_a_full_queue_refuses():
    workers, gate = Workers(), Signal()
    for _ in range(MAX_QUEUED_PER_KEY):
        workers.submit("a", gate.wait, 5)
    with pytest.raises(SwitchUnavailable, match="too many"):
        workers.submit("a", gate.wait, 5).get(timeout=20)
    assert workers.refused == 1
    gate.set()
    workers.stop()


def test_greenlets_are_not_left_behind():
    workers = Workers()
    workers.submit("a", gevent.sleep, 60)
    gevent.sleep(0)
    workers.stop()
    assert workers._greenlets == {}
