"""A media worker, a real one: what it answers, and that it ends with its link."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from tests.support.mediaworker import Fork, MediaWorker, Unicast
from vsi_esl.media.messages import FORK, UNICAST, Close, Closed, Ear, Mouth, Opened, Ping, Pong, Report
from vsi_esl.media.tasks import FRAME_BYTES

SERVICE = """
import time
from tests.support.mediaworker import MediaWorker
from vsi_esl.media.messages import Ear
worker = MediaWorker()
worker.opened("S1", "echo", ear=Ear(kind="unicast", rate=16000), patience_s=60.0)
print(worker.process.pid, flush=True)
time.sleep(60)
"""

LOUD = b"\x10\x20" * (FRAME_BYTES // 2)


@pytest.fixture
def worker():
    with MediaWorker() as one:
        yield one


def test_a_ping_is_answered(worker):
    worker.send(Ping(number=7))
    pong = worker.expect(Pong)
    assert (pong.number, pong.sessions) == (7, 0)


def test_it_ends_with_its_link():
    worker = MediaWorker()
    opened = worker.opened("S1", "echo", ear=Ear(kind=UNICAST, rate=16000))
    assert opened.port
    assert "the service is gone" in worker.end()
    assert worker.process.returncode == 0


def test_it_ends_when_told_by_a_signal_and_not_at_ctrl_c():
    worker = MediaWorker()
    worker.opened("S1", "echo", ear=Ear(kind=UNICAST, rate=16000))
    worker.process.send_signal(signal.SIGINT)
    worker.send(Ping(number=1))
    worker.expect(Pong)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.expect(Closed, "S1").reason == "closed"
    assert worker.process.wait(20) == 0
    worker.end()


def test_it_ends_with_a_service_that_is_killed():
    service = subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True)
    ended = os.pidfd_open(int(service.stdout.readline()))
    try:
        service.kill()
        service.wait()
        assert select.select([ended], [], [], 20.0)[0]
    finally:
        os.close(ended)
        service.stdout.close()


def test_a_unicast_echo(worker):
    opened = worker.opened("S1", "echo", ear=Ear(kind=UNICAST, rate=16000), mouth=Mouth(rate=16000))
    switch = Unicast(opened.port)
    for _ in range(5):
        switch.send(LOUD)
    assert worker.expect(Report, "S1").what == "attached"
    assert [switch.receive() for _ in range(5)] == [LOUD] * 5
    worker.send(Close(session="S1"))
    closed = worker.expect(Closed, "S1")
    assert (closed.reason, closed.error) == ("closed", "")
    assert closed.figures["frames_in"] == closed.figures["frames_out"] == 5
    switch.close()


def test_a_fork_is_heard_in_messages_of_any_size_and_good_for_one_connection(worker):
    opened = worker.opened("S1", "echo", ear=Ear(kind=FORK, rate=16000), mouth=Mouth(rate=16000))
    fork, switch = Fork(opened.url), Unicast(opened.port)
    audio = LOUD * 4
    for at in range(0, len(audio), 333):
        fork.send(audio[at : at + 333])
    switch.send(bytes(FRAME_BYTES))  # behind that: a fork that is there and brings nothing is filled in for
    assert worker.expect(Report, "S1").what == "attached"
    assert b"".join(switch.receive() for _ in range(4)) == audio
    with pytest.raises(Exception, match="404"):
        Fork(opened.url)
    fork.close()
    assert worker.expect(Report, "S1").what == "detached"
    worker.send(Close(session="S1"))
    assert worker.expect(Closed, "S1").reason == "closed"
    switch.close()


def test_the_fork_of_a_leg_on_hold_is_silent(worker):
    """It sends nothing at all."""
    opened = worker.opened("S1", "echo", ear=Ear(kind=FORK, rate=16000), mouth=Mouth(rate=16000))
    fork, switch = Fork(opened.url), Unicast(opened.port)
    switch.send(bytes(FRAME_BYTES))
    assert worker.expect(Report, "S1").what == "attached"
    assert [switch.receive() for _ in range(15)] == [bytes(FRAME_BYTES)] * 15
    fork.send(LOUD)
    while switch.receive() != LOUD:
        pass
    fork.close()
    assert worker.expect(Report, "S1").what == "detached"
    worker.send(Close(session="S1"))
    assert worker.expect(Closed, "S1").reason == "closed"
    switch.close()


def test_a_switch_that_brings_no_audio(worker):
    worker.opened("S1", "echo", ear=Ear(kind=FORK, rate=16000), patience_s=0.05)
    assert worker.expect(Closed, "S1").reason == "no_audio"


def test_a_task_that_there_is_not(worker):
    assert isinstance(worker.opened("S1", "nonesuch"), Opened)
    closed = worker.expect(Closed, "S1")
    assert (closed.reason, closed.error) == ("error", "KeyError")


def test_a_mouth_apart_has_a_channel_of_its_own(worker):
    mouth = Mouth(rate=16000, apart=True)
    opened = worker.opened("S1", "echo", ear=Ear(kind=UNICAST, rate=16000), mouth=mouth)
    assert len({opened.port, opened.mouth_port, 0}) == 3
    heard, spoken = Unicast(opened.port), Unicast(opened.mouth_port)
    spoken.send(bytes(FRAME_BYTES))
    heard.send(LOUD)
    assert worker.expect(Report, "S1").what == "attached"
    assert spoken.receive() == LOUD
    heard.close()
    spoken.close()
