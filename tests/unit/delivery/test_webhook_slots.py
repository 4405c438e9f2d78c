"""Who may have a request under way, and that nobody takes the places of others."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event as Signal

from vsi_esl.delivery.webhooks.slots import Slots

A, B = "http://a.example:80/", "http://b.example:80/"


class Requests:
    """Requests that go on until they are told to end."""

    def __init__(self, limit: int, per_host: int) -> None:
        self.slots = Slots(limit, per_host)
        self.under_way: list[str] = []
        self._ends: dict[str, list[Signal]] = {}
        self._all: list[gevent.Greenlet] = []

    def begin(self, endpoint: str, count: int = 1, proven: bool = True) -> list[gevent.Greenlet]:
        begun = [gevent.spawn(self._run, endpoint, proven) for _ in range(count)]
        self._all += begun
        gevent.idle()
        return begun

    def end(self, endpoint: str, count: int = 1) -> None:
        for _ in range(count):
            self._ends[endpoint].pop(0).set()
        gevent.idle()

    def end_all(self) -> None:
        while any(self._ends.values()):
            for endpoint, ends in list(self._ends.items()):
                self.end(endpoint, len(ends))

    def _run(self, endpoint: str, proven: bool) -> None:
        with self.slots.place(endpoint, proven):
            end = Signal()
            self._ends.setdefault(endpoint, []).append(end)
            self.under_way.append(endpoint)
            try:
                end.wait()
            finally:
                self.under_way.remove(endpoint)

    def all_done(self) -> bool:
        return all(one.ready() for one in self._all) and not self.slots._hosts and not self.slots._all.taken


@pytest.fixture
def requests():
    made = []

    def make(limit: int, per_host: int) -> Requests:
        made.append(Requests(limit, per_host))
        return made[-1]

    yield make
    for one in made:
        one.end_all()
        assert one.all_done()


def test_a_host_has_its_share(requests):
    one = requests(100, 4)
    one.begin(A + "x", 10)
    one.begin(B, 3)
    assert one.under_way == [A + "x"] * 4 + [B] * 3
    one.end(A + "x")
    assert one.under_way.count(A + "x") == 4


def test_what_may_hang_gets_half_and_leaves_half(requests):
    one = requests(100, 8)
    for path in range(20):
        one.begin(f"{A}{path}", proven=False)
    assert len(one.under_way) == 4
    one.begin(A + "good", 9)
    assert one.under_way.count(A + "good") == 4


def test_paths_of_a_host_take_turns(requests):
    one = requests(100, 1)
    one.begin(A + "x", 3)
    one.begin(A + "y", 2)
    order = []
    for _ in range(5):
        order.append(one.under_way[0][-1])
        one.end(one.under_way[0])
    assert order == ["x", "x", "y", "x", "y"]


def test_new_ones_have_their_turn_beside_busy_ones(requests):
    one = requests(100, 2)
    one.begin(A + "busy", 6)
    one.begin(A + "new", proven=False)
    one.end(A + "busy", 2)
    assert A + "new" in one.under_way


def test_hosts_together_keep_the_limit(requests):
    one = requests(4, 3)
    one.begin(A, 3)
    one.begin(B, 3)
    assert one.under_way == [A, A, A, B]
    one.end(A, 2)
    assert one.under_way == [A, B, B, B]


def test_many_hosts_that_hang_leave_half_of_all(requests):
    one = requests(8, 8)
    for host in range(10):
        one.begin(f"http://{host}.example:80/", proven=False)
    assert len(one.under_way) == 4
    one.begin(A, 4)
    assert one.under_way.count(A) == 4


def test_whoever_is_ended_while_waiting_takes_no_place(requests):
    one = requests(100, 1)
    one.begin(A)
    waiting = one.begin(A, 2)
    waiting[0].kill()
    one.end(A)
    assert one.under_way == [A]


def test_whoever_is_ended_in_the_moment_of_its_turn_passes_it_on(requests):
    one = requests(100, 1)
    with one.slots.place(A, True):
        first, _ = one.begin(A, 2)
        first.kill(block=False)
    gevent.idle()
    assert one.under_way == [A]
