"""A media worker as a process: its link, its pulse and its end."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.support.fakes import until
from vsi_esl.errors import Unavailable
from vsi_esl.live import pool as pools
from vsi_esl.live import process as processes
from vsi_esl.live.pool import Pool
from vsi_esl.live.process import MediaWorker
from vsi_esl.media.messages import LENGTH, Close, Pong, Report, Tell, pack

SCRIPT = """
import json, os, socket, struct, sys
link = socket.socket(fileno=int(sys.argv[-2]))
def send(**message):
    body = json.dumps(message).encode()
    link.sendall(struct.pack(">I", len(body)) + body)
def receive(size):
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data
while True:
    told = json.loads(receive(struct.unpack(">I", receive(4))[0]))
    if told["kind"] == "ping" and "deaf" not in sys.argv:
        figures = {"frames_in": 7, "open": len(os.listdir("/proc/self/fd")), "group": os.getpgid(0)}
        send(kind="pong", number=told["number"], sessions=0, figures=figures)
    if told["kind"] == "tell" and told["what"] == "garbage":
        link.sendall(struct.pack(">I", 3) + b"???")
    elif told["kind"] == "tell" and told["what"] == "twice":
        body = json.dumps({"kind": "report", "session": "s", "what": "said", "data": {}}).encode()
        link.sendall((struct.pack(">I", len(body)) + body) * 2)
    elif told["kind"] == "tell":
        send(kind="report", session=told["session"], what=told["what"], data={"value": told["value"]})
"""


class Told:
    def __init__(self):
        self.messages, self.gone = [], []

    def heard(self, worker, message):
        self.messages.append(message)

    def lost(self, worker, why=""):
        self.gone.append((worker, why))


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def start(told):
    """Start scripted workers; they are ended at the end."""
    workers = []

    def make(*arguments: str, heard=told.heard, gone=told.lost, script: str = SCRIPT) -> MediaWorker:
        workers.append(MediaWorker(heard, gone, command=(sys.executable, "-c", script, *arguments)))
        return workers[-1]

    yield make
    for worker in workers:
        worker.stop()
    until(lambda: not [one for one in workers if os.path.exists(f"/proc/{one.pid}")], "they have ended")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(processes, "PING_S", 0.02)


def test_messages_both_ways_whatever_their_length(start, told):
    worker = start()
    for number, value in enumerate(("x", "ä" * 500_000, None)):
        worker.send(Tell(session=f"s{number}", what="say", value=value))
    until(lambda: len(told.messages) == 3, "the answers")
    assert told.messages == [
        Report(session=f"s{number}", what="say", data={"value": value})
        for number, value in enumerate(("x", "ä" * 500_000, None))
    ]


def test_it_has_nothing_of_ours_and_is_in_a_group_of_its_own(start, quick):
    """The standard streams, the link and what is handed over, and one for looking; not what we were started
    with."""
    with open(os.devnull) as file:
        os.set_inheritable(file.fileno(), True)
        worker = start()
        until(lambda: worker.figures, "its first answer")
    assert worker.figures["open"] == 6
    assert worker.figures["group"] == worker.pid != os.getpgid(0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_dies_or_hangs_is_told_of_once(start, told, quick, number):
    worker = start()
    until(lambda: worker.ready, "its first answer")
    os.kill(worker.pid, number)
    until(lambda: told.gone, "it is gone")
    until(lambda: not os.path.exists(f"/proc/{worker.pid}"), "it is reaped")
    worker.send(Close(session="s"))
    worker.end("again")
    why = "it has ended" if number == signal.SIGKILL else "it does not answer"
    assert told.gone == [(worker, why)]


def test_one_that_never_answers_is_given_time_to_start(start, told, quick, monkeypatch):
    worker = start("deaf")
    until(lambda: worker._unanswered > processes.MISSED_PINGS + 2, "it is still there")
    assert not told.gone
    monkeypatch.setattr(processes, "START_TIMEOUT_S", 0.0)
    until(lambda: told.gone == [(worker, "it does not answer")], "it is given up")


def test_one_that_says_what_cannot_be_read(start, told):
    worker = start()
    worker.send(Tell(session="s", what="garbage"))
    until(lambda: told.gone == [(worker, "it sent what cannot be read")], "it is ended")


def test_nothing_is_told_of_one_that_was_ended(start, told):
    def heard(worker, message):
        told.heard(worker, message)
        worker.end("enough")

    worker = start(heard=heard)
    worker.send(Tell(session="s", what="twice"))
    until(lambda: told.gone == [(worker, "enough")], "it is ended")
    until(lambda: all(one.dead for one in worker._greenlets), "nobody reads on")
    assert told.messages == [Report(session="s", what="said", data={})]


def test_one_that_reads_nothing_does_not_hold_us_up(start, told, monkeypatch):
    monkeypatch.setattr(processes, "MAX_QUEUED", 10)
    worker = start()
    os.kill(worker.pid, signal.SIGSTOP)
    for _ in range(40):
        worker.send(Tell(session="s", what="say", value="x" * 100_000))
    until(lambda: told.gone == [(worker, "it does not read")], "it is ended")


def test_bodies_in_pieces():
    buffer = bytearray()
    whole = pack(Pong(number=1, sessions=0)) * 2
    found = []
    for at in range(0, len(whole), 7):
        buffer += whole[at : at + 7]
        found += processes._bodies(buffer)
    assert len(found) == 2 and not buffer
    with pytest.raises(ValueError, match="bytes"):
        processes._bodies(bytearray(LENGTH.pack(1 << 30)))


# -- several of them -------------------------------------------------------------------------------------


@pytest.fixture
def pool(start, told):
    pool = Pool(2, told.heard, told.lost, lambda heard, gone: start(heard=heard, gone=gone))
    yield pool
    pool.stop()


def test_sessions_go_to_the_worker_with_the_fewest(pool, monkeypatch):
    monkeypatch.setattr(pools, "TOGETHER", 0)
    assert not pool.workers, "none is started before there is something to do"
    first = pool.take("a")
    until(lambda: first.ready, "it has answered")
    assert pool.take("b") is first, "the other one is still starting"
    second = pool.workers[1]
    until(lambda: second.ready, "it has answered")
    assert [pool.take(name) for name in "cd"] == [second, second]
    assert pool.take("e") in (first, second)
    assert len(pool) == 2 and sum(len(one.sessions) for one in pool.workers) == 5


def test_few_are_together(pool):
    first = pool.take("a")
    until(lambda: first.ready, "it has answered")
    assert all(pool.take(f"of the first {number}") is first for number in range(1, pools.TOGETHER))
    second = pool.workers[1]
    until(lambda: second.ready, "it has answered")
    assert all(pool.take(f"of the second {number}") is second for number in range(pools.TOGETHER))
    pool.take("b"), pool.take("c")
    assert [len(one.sessions) for one in pool.workers] == [pools.TOGETHER + 1] * 2
    first.sessions.clear()
    assert pool.take("d") is first


def test_one_can_be_ready_before_there_is_something_to_do(pool):
    pool.prepare()
    pool.prepare()
    (spare,) = pool.workers
    until(lambda: spare.ready, "it has answered")
    assert pool.take("a") is spare


def test_one_that_died_is_replaced(pool, told, quick):
    first = pool.take("a")
    until(lambda: first.figures, "it has answered")
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: told.gone, "it is gone")
    assert told.gone[0][0] is first and first.sessions == {"a"}
    assert pool.restarts == 1 and len(pool) == 1 and first not in pool.workers
    until(lambda: pool.workers[0].figures, "the next has answered")
    assert pool.figures()["frames_in"] == 14, "what both have counted"


def test_those_that_cannot_start_are_not_tried_for_ever(start, told, monkeypatch):
    monkeypatch.setattr(pools, "SOON_S", 3600.0)
    made = []

    def make(heard, gone):
        made.append(start(heard=heard, gone=gone, script="raise SystemExit(1)"))
        return made[-1]

    pool = Pool(2, told.heard, told.lost, make)
    pool.take("a")
    until(lambda: told.gone, "it has ended")
    with pytest.raises(Unavailable):
        pool.take("b")
    assert len(made) == 1
