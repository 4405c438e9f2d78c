"""Events as soon as they are there, while somebody waits for one."""

from __future__ import annotations

from tests.support.drivers import eventually
from vsi_esl.switch.esl import hurry


class Connection:
    def __init__(self) -> None:
        self.nudged = 0

    def nudge(self) -> None:
        self.nudged += 1


def test_it_nudges_for_a_moment_and_stops_by_itself(monkeypatch):
    monkeypatch.setattr(hurry, "FOR_S", 0.05)
    connection = Connection()
    one = hurry.Hurry(lambda: connection)
    one.begin()
    one.begin()
    eventually(lambda: not one._greenlet, "an end")
    first = connection.nudged
    assert 1 <= first <= 0.05 / hurry.EVERY_S + 1
    one.begin()
    eventually(lambda: connection.nudged > first, "another nudge")
    one.stop()
    eventually(lambda: not one._greenlet, "an end")


def test_without_a_connection_nothing_is_nudged(monkeypatch):
    monkeypatch.setattr(hurry, "FOR_S", 0.02)
    one = hurry.Hurry(lambda: None)
    one.begin()
    greenlet = one._greenlet
    eventually(lambda: not one._greenlet, "an end")
    assert greenlet.successful()
