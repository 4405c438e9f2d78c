"""Which of several addresses is used, and that nothing of the others is left (RFC 8305)."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event as Signal

from vsi_esl.net.race import interleaved, race

LONG, SHORT = 60.0, 0.01


class Hosts:
    """Addresses that connect ("up"), fail ("down"), or do so only when told ("slow", "dead")."""

    def __init__(self, **hosts: str) -> None:
        self.hosts = hosts
        self.tried: list[str] = []
        self.closed: list[str] = []
        self.ended: list[str] = []
        self.go = Signal()

    def connect(self, address: str) -> str:
        self.tried.append(address)
        how = self.hosts[address]
        try:
            if how in ("slow", "dead"):
                self.go.wait()
            if how in ("down", "dead"):
                raise OSError(address)
        except gevent.GreenletExit:
            self.ended.append(address)
            raise
        return address

    def race(self, delay: float = LONG) -> str:
        with gevent.Timeout(20):
            return race(list(self.hosts), self.connect, self.closed.append, delay)


def test_the_first_that_connects_is_alone():
    hosts = Hosts(a="up", b="up")
    assert hosts.race() == "a"
    assert hosts.tried == ["a"]


def test_a_failure_begins_the_next_at_once():
    hosts = Hosts(a="down", b="down", c="up", d="up")
    assert hosts.race() == "c"
    assert hosts.tried == ["a", "b", "c"]


def test_silence_begins_the_next_after_the_delay():
    hosts = Hosts(a="slow", b="slow", c="up")
    assert hosts.race(SHORT) == "c"
    gevent.idle()
    assert hosts.ended == ["a", "b"]


def test_a_late_connection_is_closed():
    hosts = Hosts(a="slow", b="up")
    hosts.hosts["b"] = "slow"
    racing = gevent.spawn(hosts.race, SHORT)
    while hosts.tried != ["a", "b"]:
        gevent.sleep(SHORT)
    hosts.go.set()  # both connect in the same turn of the loop
    used = racing.get(timeout=20)
    assert [used, *hosts.closed, *hosts.ended] == ["a", "b"]


def test_slow_is_better_than_never():
    hosts = Hosts(a="slow", b="down")
    racing = gevent.spawn(hosts.race, SHORT)
    while hosts.tried != ["a", "b"]:
        gevent.sleep(SHORT)
    hosts.go.set()
    assert racing.get(timeout=20) == "a"


@pytest.mark.parametrize("states", [["down"], ["down", "down"], ["dead", "down"]])
def test_the_error_is_that_of_the_preferred_address(states):
    hosts = Hosts(**dict(zip("ab", states, strict=False)))
    hosts.go.set()
    with pytest.raises(OSError, match=r"^a$"):
        hosts.race()


def test_whoever_gives_up_leaves_nothing_behind():
    hosts = Hosts(a="slow", b="slow")
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
        hosts.race(SHORT)
    gevent.idle()
    assert hosts.ended == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ("::1 ::2 ::3 1.1.1.1", "::1 1.1.1.1 ::2 ::3"),
        ("1.1.1.1 ::1 1.1.1.2 ::2", "1.1.1.1 ::1 1.1.1.2 ::2"),
        ("1.1.1.1 1.1.1.2", "1.1.1.1 1.1.1.2"),
        ("", ""),
    ],
)
def test_families_take_turns(given, tried):
    assert interleaved(given.split()) == tried.split()
