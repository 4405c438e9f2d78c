"""The plan of a run, and the cable that its faults of the network are done by."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.chaos.cable import MOST_WAITING, Cable, Way
from tests.chaos.faults import CLOCK, DISK, KILL, STOP, Fault, kinds, plan

ONE, OTHER = "10.77.0.1", "10.77.0.2"
SWITCHES = ["switch0", "switch1"]


def planned(seed: int, seconds: float = 600.0) -> list[Fault]:
    return plan(seed, seconds, ["service0"], SWITCHES)


def test_a_seed_says_everything():
    assert planned(7) == planned(7)
    assert planned(7) != planned(8)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_planned_can_be_done(seed):
    faults = planned(seed)
    assert all(0 < one.at <= one.ends <= 600 for one in faults)
    asked = {(kind, on, str(how)) for kind, on, how in kinds(["service0"], SWITCHES, [])}
    assert {(one.kind, one.on, str(one.how)) for one in faults} == asked
    for one in faults:
        at_once = [two for two in faults if two is not one and one.at <= two.at < one.ends]
        if one.kind in (KILL, STOP):
            assert not [two for two in at_once if two.kind in (KILL, STOP) and two.on == one.on]
        if one.kind == DISK:
            assert not at_once


def test_some_kinds_can_be_had_alone():
    faults = plan(1, 60.0, ["service0"], SWITCHES, only="kill service|disk")
    assert {one.kind for one in faults} == {KILL, DISK}
    assert {one.on for one in faults} == {("service0",)}
    assert plan(1, 60.0, ["service0"], SWITCHES, only="nothing") == []


def test_a_short_run_has_faults_as_well():
    assert all(len(planned(seed, 20.0)) > 2 for seed in range(20))


def test_a_fault_says_what_it_is():
    assert str(Fault(1.0, CLOCK, ("service0",), 0.0, {"by": -1.5})) == "clock service0 by=-1.5 for 0.0 s"


class Network:
    """A cable between sockets."""

    def __init__(self) -> None:
        self.near, self.far = {}, {}
        for address in (ONE, OTHER):
            self.near[address], self.far[address] = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            for end in (self.near[address], self.far[address]):
                end.setblocking(False)
        ends = {socket.inet_aton(one): end.fileno() for one, end in self.far.items()}
        self.cable = Cable(1, ends)

    def passes(self, source: str, target: str, count: int = 1, after: float = 0.0) -> int:
        """How many packets of so many arrive, when they are looked for so many seconds later."""
        for _ in range(count):
            header = bytearray(20)
            header[0], header[12:16], header[16:20] = 0x45, socket.inet_aton(source), socket.inet_aton(target)
            self.near[source].send(header)
            self.cable._take(self.far[source].fileno())
        self.cable._deliver(time.monotonic() + after)
        arrived = 0
        try:
            while self.near[target].recv(100):
                arrived += 1
        except BlockingIOError:
            return arrived
        return arrived

    def order(self, **how: object) -> None:
        self.cable.order(json.dumps({"between": [ONE, OTHER], **how}).encode())

    def close(self) -> None:
        for one in (*self.near.values(), *self.far.values()):
            one.close()


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


def test_packets_pass(network):
    assert (network.passes(ONE, OTHER), network.passes(OTHER, ONE)) == (1, 1)


def test_nothing_passes_a_cut_and_everything_when_it_is_mended(network):
    network.order(cut=True)
    assert (network.passes(ONE, OTHER), network.passes(OTHER, ONE)) == (0, 0)
    network.order()
    assert (network.passes(ONE, OTHER), network.passes(OTHER, ONE)) == (1, 1)


def test_a_fifth_is_lost(network):
    network.order(loss=0.2)
    assert 60 < sum(network.passes(ONE, OTHER) for _ in range(100)) < 95


def test_packets_are_late(network):
    network.order(delay=30.0)
    assert network.passes(ONE, OTHER) == 0
    assert network.passes(ONE, OTHER, after=31.0) == 2


def test_a_slow_network_has_a_queue_that_is_bounded():
    way = Way(rate=1000.0)
    due = [way.due(500, 100.0, 0.5) for _ in range(3)]
    assert due == [100.5, 101.0, 101.5]
    way.waiting = MOST_WAITING
    assert way.due(500, 100.0, 0.5) is None


def test_companions_are_killed_and_stopped_and_the_others_have_the_same_faults_without_them():
    known = {(kind, on, str(how)) for kind, on, how in kinds(["service0"], SWITCHES, [])}
    with_them = {(kind, on, str(how)) for kind, on, how in kinds(["service0"], SWITCHES, [], ["companion0"])}
    assert with_them - known == {(kind, ("companion0",), "{}") for kind in (KILL, STOP)}
    assert known <= with_them
