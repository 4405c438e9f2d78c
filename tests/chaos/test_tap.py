"""The tap passes on all that there is, and notes who acts and whose the switch is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from gevent import socket

from tests.chaos.tap import Tap, acts
from tests.support.ports import free_port
from tests.support.waiting import eventually
from vsi_esl.sandbox import SandboxSwitch

Notes = list[dict[str, object]]


class Service:
    """A connection from an address of its own."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10, (address, 0))
        self._read()
        self.say("auth ClueCon")

    def say(self, line: str) -> bytes:
        self._socket.sendall(f"{line}\n\n".encode())
        return self._read()

    def _read(self) -> bytes:
        return bytes(self._socket.recv(65536))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def notes() -> Notes:
    return []


@pytest.fixture
def port(notes: Notes) -> Iterator[int]:
    switch = SandboxSwitch("127.0.0.1", free_port())
    switch.start()
    at = free_port()
    tap = Tap(("127.0.0.1", at), switch.address, lambda what, **more: notes.append(more))
    tap.start()
    yield at
    tap.stop()
    switch.stop()
    with closing(socket.socket()) as refused, pytest.raises(ConnectionRefusedError):
        refused.connect(("127.0.0.1", at))


def test_who_acts_is_noted_and_whose_the_switch_is(notes: Notes, port: int) -> None:
    with closing(Service("127.0.0.2", port)) as one, closing(Service("127.0.0.3", port)) as other:
        _act(one, other)
    assert notes == [
        {"number": 7, "service": "a"},
        {"of": "127.0.0.2", "line": "api global_setvar x=1"},
        {"number": 8, "service": "b"},
    ]


def _act(one: Service, other: Service) -> None:
    assert b"+OK" in one.say("api global_setvar vsi_fence=7-a=")
    assert b"+OK" in other.say("api global_setvar vsi_fence=8-b=6-a")  # not in place of what is there
    for service in (one, other):
        assert service.say("api global_getvar vsi_fence").endswith(b"\n\n7-a")
    one.say("api global_setvar x=1")
    other.say("api status")
    other.say("api global_setvar vsi_fence=8-b=7-a")
    one.say("api global_getvar vsi_fence")


def test_answers_that_come_together_or_in_pieces(notes: Notes) -> None:
    tap = Tap(("", 0), ("", 0), lambda what, **more: notes.append(more))
    answer = b"Content-Type: api/response\nContent-Length: 7\n\n12-west"
    tap._look(answer[:-2])
    assert notes == []
    tap._look(answer + answer.replace(b"12-west", b"13-east") + answer.replace(b"12-west", b"+OK 1-2"))
    assert [one["number"] for one in notes] == [12, 13]
    uuid = b"30526077-7629-4bc1-b851-b03446384694"
    tap._look(answer.replace(b"7", b"36").replace(b"12-west", uuid))
    assert len(notes) == 2


@pytest.mark.parametrize(
    "line",
    ["auth x", "event json ALL", "api global_getvar a", "api conference json_list", "api show channels"],
)
def test_a_question_is_no_act(line: str) -> None:
    assert not acts(line)


@pytest.mark.parametrize(
    "line", ["bgapi originate {a=b}null/x &park()", "sendmsg x", "api uuid_kill x", "api conference c mute 1"]
)
def test_what_changes_something_is_one(line: str) -> None:
    assert acts(line)


def test_a_switch_that_ends_a_connection_ends_it_for_the_service(port: int) -> None:
    with closing(Service("127.0.0.2", port)) as one:
        assert b"bye" in one.say("exit")
        eventually(lambda: one._read() == b"", "it is closed", 20)
