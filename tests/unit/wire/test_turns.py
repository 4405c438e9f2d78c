"""Services that have a switch one after the other: its companion speaks to the one with the latest turn."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from tests.support.waiting import eventually
from vsi_esl.errors import Unavailable
from vsi_esl.wire import server
from vsi_esl.wire.client import Address, Line


def service(both: Any, name: str, fence: int, switch: str = "east") -> tuple[Line, list[int], list[str]]:
    """A line of it, the fences by which it was told that its turn is over, and what it has lost."""
    told: list[int] = []
    lost: list[str] = []
    known = both.line()
    known.stop()
    line = Line(
        switch,
        Address("127.0.0.1", both.port, known.address.name, known.address.identity),
        {"service": name, "switch": switch},
        superseded=told.append,
        backoff_s=(0.02, 0.1),
    )
    line.lost.append(lambda: lost.append(name))
    both.lines.append(line)
    line.start(fence)
    return line, told, lost


def connected(line: Line) -> None:
    assert line.wait_connected(20), line.error


def test_who_comes_with_a_later_turn_is_spoken_to_and_the_one_before_is_not(ends):
    done: list[str] = []
    both = ends({"do": lambda peer, args: done.append(peer.service)})
    before, told, lost = service(both, "a", 5)
    connected(before)
    after, _, _ = service(both, "b", 6)
    connected(after)
    eventually(lambda: told and not before.connected, "it has been told so")
    eventually(lambda: len(told) > 2, "and again, each time that it comes")
    assert set(told) == {6} and not lost
    assert before.error == "it says: service b has switch east"
    after.ask("do", {}, 20, 0)
    with pytest.raises(Unavailable):
        before.ask("do", {}, 0.2, 0)
    assert done == ["b"] and [one.service for one in both.server.peers] == ["b"]


def test_one_that_does_not_read_is_not_listened_to_and_is_parted_with(ends, monkeypatch):
    monkeypatch.setattr(server, "PART_S", 0.3)
    monkeypatch.setattr(Line, "_replaced", lambda line, fence: None)
    done: list[str] = []
    both = ends({"do": lambda peer, args: done.append(peer.service)})
    before, _, _ = service(both, "a", 5)
    connected(before)
    after, _, _ = service(both, "b", 6)
    connected(after)
    asked = gevent.spawn(before.ask, "do", {}, 2, 0)
    eventually(lambda: [one.service for one in both.server.peers] == ["b"], "it is gone")
    with pytest.raises(Unavailable):
        asked.get()
    assert done == []


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        (("a", 5), ("a", 5), True),  # the end of its last connection was not seen yet
        (("a", 5), ("a", 7), True),
        (("a", 5), ("b", 5), False),
        (("a", 5), ("b", 4), False),
        (("a", 5), ("b", 0), True),  # which has the switch with nobody
        (("a", 0), ("b", 1), True),
    ],
)
def test_whose_turn_is_the_latest(ends, first, second, taken):
    both = ends({})
    connected(service(both, *first)[0])
    line, told, _ = service(both, *second)
    if taken:
        connected(line)
        assert not told
    else:
        eventually(lambda: bool(told), "it is refused")
        assert told[0] == 5 and not line.connects


def test_turns_are_of_each_switch(ends):
    both = ends({})
    one, _, _ = service(both, "a", 5)
    other, _, _ = service(both, "b", 3, switch="west")
    connected(one)
    connected(other)
    assert one.connects == other.connects == 1


@pytest.mark.parametrize("fence", [-1, "6", 1.5, True])
def test_a_fence_that_is_none_is_refused(ends, fence, log):
    both = ends({})
    line, _, _ = service(both, "a", fence)
    eventually(lambda: log.named("connection refused"), "it is in the log")
    assert not line.connects


def test_a_line_that_is_left_tells_nobody_and_comes_again_with_its_next_turn(ends):
    go_on = gevent.event.Event()
    both = ends({"upload": lambda peer, args: go_on.wait(20), "quick": lambda peer, args: "yes"})
    line, _, lost = service(both, "a", 5)
    connected(line)
    lasting = line.follow("upload", {}, "u1")
    line.leave("another service has this switch")
    assert not line.connected and not line.wanted and line.error == "another service has this switch"
    eventually(lambda: not both.server.peers, "the companion sees it")
    assert not lost and not lasting.ready()
    with pytest.raises(Unavailable):
        line.ask("quick", {}, 20, 0)
    line.start(7)
    connected(line)
    assert line.ask("quick", {}, 20, 0) == "yes"
    again = line.follow("upload", {}, "u1")
    go_on.set()
    assert again.get(timeout=20) is True and not lasting.ready()
