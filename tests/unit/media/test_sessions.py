"""Sessions of a worker: each ends once, whatever its task does, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.mediaworker import WAIT_S, Fork, MediaWorker, Unicast
from vsi_esl.media.messages import (
    FORK,
    UNICAST,
    Close,
    Closed,
    Ear,
    Mouth,
    Open,
    Opened,
    Ping,
    Pong,
    Renew,
    Report,
    Tell,
    pack,
)
from vsi_esl.media.tasks import FRAME_BYTES

CYCLES = 1000
AT_ONCE = 50
PRIVATE = "a transcript"
SPOKEN = Mouth(rate=16000)
SILENCE = bytes(FRAME_BYTES)


@pytest.fixture
def worker() -> Iterator[MediaWorker]:
    with MediaWorker("tests.support.oddworker") as one:
        yield one


def alive(worker: MediaWorker) -> Pong:
    worker.send(Ping(number=1))
    pong: Pong = worker.expect(Pong)
    return pong


@pytest.mark.parametrize("where", ["made", "run", "told", "finish"])
def test_a_fault_of_a_task_ends_its_session_alone_and_its_text_is_nowhere(where):
    worker = MediaWorker("tests.support.oddworker")
    worker.opened("good", "echo", ear=Ear(kind=UNICAST, rate=16000), patience_s=30.0)
    worker.opened("bad", "faulty", parameters={"where": where})
    worker.send(Tell(session="bad", what="anything"))
    if where == "finish":
        worker.send(Close(session="bad", grace_s=5.0))
    closed = worker.expect(Closed, "bad")
    if where == "finish":
        assert closed.reason == "closed"
    else:
        assert (closed.reason, closed.error) == ("error", "ValueError")
    assert alive(worker).sessions == 1
    logged = worker.end()
    assert "oddworker.py" in logged
    assert PRIVATE not in logged
    assert not [one for one in worker.messages if isinstance(one, Closed) and one.session == "bad"]


def test_what_is_told_in_one_breath_with_the_opening_arrives(worker):
    opening = Open(session="S1", task="faulty", parameters={"where": "told"})
    worker.link.sendall(pack(opening) + pack(Tell(session="S1", what="anything")))
    assert worker.expect(Closed, "S1").error == "ValueError"


def test_what_cannot_be_opened_harms_nobody_else(worker):
    worker.opened("good", "echo", ear=Ear(kind=UNICAST, rate=16000), patience_s=30.0)
    worker.send(Open(session="bad", task="echo", ear=Ear(kind=FORK, rate=0)))
    assert worker.expect(Closed, "bad").reason == "error"
    worker.send(Open(session="good", task="echo"))
    assert worker.expect(Closed, "good").error == "it cannot be opened"
    assert alive(worker).sessions == 1


def test_ways_that_cannot_be_renewed_harm_nobody_else(worker):
    for name in ("S1", "S2"):
        worker.opened(name, "echo", ear=Ear(kind=UNICAST, rate=16000), patience_s=60.0)
    worker.send(Renew(session="S1", ear=Ear(kind=UNICAST, rate=0)))
    assert worker.expect(Closed, "S1").reason == "error"
    assert alive(worker).sessions == 1


def test_a_provider_that_fails_is_named_so(worker):
    worker.opened("S1", "faulty", parameters={"where": "provider"})
    closed = worker.expect(Closed, "S1")
    assert (closed.reason, closed.error, closed.category) == (
        "provider",
        "the provider is busy",
        "rate_limited",
    )


def test_last_words_are_waited_for_as_long_as_told(worker):
    for name, takes_s, grace_s in (("quick", 0.0, 20.0), ("slow", 30.0, 0.1), ("none", 30.0, 0.0)):
        worker.opened(name, "late", parameters={"takes_s": takes_s})
        worker.expect(Report, name, "begun")
        worker.send(Close(session=name, grace_s=grace_s))
        assert worker.expect(Closed, name).reason == "closed"
    assert [one.session for one in worker.messages if getattr(one, "what", "") == "last words"] == ["quick"]


def test_a_task_that_does_not_end_ends_its_session_all_the_same(worker):
    worker.opened("S1", "stubborn")
    worker.send(Close(session="S1"))
    worker.expect(Report, "S1", "cancelled")
    assert worker.expect(Closed, "S1").reason == "closed"
    alive(worker)


def test_the_process_ends_with_the_service_also_when_its_loop_stands_still():
    worker = MediaWorker("tests.support.oddworker")
    worker.opened("S1", "stuck")
    worker.expect(Report, "S1", "stuck")
    assert "stuck" in worker.end()
    assert worker.process.returncode == 1


def test_what_is_said_is_waited_for_and_hushed(worker):
    opened = worker.opened("S1", "speaker", parameters={"seconds": 0.2}, mouth=SPOKEN)
    switch = Unicast(opened.port)
    switch.send(SILENCE)
    assert len([switch.receive() for _ in range(10)]) == 10
    closed = worker.expect(Closed, "S1")
    assert closed.reason == "done"
    assert closed.figures["first_audio_ms"] >= closed.figures["attached_ms"]

    opened = worker.opened("S2", "speaker", parameters={"seconds": 30}, mouth=SPOKEN)
    other = Unicast(opened.port)
    other.send(SILENCE)
    other.receive()
    worker.send(Tell(session="S2", what="hush"))
    closed = worker.expect(Closed, "S2")
    assert closed.figures["flush_ms"] <= 60
    assert closed.figures["frames_out"] < 100
    switch.close()
    other.close()


def test_the_first_that_sends_is_the_switch(worker):
    opened = worker.opened("S1", "echo", ear=Ear(kind=UNICAST, rate=16000), mouth=SPOKEN)
    switch, stranger = Unicast(opened.port), Unicast(opened.port)
    switch.send(b"\1" * FRAME_BYTES)
    assert switch.receive() == b"\1" * FRAME_BYTES
    stranger.send(b"\2" * FRAME_BYTES)
    switch.send(b"\3" * FRAME_BYTES)
    assert switch.receive() == b"\3" * FRAME_BYTES
    switch.send(b"\4" * 3)
    switch.send(b"\5" * FRAME_BYTES)
    assert switch.receive() == b"\5" * FRAME_BYTES
    worker.send(Close(session="S1"))
    assert worker.expect(Closed, "S1").figures["malformed"] == 1
    switch.close()
    stranger.close()


def test_a_switch_whose_socket_is_gone_is_told_of(worker):
    """What becomes of it, the service says."""
    opened = worker.opened("S1", "echo", ear=Ear(kind=UNICAST, rate=16000), mouth=SPOKEN)
    switch = Unicast(opened.port)
    for _ in range(3):
        switch.send(SILENCE)
    worker.expect(Report, "S1", "attached")
    switch.send(SILENCE)
    switch.close()
    # what is sent there now is refused
    worker.expect(Report, "S1", "detached")
    worker.send(Close(session="S1"))
    assert worker.expect(Closed, "S1").reason == "closed"


def test_a_fork_that_is_lost_and_renewed_is_heard_on(worker):
    """The switch drops one while it changes its leg's codec."""
    opened = worker.opened("S1", "echo", ear=Ear(kind=FORK, rate=16000), mouth=SPOKEN)
    fork, switch = Fork(opened.url), Unicast(opened.port)
    for one in (fork, switch):
        one.send(SILENCE)
    worker.expect(Report, "S1", "attached")
    fork.close()
    worker.expect(Report, "S1", "detached")
    worker.send(Renew(session="S1", ear=Ear(kind=FORK, rate=16000), mouth=SPOKEN))
    again = worker.expect(Opened, "S1")
    other, mouth = Fork(again.url), Unicast(again.port)
    mouth.send(SILENCE)
    other.send(b"\1" * FRAME_BYTES)
    worker.expect(Report, "S1", "renewed")
    while mouth.receive() != b"\1" * FRAME_BYTES:
        pass
    worker.send(Close(session="S1"))
    assert worker.expect(Closed, "S1").reason == "closed"
    for one in (other, switch, mouth):
        one.close()


def test_a_fault_while_a_silent_leg_is_filled_in_ends_the_session(worker):
    opened = worker.opened("S1", "faulty", ear=Ear(kind=FORK, rate=16000), parameters={"where": "filled"})
    fork = Fork(opened.url)
    closed = worker.expect(Closed, "S1")
    assert (closed.reason, closed.error) == ("error", "ValueError")
    fork.close()


def test_a_session_whose_end_goes_wrong_is_told_of_all_the_same(worker):
    worker.opened("S1", "faulty", parameters={"where": "let go"})
    worker.send(Close(session="S1"))
    assert worker.expect(Closed, "S1").reason == "closed"
    assert alive(worker).sessions == 0


def test_a_session_that_ends_closes_its_fork(worker):
    opened = worker.opened("S1", "echo", ear=Ear(kind=FORK, rate=16000))
    fork = Fork(opened.url)
    fork.send(SILENCE)
    worker.expect(Report, "S1", "attached")
    worker.send(Close(session="S1"))
    worker.expect(Closed, "S1")
    assert fork.gone()
    fork.close()


def test_a_fork_that_comes_after_the_end_is_refused(worker):
    opened = worker.opened("S1", "echo", ear=Ear(kind=FORK, rate=16000))
    worker.send(Close(session="S1"))
    worker.expect(Closed, "S1")
    with pytest.raises(Exception, match="404"):
        Fork(opened.url)
    assert alive(worker).figures["strangers"] == 1


def test_a_connection_that_asks_for_nothing_is_closed(worker):
    opened = worker.opened("S1", "echo", ear=Ear(kind=FORK, rate=16000), patience_s=30.0)
    port = int(opened.url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.settimeout(WAIT_S)
        assert silent.recv(1) == b""
    assert alive(worker).figures["strangers"] == 1


def fds(worker: MediaWorker) -> int:
    return len(os.listdir(f"/proc/{worker.process.pid}/fd"))


def cycle(worker: MediaWorker, names: list[str], number: int) -> None:
    """Open, attach and close some sessions; how far each comes differs."""
    opened = []
    for name in names:
        ear = Ear(kind=FORK if number % 2 else UNICAST, rate=8000 if number % 3 else 16000)
        mouth = SPOKEN if number % 5 else None
        worker.send(Open(session=name, task="echo", ear=ear, mouth=mouth, patience_s=WAIT_S))
        opened.append(name)
    for at, name in enumerate(opened):
        one = worker.expect(object, name)
        if at % 4 == 0:
            switch = Unicast(one.port) if one.port else None
            fork = Fork(one.url) if one.url else None
            for end in (switch, fork):
                if end is not None:
                    end.send(SILENCE)
            if at % 8 == 0:
                worker.expect(Report, name, "attached")
            for end in (switch, fork):
                if end is not None:
                    end.close()
        worker.send(Close(session=name))
    for name in opened:
        worker.expect(Closed, name)


def test_a_thousand_sessions_leave_nothing_behind(worker):
    cycle(worker, [f"warm-{number}" for number in range(AT_ONCE)], 1)
    before = settled(worker, None)
    for number in range(CYCLES // AT_ONCE):
        cycle(worker, [f"{number}-{one}" for one in range(AT_ONCE)], number)
    assert settled(worker, before) == before
    pong = alive(worker)
    assert pong.sessions == 0


def settled(worker: MediaWorker, wanted: tuple[int, float] | None) -> tuple[int, float]:
    """Files and tasks of the process, when they are as many as wanted, or do not change for a while."""
    deadline = time.monotonic() + WAIT_S
    last, since = (0, 0.0), time.monotonic()
    while time.monotonic() < deadline:
        now = (fds(worker), alive(worker).figures["tasks"])
        if now == wanted:
            break
        if now != last:
            last, since = now, time.monotonic()
        elif wanted is None and time.monotonic() - since > 1.0:
            break
    return now
