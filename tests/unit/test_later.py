"""What is to be done in a while is not done before, however long this process has stood still; nor is
somebody told that it is too late while what came in time is still to be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import AsyncResult

from tests.support.stalls import comes_while_still, stand_still
from vsi_esl import later as module
from vsi_esl.later import Within, heard, later, pause, punctually
from vsi_esl.sandbox.timers import Timers as SandboxTimers
from vsi_esl.work import clock
from vsi_esl.work.timers import Timers

STILL_S = 0.4
IN_S = 0.2


@pytest.mark.parametrize(
    "begin",
    [
        lambda action: later(IN_S, action),
        lambda action: punctually(IN_S, action),
        lambda action: Timers().at("leg", "x", clock.now() + IN_S, action),
        lambda action: SandboxTimers().later(IN_S, action),
    ],
    ids=["later", "punctually", "timers", "sandbox"],
)
def test_it_is_not_early_behind_a_stall(begin: Callable[[Callable[[], None]], object]):
    """In a greenlet that a socket has woken, as those are that read what the switch says."""
    ours, theirs = socket.socketpair()
    fired: AsyncResult[float] = AsyncResult()

    def read() -> float:
        ours.recv(1)
        stand_still(STILL_S)
        began = time.monotonic()
        begin(lambda: fired.set(time.monotonic()))
        return began

    with ours, theirs:
        reader = gevent.spawn(read)
        gevent.idle()
        theirs.send(b".")
        assert fired.get(timeout=20) - reader.get(timeout=20) >= IN_S


def in_a_while(answer: AsyncResult[str]) -> Any:
    found: AsyncResult[Any] = AsyncResult()
    later(IN_S, lambda: found.set(answer.ready() and answer.value))
    return found.get(timeout=20)


def by_a_timer(answer: AsyncResult[str]) -> Any:
    found: AsyncResult[Any] = AsyncResult()
    Timers().at("leg", "x", clock.now() + IN_S, lambda: found.set(answer.ready() and answer.value))
    return found.get(timeout=20)


def within(answer: AsyncResult[str]) -> Any:
    with Within(IN_S, False):
        return answer.get()
    return None


def behind_a_pause(answer: AsyncResult[str]) -> Any:
    pause(IN_S)
    return answer.ready() and answer.value


WAYS = [in_a_while, by_a_timer, within, behind_a_pause, lambda answer: heard(answer, IN_S)]
NAMES = ["later", "timers", "within", "pause", "heard"]


@pytest.mark.parametrize("wait", WAYS, ids=NAMES)
def test_what_came_in_time_is_read_before_it_is_too_late(wait: Callable[[AsyncResult[str]], Any]):
    answer: AsyncResult[str] = AsyncResult()
    waiting = gevent.spawn(wait, answer)
    gevent.sleep(0)
    comes_while_still(STILL_S, lambda: answer.set("here"))
    assert waiting.get(timeout=20) == "here"


@pytest.mark.parametrize("wait", WAYS, ids=NAMES)
def test_what_does_not_come_is_not_waited_for_longer(wait: Callable[[AsyncResult[str]], Any]):
    began = time.monotonic()
    assert not wait(AsyncResult())
    assert time.monotonic() - began >= IN_S


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loop that always has something to do."""

    def on_and_on() -> None:
        while True:
            gevent.sleep(0)

    monkeypatch.setattr(module, "READ_BY_S", 0.1)
    greenlet = gevent.spawn(on_and_on)
    yield
    greenlet.kill()


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("wait", WAYS, ids=NAMES)
def test_a_busy_loop_does_not_wait_for_ever(wait: Callable[[AsyncResult[str]], Any]):
    assert not wait(AsyncResult())


def test_an_error_of_its_own_is_raised_once():
    with pytest.raises(KeyError), Within(0.01, KeyError("late")):
        AsyncResult().get()
    limit = Within(0.01)
    with pytest.raises(Within) as raised, limit:
        AsyncResult().get()
    assert raised.value is limit and not limit.pending
    gevent.sleep(0.05)  # nothing is thrown behind it


def test_one_that_is_left_while_all_is_being_read_throws_nothing():
    """What came is the answer, and who waited for it goes on."""
    answer: AsyncResult[str] = AsyncResult()

    def waits() -> str:
        with Within(IN_S):
            answer.get()
        gevent.sleep(0.1)
        return "unharmed"

    waiting = gevent.spawn(waits)
    gevent.sleep(0)
    comes_while_still(STILL_S, lambda: answer.set("here"))
    assert waiting.get(timeout=20) == "unharmed"
