"""The watch over the event loop: how late it is, and who held it up."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent import monkey
from structlog.testing import capture_logs

from tests.support.drivers import eventually
from vsi_esl.ops import looplag
from vsi_esl.ops.looplag import LoopWatch

native_sleep = monkey.get_original("time", "sleep")
DEADLINE_S = 20.0


class Watched:
    """A watch, and what it observed."""

    def __init__(self, held: float) -> None:
        self.late: list[float] = []
        self.watch = LoopWatch(self.late.append, held)


@pytest.fixture
def watch() -> Iterator[Callable[[float], Watched]]:
    made: list[Watched] = []

    def start(held: float) -> Watched:
        made.append(Watched(held))
        made[-1].watch.start()
        gevent.sleep(0)  # its greenlet waits for its first turn
        return made[-1]

    yield start
    for one in made:
        one.watch.stop()
        eventually(lambda: not one.watch.watching, "the thread ends", DEADLINE_S)  # noqa: B023


def hold_up(watched: Watched) -> None:
    """Hold the loop until that was seen from outside."""
    end = time.monotonic() + DEADLINE_S
    while not watched.watch.samples and time.monotonic() < end:
        native_sleep(0.001)
    assert watched.watch.samples


def named(lines: list[dict[str, object]], function: str) -> list[dict[str, object]]:
    """The lines that have this function in their stack: a busy machine may hold the loop up as well."""
    return [line for line in told(lines) if any(one.endswith(f" {function}") for one in line["held_by"])]


def told(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return [line for line in lines if line["event"] == "the event loop was held up"]


def test_who_holds_the_loop_is_told_with_its_stack(watch, monkeypatch):
    monkeypatch.setattr(looplag, "TELL_EVERY_S", 0.0)
    watched = watch(0.05)
    with capture_logs() as lines:
        hold_up(watched)
        eventually(lambda: bool(named(lines, "hold_up")), "it is told", DEADLINE_S)
    line = named(lines, "hold_up")[0]
    assert line["log_level"] == "warning"
    assert line["seconds"] > 0.05
    assert max(watched.late) > 0.05
    functions = [one.rpartition(" ")[2] for one in line["held_by"]]
    assert functions.index("hold_up") < functions.index("test_who_holds_the_loop_is_told_with_its_stack")
    assert any(one.startswith(f"{__name__}:") for one in line["held_by"])
    assert line["cpu_seconds"] < line["seconds"]  # it slept


def test_what_greenlet_holds_the_loop(watch, monkeypatch):
    """The stack is that of the greenlet that runs, not of whoever waits for it."""
    monkeypatch.setattr(looplag, "TELL_EVERY_S", 0.0)
    watched = watch(0.05)

    def culprit() -> None:
        hold_up(watched)

    with capture_logs() as lines:
        gevent.spawn(culprit)
        eventually(lambda: bool(named(lines, "culprit")), "it is told", DEADLINE_S)
    functions = [one.rpartition(" ")[2] for one in named(lines, "culprit")[0]["held_by"]]
    assert "test_what_greenlet_holds_the_loop" not in functions


def test_many_are_one_line_and_the_next_says_how_many(watch, monkeypatch):
    monkeypatch.setattr(looplag, "TELL_EVERY_S", 3600.0)
    watched = watch(0.05)

    def held(times: int) -> Callable[[], bool]:
        return lambda: sum(late > 0.05 for late in watched.late) >= times and not watched.watch.samples

    with capture_logs() as lines:
        for number in range(1, 4):
            hold_up(watched)
            eventually(held(number), "its end is seen", DEADLINE_S)
        assert len(told(lines)) == 1
        assert told(lines)[0]["more"] is None
        untold = sum(late > 0.05 for late in watched.late) - 1
        monkeypatch.setattr(looplag, "TELL_EVERY_S", 0.0)
        hold_up(watched)
        eventually(lambda: len(told(lines)) > 1, "the next is told", DEADLINE_S)
    assert told(lines)[1]["more"] == untold


def test_a_loop_that_is_free_is_observed_and_not_told(watch):
    watched = watch(DEADLINE_S)
    with capture_logs() as lines:
        eventually(lambda: len(watched.late) > 3, "it is looked at", DEADLINE_S)
    assert not told(lines)
    assert all(0 <= late < DEADLINE_S for late in watched.late)


def test_a_stack_says_where_and_nothing_of_what(watch):
    def depth(left: int, secret: str) -> tuple[str, ...]:
        return depth(left - 1, secret) if left else looplag.stack_of(sys._getframe())

    found = depth(100, "hunter2")
    assert len(found) == looplag.DEEPEST
    assert "hunter2" not in str(found)
    assert found[0].startswith(f"{__name__}:")
    assert found[0].endswith(" depth")
