"""Who may stay when there is no room."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator

import pytest

from vsi_esl.web import connections
from vsi_esl.web.connections import Connection, Connections, home, room_for


class Socket:
    """What the table does to one."""

    def __init__(self) -> None:
        self.ends: list[int] = []

    def shutdown(self, how: int) -> None:
        self.ends.append(how)


def entered(table: Connections, address: str) -> Connection:
    connection = Connection(Socket(), (address, 1), table)  # type: ignore[arg-type]
    assert table.enter(connection)
    return connection


def test_the_longest_waiting_goes():
    table = Connections(2)
    first, second = entered(table, "192.0.2.1"), entered(table, "192.0.2.2")
    first.busy()
    first.waiting()
    third = entered(table, "192.0.2.3")
    assert (first.evicted, second.evicted, third.evicted) == (False, True, False)
    assert second._socket.ends == [socket.SHUT_RD]  # type: ignore[attr-defined]
    table.leave(second)
    assert (len(table), table.evicted_total) == (2, 1)


def test_who_does_not_read_is_cut_off():
    table = Connections(1)
    one = entered(table, "192.0.2.1")
    one.busy()
    one.waiting(writing=True)
    entered(table, "192.0.2.2")
    assert one._socket.ends == [socket.SHUT_RDWR]  # type: ignore[attr-defined]


def test_who_is_served_stays_and_then_nobody_comes_in():
    table = Connections(2)
    for address in ("192.0.2.1", "192.0.2.2"):
        entered(table, address).busy()
    assert not table.enter(Connection(Socket(), ("192.0.2.3", 1), table))  # type: ignore[arg-type]
    assert (len(table), table.refused_total, table.evicted_total) == (2, 1, 0)


def test_a_websocket_is_not_counted():
    table = Connections(1)
    one = entered(table, "192.0.2.1")
    one.upgraded()
    other = entered(table, "192.0.2.2")
    one.waiting()
    entered(table, "192.0.2.3")
    assert (one.evicted, other.evicted) == (False, True)
    table.leave(one)
    assert len(table) == 1


def test_an_address_makes_room_for_itself():
    table = Connections(10, per_address=2)
    other = entered(table, "192.0.2.9")
    mine = [entered(table, "192.0.2.1") for _ in range(5)]
    assert [one.evicted for one in mine] == [True, True, True, False, False]
    assert not other.evicted
    assert len(table) == 3


def test_what_was_closed_does_not_come_back():
    table = Connections(1)
    first = entered(table, "192.0.2.1")
    second = entered(table, "192.0.2.1")
    first.waiting()
    first.busy()
    assert first.evicted
    entered(table, "192.0.2.1")
    assert second.evicted
    assert len(table) == 1


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("strange", "strange"),
    ],
)
def test_what_counts_as_one_address(address, counted):
    assert home(address) == counted


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """[soft, hard], read and set in place of the process's own."""
    found = [1024, 4096]

    def change(_: int, wanted: tuple[int, int]) -> None:
        found[:] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(found))
    monkeypatch.setattr(resource, "setrlimit", change)
    return found


def test_descriptors_are_asked_for_and_some_kept(limits):
    assert room_for(1256) == 1256
    assert limits == [1256 + connections.RESERVED_DESCRIPTORS, 4096]
    limits[:] = [1024, 1024]
    assert room_for(1256) == 1024 - connections.RESERVED_DESCRIPTORS
    assert room_for(100) == 100
    limits[:] = [resource.RLIM_INFINITY, resource.RLIM_INFINITY]
    assert room_for(5000) == 5000


def test_an_address_that_stands_for_many_has_no_limit_of_its_own():
    table = Connections(4, per_address=2, is_shared="192.0.2.1".__eq__)
    shared = [entered(table, "192.0.2.1") for _ in range(4)]
    assert not any(one.evicted for one in shared)
    entered(table, "192.0.2.2")
    assert [one.evicted for one in shared] == [True, False, False, False], "there is no room for more"
