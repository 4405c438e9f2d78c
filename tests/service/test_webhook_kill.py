"""kill -9, a hundred times at random points: no event lost, none out of order, repetitions with their id."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import gevent

from tests.support.publisher import LEGS
from tests.support.receiver import Receiver

KILLS = 100
MOST_EVENTS = 120


class Victim:
    """The publisher of `tests.support.publisher`, and what it says."""

    def __init__(self, url: str, path: str) -> None:
        self.published: list[int] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.publisher", url, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._pid = 0
        self.until("ready")

    def begin(self, run: int, count: int) -> None:
        self._process.stdin.write(f"{run} {count}\n".encode())
        self._process.stdin.flush()
        self._pid = int(self.until("pid ").split()[1])

    def until(self, what: str, after: int = 0) -> str:
        """Read until a line has this, or until `after` more events were published."""
        with gevent.Timeout(20, AssertionError(f"never said {what!r}")):
            while True:
                line = self._process.stdout.readline().decode().rstrip("\n")
                if line.isdecimal():
                    self.published.append(int(line))
                    after -= 1
                    if after == 0:
                        return line
                elif what in line:
                    return line
                elif not line:
                    raise AssertionError(f"ended before {what!r}")

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        assert "SIGKILL" in self.until("ended")

    def end(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


def moody(chance: random.Random):
    """A receiver that mostly answers, but not always at once or well."""

    def behaviour(_: object) -> str:
        return chance.choices(("ok", "500", "reset", "cut"), (94, 2, 2, 2))[0]

    return behaviour


def test_kill_9_loses_nothing(tmp_path):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    receiver = Receiver()
    receiver.behave[""] = moody(chance)
    victim = Victim(receiver.url(), str(tmp_path / "webhooks.sqlite3"))
    for run in range(1, KILLS + 1):
        victim.begin(run, MOST_EVENTS)
        kind = chance.randrange(10)
        if kind == 1:
            victim.until("started")
        elif kind > 1:
            victim.until("empty", after=chance.randrange(1, MOST_EVENTS + 1))
        victim.kill()
    receiver.behave[""] = "ok"
    victim.begin(KILLS + 1, 10)
    victim.until("empty")
    victim.kill()
    victim.end()

    ids = {one.id: one.event["seq"] for one in receiver.received}
    seen = list(dict.fromkeys(one.event["seq"] for one in receiver.received))
    delivered = {one.event["seq"] for one in receiver.taken}
    print(f"{len(victim.published)} published, {len(receiver.received)} requests, {len(delivered)} delivered")
    assert len(victim.published) > KILLS
    assert set(victim.published) <= delivered, "lost"
    assert len(ids) == len(seen), "a repetition with another id"
    for leg in range(LEGS):
        order = [number for number in seen if number % LEGS == leg]
        assert order == sorted(order), "out of order"
    receiver.stop()
